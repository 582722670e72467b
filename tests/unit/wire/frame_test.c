/* SPDX-License-Identifier: MIT */
/* Frames are found whole wherever the stream was cut, and a length that is too big costs nothing. */
#include "wire/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_FRAMES = 5 };

static const uint32_t lengths[N_FRAMES] = {0, 1, 3, 40, 0};

struct seen {
	size_t n;
	int stop_at; /* -1: never */
};

static uint8_t byte_of(size_t frame, size_t at)
{
	return (uint8_t)(frame * 37 + at);
}

static int take(void *ctx, const struct frame *frame)
{
	struct seen *seen = ctx;
	assert_true(seen->n < N_FRAMES);
	assert_int_equal(frame->word, seen->n + 1);
	assert_int_equal(frame->len, lengths[seen->n]);
	for (size_t i = 0; i < frame->len; i++)
		assert_int_equal(frame->payload[i], byte_of(seen->n, i));
	return (int)seen->n++ == seen->stop_at ? -ECANCELED : 0;
}

static size_t stream_write(uint8_t *ret_stream)
{
	size_t len = 0;
	for (size_t i = 0; i < N_FRAMES; i++) {
		frame_head_write(ret_stream + len, (uint8_t)(i + 1), lengths[i]);
		len += FRAME_HEADER_BYTES;
		for (size_t at = 0; at < lengths[i]; at++)
			ret_stream[len++] = byte_of(i, at);
	}
	return len;
}

/* Gives a copy of exactly these bytes, so that a sanitizer sees what is read beyond them. */
static int feed(struct frame_reader *reader, const uint8_t *bytes, size_t len, struct seen *seen)
{
	uint8_t *copy = malloc(len ? len : 1);
	memcpy(copy, bytes, len);
	int result = frame_read(reader, copy, len, take, seen);
	free(copy);
	return result;
}

static void a_header_is_big_endian_with_zeros_behind_the_word(void **state)
{
	(void)state;
	uint8_t head[FRAME_HEADER_BYTES];
	frame_head_write(head, 66, 0x01020304);
	assert_memory_equal(head, "\x01\x02\x03\x04\x42\0\0\0", 8);
}

static void flags_and_reserved_bytes_are_ignored(void **state)
{
	(void)state;
	struct frame_reader reader = {{0}};
	struct seen seen = {.stop_at = -1};
	const uint8_t bytes[] = {0, 0, 0, 0, 1, 0xff, 0xff, 0xff};
	assert_int_equal(feed(&reader, bytes, sizeof bytes, &seen), 0);
	assert_int_equal(seen.n, 1);
}

static void frames_are_found_with_any_two_cuts(void **state)
{
	(void)state;
	uint8_t stream[256];
	size_t len = stream_write(stream);
	for (size_t a = 0; a <= len; a++) {
		for (size_t b = a; b <= len; b++) {
			struct frame_reader reader = {{0}};
			struct seen seen = {.stop_at = -1};
			assert_int_equal(feed(&reader, stream, a, &seen), 0);
			assert_int_equal(feed(&reader, stream + a, b - a, &seen), 0);
			assert_int_equal(feed(&reader, stream + b, len - b, &seen), 0);
			assert_int_equal(seen.n, N_FRAMES);
			assert_int_equal(frame_n_partial(&reader), 0);
		}
	}
}

static void frames_are_found_byte_by_byte(void **state)
{
	(void)state;
	uint8_t stream[256];
	size_t len = stream_write(stream);
	struct frame_reader reader = {{0}};
	struct seen seen = {.stop_at = -1};
	for (size_t i = 0; i < len; i++)
		assert_int_equal(feed(&reader, stream + i, 1, &seen), 0);
	assert_int_equal(seen.n, N_FRAMES);
	assert_int_equal(frame_n_partial(&reader), 0);
}

static void a_cut_frame_is_told_and_its_bytes_are_freed(void **state)
{
	(void)state;
	uint8_t stream[256];
	size_t len = stream_write(stream);
	struct frame_reader reader = {{0}};
	struct seen seen = {.stop_at = -1};
	assert_int_equal(feed(&reader, stream, len - FRAME_HEADER_BYTES - 1, &seen), 0);
	assert_int_equal(seen.n, 3);
	assert_int_equal(frame_n_partial(&reader), FRAME_HEADER_BYTES + 39);
	frame_reader_done(&reader);
	assert_int_equal(frame_n_partial(&reader), 0);
}

static void a_length_above_the_limit_is_refused_from_the_header(void **state)
{
	(void)state;
	static const uint32_t too_long[] = {FRAME_PAYLOAD_MAX + 1, UINT32_MAX};
	for (size_t i = 0; i < 2; i++) {
		for (size_t cut = 0; cut <= FRAME_HEADER_BYTES; cut++) {
			uint8_t head[FRAME_HEADER_BYTES];
			struct frame_reader reader = {{0}};
			struct seen seen = {.stop_at = -1};
			frame_head_write(head, 1, too_long[i]);
			int first = feed(&reader, head, cut, &seen);
			assert_int_equal(first ? first : feed(&reader, head + cut, sizeof head - cut, &seen), -EMSGSIZE);
			assert_null(reader.payload);
			assert_int_equal(seen.n, 0);
		}
	}
}

static int count(void *ctx, const struct frame *frame)
{
	assert_int_equal(frame->len, FRAME_PAYLOAD_MAX);
	++*(int *)ctx;
	return 0;
}

static void a_frame_of_the_limit_passes(void **state)
{
	(void)state;
	struct frame_reader reader = {{0}};
	size_t len = FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX;
	uint8_t *bytes = calloc(1, len);
	int n = 0;
	frame_head_write(bytes, 1, FRAME_PAYLOAD_MAX);
	assert_int_equal(frame_read(&reader, bytes, len, count, &n), 0);
	assert_int_equal(frame_read(&reader, bytes, len - 1, count, &n), 0);
	assert_int_equal(frame_read(&reader, bytes + len - 1, 1, count, &n), 0);
	assert_int_equal(n, 2);
	free(bytes);
}

static void the_taker_can_end_the_reading(void **state)
{
	(void)state;
	uint8_t stream[256];
	size_t len = stream_write(stream);
	for (size_t cut = 0; cut <= len; cut++) {
		struct frame_reader reader = {{0}};
		struct seen seen = {.stop_at = 2};
		int first = feed(&reader, stream, cut, &seen);
		assert_int_equal(first ? first : feed(&reader, stream + cut, len - cut, &seen), -ECANCELED);
		assert_int_equal(seen.n, 3);
		frame_reader_done(&reader);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_is_big_endian_with_zeros_behind_the_word),
		cmocka_unit_test(flags_and_reserved_bytes_are_ignored),
		cmocka_unit_test(frames_are_found_with_any_two_cuts),
		cmocka_unit_test(frames_are_found_byte_by_byte),
		cmocka_unit_test(a_cut_frame_is_told_and_its_bytes_are_freed),
		cmocka_unit_test(a_length_above_the_limit_is_refused_from_the_header),
		cmocka_unit_test(a_frame_of_the_limit_passes),
		cmocka_unit_test(the_taker_can_end_the_reading),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
