/* SPDX-License-Identifier: MIT */
/* What a worker says of its leaks is read within its bounds. */
#include "wire/leaks.h"

#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct leaks leaks;

static const char *reads(const char *bytes, size_t len)
{
	const struct frame frame = {.len = (uint32_t)len, .payload = (const uint8_t *)bytes};
	return leaks_read(&frame, &leaks);
}

#define READS(bytes) reads(bytes, sizeof(bytes) - 1)

static void a_report_is_read_and_the_next_replaces_it(void **state)
{
	(void)state;
	assert_null(READS("\x92\x1e\x92\x94\xa3$c1\x1e\x1d\xcd\x10\0\x95\xa3"
					  "a\n\x7f\x02\x01\x03\xc0"));
	assert_int_equal(leaks.n_looks, 30);
	assert_int_equal(leaks.n, 2);
	assert_string_equal(leaks.leaks[0].path, "$c1");
	assert_int_equal(leaks.leaks[0].n_looks, 30);
	assert_int_equal(leaks.leaks[0].n_grew, 29);
	assert_int_equal(leaks.leaks[0].bytes, 4096);
	assert_string_equal(leaks.leaks[1].path, "a??");
	assert_null(READS("\x92\x1f\x90"));
	assert_int_equal(leaks.n_looks, 31);
	assert_int_equal(leaks.n, 0);
}

static const char *reads_rows(size_t n_rows, size_t path_len)
{
	static char path[300];
	msgpack_sbuffer buffer;
	msgpack_packer packer;
	memset(path, 'p', sizeof path);
	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_array(&packer, 2);
	msgpack_pack_int(&packer, 1);
	msgpack_pack_array(&packer, n_rows);
	for (size_t i = 0; i < n_rows; i++) {
		msgpack_pack_array(&packer, 4);
		msgpack_pack_str_with_body(&packer, path, path_len);
		for (int j = 0; j < 3; j++)
			msgpack_pack_int64(&packer, INT64_MAX);
	}
	const char *wrong = reads(buffer.data, buffer.size);
	msgpack_sbuffer_destroy(&buffer);
	return wrong;
}

static void a_report_is_bounded(void **state)
{
	(void)state;
	assert_null(reads_rows(LEAKS_MAX, LEAKS_PATH_BYTES));
	assert_int_equal(leaks.n, LEAKS_MAX);
	assert_int_equal(strlen(leaks.leaks[LEAKS_MAX - 1].path), LEAKS_PATH_BYTES);
	assert_string_equal(reads_rows(LEAKS_MAX + 1, 1), "LEAK: more than 32 rows");
	assert_int_equal(leaks.n, 0);
	assert_string_equal(reads_rows(1, LEAKS_PATH_BYTES + 1), "LEAK: a path is longer than 256 bytes");
}

static void a_wrong_report_is_refused(void **state)
{
	(void)state;
	assert_non_null(READS("\xc0"));
	assert_non_null(READS("\x91\x01"));
	assert_non_null(READS("\x92\xff\x90"));
	assert_non_null(READS("\x92\x01\xc0"));
	assert_non_null(READS("\x92\x01\x91\xc0"));
	assert_non_null(READS("\x92\x01\x91\x93\xa1p\x01\x01"));
	assert_non_null(READS("\x92\x01\x91\x94\x05\x01\x01\x01"));
	assert_non_null(READS("\x92\x01\x91\x94\xa1p\x01\x02\x01")); /* grew more often than it was looked at */
	assert_non_null(READS("\x92\x01\x91\x94\xa1p\x01\x01\xff"));
}

static void a_path_is_told_once_and_there_is_an_end_to_it(void **state)
{
	struct leaks told = {0};
	char path[8];
	(void)state;
	assert_true(leaks_tell(&told, "$a"));
	assert_true(leaks_tell(&told, "$b"));
	assert_false(leaks_tell(&told, "$a"));
	for (int i = 2; i < LEAKS_TOLD_MAX; i++) {
		snprintf(path, sizeof path, "$%d", i);
		assert_true(leaks_tell(&told, path));
	}
	assert_false(leaks_tell(&told, "one more"));
}

static void the_log_takes_a_ration_and_no_more(void **state)
{
	struct leaks_ration ration = {0};
	int64_t now_us = 5000000;
	(void)state;
	for (int i = 0; i < LEAKS_LINES_MAX; i++)
		assert_true(leaks_ration_take(&ration, now_us));
	for (int i = 0; i < 7; i++)
		assert_false(leaks_ration_take(&ration, now_us));
	assert_int_equal(ration.n_kept, 7);
	assert_false(leaks_ration_take(&ration, now_us + LEAKS_LINE_US - 1));
	assert_true(leaks_ration_take(&ration, now_us + LEAKS_LINE_US));
	assert_false(leaks_ration_take(&ration, now_us + LEAKS_LINE_US));
	now_us += INT64_C(1000) * LEAKS_LINE_US; /* what was not used is not saved beyond the most */
	for (int i = 0; i < LEAKS_LINES_MAX; i++)
		assert_true(leaks_ration_take(&ration, now_us));
	assert_false(leaks_ration_take(&ration, now_us));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_report_is_read_and_the_next_replaces_it),
		cmocka_unit_test(a_report_is_bounded),
		cmocka_unit_test(a_wrong_report_is_refused),
		cmocka_unit_test(a_path_is_told_once_and_there_is_an_end_to_it),
		cmocka_unit_test(the_log_takes_a_ration_and_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
