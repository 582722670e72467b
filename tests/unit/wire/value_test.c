/* SPDX-License-Identifier: MIT */
/* The cursor agrees with the library about every value, and refuses what is cut, too deep, too many or foreign. */
#include "wire/value.h"

#include <errno.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* value_check on a copy of exactly these bytes, so that a sanitizer sees what is read beyond them. */
static const char *check(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	memcpy(copy, bytes, len);
	const char *wrong = value_check(copy, len);
	free(copy);
	return wrong;
}

static void pack_random(msgpack_packer *packer, int depth)
{
	int kind = rand() % (depth < VALUE_DEPTH_MAX ? 8 : 6);
	size_t n = (size_t)(rand() % 40);
	static const char text[70000];
	switch (kind) {
	case 0:
		msgpack_pack_nil(packer);
		break;
	case 1:
		msgpack_pack_true(packer);
		break;
	case 2:
		msgpack_pack_int64(packer, (int64_t)((uint64_t)rand() << (rand() % 33)));
		break;
	case 3:
		msgpack_pack_int64(packer, -(int64_t)((uint64_t)rand() << (rand() % 32)));
		break;
	case 4:
		msgpack_pack_str_with_body(packer, text, rand() % 50 ? n : n * 1700);
		break;
	case 5:
		msgpack_pack_bin_with_body(packer, text, rand() % 50 ? n : n * 1700);
		break;
	case 6:
		n %= 5;
		msgpack_pack_array(packer, n);
		while (n--)
			pack_random(packer, depth + 1);
		break;
	case 7:
		n %= 4;
		msgpack_pack_map(packer, n);
		for (n *= 2; n--;)
			pack_random(packer, depth + 1);
		break;
	}
}

static void what_the_library_packs_is_one_value(void **state)
{
	(void)state;
	srand(11);
	for (int i = 0; i < 3000; i++) {
		msgpack_sbuffer buffer;
		msgpack_packer packer;
		msgpack_sbuffer_init(&buffer);
		msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
		pack_random(&packer, 0);
		assert_null(check(buffer.data, buffer.size));
		if (buffer.size < 2000)
			for (size_t cut = 0; cut < buffer.size; cut++)
				assert_non_null(check(buffer.data, cut));
		msgpack_pack_nil(&packer);
		assert_string_equal(check(buffer.data, buffer.size), "bytes follow the value of the payload");
		msgpack_sbuffer_destroy(&buffer);
	}
}

static void integers_of_every_width_are_read(void **state)
{
	(void)state;
	for (int bit = 0; bit < 63; bit++) {
		for (int64_t off = -1; off <= 1; off++) {
			for (int sign = -1; sign <= 1; sign += 2) {
				int64_t number = sign * ((INT64_C(1) << bit) + off), read = 0;
				msgpack_sbuffer buffer;
				msgpack_packer packer;
				msgpack_sbuffer_init(&buffer);
				msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
				msgpack_pack_int64(&packer, number);
				struct value value = {(uint8_t *)buffer.data, (uint8_t *)buffer.data + buffer.size};
				assert_int_equal(value_int(&value, &read), 0);
				assert_true(read == number);
				assert_ptr_equal(value.at, value.end);
				msgpack_sbuffer_destroy(&buffer);
			}
		}
	}
}

static void kinds_that_do_not_fit_are_refused_and_stay(void **state)
{
	(void)state;
	const uint8_t bytes[] = {0x93, 0x05, 0xa1, 'x', 0xc0};
	struct value value = {bytes, bytes + sizeof bytes};
	struct qb_bytes text;
	int64_t number;
	uint32_t n;
	assert_int_equal(value_int(&value, &number), -EBADMSG);
	assert_int_equal(value_map(&value, &n), -EBADMSG);
	assert_false(value_nil(&value));
	assert_int_equal(value_array(&value, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(value_bytes(&value, &text), -EBADMSG);
	assert_int_equal(value_skip(&value), 0);
	assert_int_equal(value_bytes(&value, &text), 0);
	assert_memory_equal(text.data, "x", 1);
	assert_true(value_nil(&value));
	assert_int_equal(value_skip(&value), -EBADMSG);
}

static void hostile_payloads_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		const char *sentence;
	} rows[] = {
		{"", 0, "the payload is cut short"},
		{"\xc1", 1, "the payload holds a float, an extension or a byte that msgpack does not use"},
		{"\xca\0\0\0\0", 5, "the payload holds a float, an extension or a byte that msgpack does not use"},
		{"\xcb\0\0\0\0\0\0\0\0", 9, "the payload holds a float, an extension or a byte that msgpack does not use"},
		{"\xd4\x01\0", 3, "the payload holds a float, an extension or a byte that msgpack does not use"},
		{"\xc7\0\0", 3, "the payload holds a float, an extension or a byte that msgpack does not use"},
		{"\xcf\x80\0\0\0\0\0\0\0", 9, "the payload holds an integer above the signed 64-bit range"},
		{"\xdd\xff\xff\xff\xff", 5, "the payload holds more than 16384 elements"},
		{"\xdf\xff\xff\xff\xff", 5, "the payload holds more than 16384 elements"},
		{"\xdf\x80\0\0\0", 5, "the payload holds more than 16384 elements"},
		{"\xc6\xff\xff\xff\xff", 5, "the payload is cut short"},
		{"\xdb\x7f\xff\xff\xff", 5, "the payload is cut short"},
		{"\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0", 10, "the payload nests deeper than 8"},
		{"\xc0\xc0", 2, "bytes follow the value of the payload"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const char *wrong = check(rows[i].bytes, rows[i].len);
		assert_non_null(wrong);
		assert_string_equal(wrong, rows[i].sentence);
	}
	assert_null(check("\x91\x91\x91\x91\x91\x91\x91\x91\xc0", 9));
	assert_null(check("\xd3\x80\0\0\0\0\0\0\0", 9));
}

/* Many small containers count as much as one big one. */
static void elements_are_counted_over_the_whole_payload(void **state)
{
	(void)state;
	for (uint32_t n = 8190; n <= 8194; n++) {
		uint8_t *bytes = malloc(3 + 2 * n);
		bytes[0] = 0xdc;
		bytes[1] = (uint8_t)(n >> 8);
		bytes[2] = (uint8_t)n;
		for (uint32_t i = 0; i < n; i++)
			memcpy(bytes + 3 + 2 * i, "\x91\xc0", 2);
		assert_int_equal(check(bytes, 3 + 2 * n) != NULL, 2 * n > VALUE_ELEMENTS_MAX);
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_library_packs_is_one_value),
		cmocka_unit_test(integers_of_every_width_are_read),
		cmocka_unit_test(kinds_that_do_not_fit_are_refused_and_stay),
		cmocka_unit_test(hostile_payloads_are_refused),
		cmocka_unit_test(elements_are_counted_over_the_whole_payload),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
