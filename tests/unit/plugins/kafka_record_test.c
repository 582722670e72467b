/* SPDX-License-Identifier: MIT */
/* Records of both formats, as a broker sends them, beside what the plugin makes of them. */
#include "record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The end of the header of a record or a key, whose bytes may be anything. */
enum { BEFORE = 16, BODY_MAX = 3 * 1024 * 1024 };

static size_t varint(uint8_t *at, uint64_t length)
{
	size_t n = 0;
	for (uint64_t rest = length << 1; n == 0 || rest; rest >>= 7)
		at[n++] = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
	return n;
}

/* A record of format 2 with a first header's count behind its body. */
static bool is_bare(uint8_t *bytes, size_t length, uint8_t n_headers)
{
	size_t n = varint(bytes + BEFORE, length);
	uint8_t *body = bytes + BEFORE + n;
	body[length] = n_headers;
	rd_kafka_message_t message = {.payload = body, .len = length};
	bool is = record_is_bare(&message);
	body[length] = 0x55;
	return is;
}

static void a_record_tells_by_the_byte_behind_its_body(void **state)
{
	const size_t lengths[] = {1, 2, 63, 64, 65, 200, 8191, 8192, 100000, 1048575, 1048576, BODY_MAX - BEFORE};
	uint8_t *bytes = malloc(BODY_MAX + BEFORE);
	(void)state;
	memset(bytes, 0x55, BODY_MAX + BEFORE);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		assert_true(is_bare(bytes, lengths[i], 0));
		assert_false(is_bare(bytes, lengths[i], 2));
		assert_false(is_bare(bytes, lengths[i], 0x80));
	}
	free(bytes);
}

/* No byte behind the body is there: whatever calls this bare has read what it may not read. */
static void a_record_of_an_older_format_is_never_called_bare(void **state)
{
	uint8_t bytes[BEFORE + 4];
	(void)state;
	for (int before = 0; before < 256; before++) {
		memset(bytes, before, BEFORE);
		for (uint32_t length = 1, step = 1; length < 0x7fffffff - step; length += step) {
			step = length < (before ? 70000 : 3000000) ? 1 : length / 1000;
			uint32_t there = __builtin_bswap32(length);
			memcpy(bytes + BEFORE, &there, 4);
			rd_kafka_message_t message = {.payload = bytes + BEFORE + 4, .len = length};
			assert_false(record_is_bare(&message));
		}
	}
}

static void no_body_tells_nothing(void **state)
{
	uint8_t bytes[] = {0, 0, 0, 0};
	rd_kafka_message_t none = {.payload = NULL}, empty = {.payload = bytes + 2, .len = 0};
	(void)state;
	assert_false(record_is_bare(&none));
	assert_false(record_is_bare(&empty));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_tells_by_the_byte_behind_its_body),
		cmocka_unit_test(a_record_of_an_older_format_is_never_called_bare),
		cmocka_unit_test(no_body_tells_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
