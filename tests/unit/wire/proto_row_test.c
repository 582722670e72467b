/* SPDX-License-Identifier: MIT */
/* Any message comes back from its row as it was, and the row is what the specification shows. */
#include "wire/proto_row.h"
#include "wire/value.h"

#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { HEADERS_MAX = 40 };

static char pool[200000];

/* may_lack: sometimes there is none. */
static struct qb_bytes random_bytes(bool may_lack)
{
	static const size_t spans[] = {1, 20, 40, 300, 300, 70000};
	if (may_lack && rand() % 4 == 0)
		return (struct qb_bytes){NULL, 0};
	size_t len = (size_t)rand() % spans[rand() % (rand() % 10 ? 5 : 6)];
	return (struct qb_bytes){pool + rand() % 1000, len};
}

static int64_t random_number(void)
{
	int64_t number = (int64_t)((((uint64_t)rand() << 32) ^ (uint64_t)rand()) >> (rand() % 64));
	return rand() % 3 ? number : -number;
}

static struct qb_message random_message(struct qb_header *headers)
{
	struct qb_message message = {
		.receipt = random_number(),
		.timestamp_ms = random_number(),
		.partition = (int32_t)random_number(),
		.source = random_bytes(false),
		.key = random_bytes(true),
		.body = random_bytes(false),
		.headers = headers,
		.n_headers = (size_t)(rand() % HEADERS_MAX),
	};
	if (rand() % 2)
		message.routing_key = random_bytes(true);
	if (message.routing_key.data)
		message.partition = -1;
	for (size_t i = 0; i < message.n_headers; i++)
		headers[i] = (struct qb_header){random_bytes(false), random_bytes(true)};
	return message;
}

static void assert_same(struct qb_bytes a, struct qb_bytes b)
{
	assert_int_equal(a.data == NULL, b.data == NULL);
	assert_int_equal(a.len, b.len);
	if (a.len)
		assert_memory_equal(a.data, b.data, a.len);
}

static void any_message_comes_back_from_its_row(void **state)
{
	(void)state;
	const struct msg_codec *codec = proto_codec();
	srand(5);
	for (int round = 0; round < 5000; round++) {
		struct qb_header headers[HEADERS_MAX], read_headers[HEADERS_MAX];
		struct qb_message message = random_message(headers), read;
		size_t bound = codec->row_bound(&message), n = HEADERS_MAX;
		uint8_t *row = malloc(bound);
		size_t len = codec->row_write(&message, row);
		assert_true(len <= bound);
		row = realloc(row, len);
		memset(&read, 0xa5, sizeof read);
		assert_int_equal(codec->row_read(row, len, &read, read_headers, &n), 0);
		assert_true(read.receipt == message.receipt && read.timestamp_ms == message.timestamp_ms);
		assert_int_equal(read.partition, message.partition);
		assert_same(read.source, message.source);
		assert_same(read.routing_key, message.routing_key);
		assert_same(read.key, message.key);
		assert_same(read.body, message.body);
		assert_int_equal(read.n_headers, message.n_headers);
		for (size_t i = 0; i < n; i++) {
			assert_same(read.headers[i].name, message.headers[i].name);
			assert_same(read.headers[i].value, message.headers[i].value);
		}
		for (int cut = 0; cut < 20 && len; cut++)
			assert_int_not_equal(codec->row_read(row, (size_t)rand() % len, &read, read_headers, &n), 0);
		free(row);
	}
}

static void a_cut_row_has_its_bodys_length_in_the_bodys_place(void **state)
{
	(void)state;
	static const size_t lengths[] = {0, 1, 127, 128, 255, 256, 65535, 65536, 70000};
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		struct qb_header headers[HEADERS_MAX], cut_headers[HEADERS_MAX];
		struct qb_message message = random_message(headers), read;
		size_t n = HEADERS_MAX;
		message.body = (struct qb_bytes){pool, lengths[i]};
		uint8_t *row = malloc(proto_codec()->row_bound(&message) + PROTO_INT_MAX);
		struct proto_cut cut = proto_row_cut(proto_codec()->row_write(&message, row), (uint32_t)lengths[i]);
		memcpy(row + cut.n_kept, cut.end, cut.end_len);
		struct value value = {row, row + cut.n_kept + cut.end_len};
		uint32_t n_elements;
		int64_t length;
		assert_int_equal(value_array(&value, &n_elements), 0);
		assert_int_equal(n_elements, 7);
		for (int element = 0; element < 6; element++)
			assert_int_equal(value_skip(&value), 0);
		assert_int_equal(value_int(&value, &length), 0);
		assert_int_equal(length, lengths[i]);
		assert_ptr_equal(value.at, value.end);
		assert_int_not_equal(proto_codec()->row_read(row, cut.n_kept + cut.end_len, &read, cut_headers, &n), 0);
		free(row);
	}
}

static void no_chunk_is_longer_than_a_frame_may_be(void **state)
{
	(void)state;
	uint8_t head[PROTO_CHUNK_HEAD_MAX];
	size_t len = proto_chunk_write(head, INT64_MAX, UINT32_MAX + UINT64_C(1), (struct qb_bytes){pool, PROTO_CHUNK_MAX});
	assert_int_equal(len, PROTO_CHUNK_HEAD_MAX);
	assert_int_equal(len + PROTO_CHUNK_MAX, FRAME_HEADER_BYTES + PROTO_FRAME_MAX);
	len = proto_chunk_write(head, 5, 6, (struct qb_bytes){NULL, 0});
	assert_int_equal(len, FRAME_HEADER_BYTES + 4);
	assert_memory_equal(head, "\0\0\0\4\x48\0\0\0\x93\5\6\xc0", len);
}

static void a_row_is_what_the_specification_shows(void **state)
{
	(void)state;
	char text[512];
	uint8_t row[512];
	msgpack_unpacked unpacked;
	const struct qb_header headers[] = {{{"h", 1}, {"v", 1}}, {{"h", 1}, {NULL, 0}}};
	struct qb_message kafka = {.receipt = 1041,
		.timestamp_ms = 1700000000000,
		.partition = 3,
		.source = {"orders", 6},
		.key = {"k1", 2},
		.body = {"body", 4}};
	struct qb_message amqp = {.receipt = 1,
		.timestamp_ms = -1,
		.partition = -1,
		.source = {"mails", 5},
		.routing_key = {"rk", 2},
		.body = {"b", 1},
		.headers = headers,
		.n_headers = 2};
	msgpack_unpacked_init(&unpacked);
	size_t len = proto_codec()->row_write(&kafka, row);
	assert_int_equal(msgpack_unpack_next(&unpacked, (char *)row, len, NULL), MSGPACK_UNPACK_SUCCESS);
	msgpack_object_print_buffer(text, sizeof text, unpacked.data);
	assert_string_equal(text, "[\"orders\", 3, 1041, 1700000000000, \"k1\", nil, \"body\"]");
	len = proto_codec()->row_write(&amqp, row);
	assert_int_equal(msgpack_unpack_next(&unpacked, (char *)row, len, NULL), MSGPACK_UNPACK_SUCCESS);
	msgpack_object_print_buffer(text, sizeof text, unpacked.data);
	assert_string_equal(text, "[\"mails\", \"rk\", 1, -1, nil, [\"h\", \"v\", \"h\", nil], \"b\"]");
	assert_int_equal(unpacked.data.via.array.ptr[1].type, MSGPACK_OBJECT_BIN);
	msgpack_unpacked_destroy(&unpacked);
}

static void headers_beyond_the_readers_room_are_passed_over(void **state)
{
	(void)state;
	uint8_t row[128];
	struct qb_header headers[3] = {{{"a", 1}, {"1", 1}}, {{"b", 1}, {"2", 1}}, {{"c", 1}, {"3", 1}}}, read_headers[2];
	struct qb_message message = {.source = {"s", 1}, .body = {"b", 1}, .headers = headers, .n_headers = 3}, read;
	size_t n = 2, len = proto_codec()->row_write(&message, row);
	assert_int_equal(proto_codec()->row_read(row, len, &read, read_headers, &n), 0);
	assert_int_equal(n, 2);
	assert_memory_equal(read.headers[1].name.data, "b", 1);
	assert_memory_equal(read.body.data, "b", 1);
}

static double now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Tells; judges nothing, as the machine may be busy. */
static void writing_a_row_is_measured(void **state)
{
	(void)state;
	enum { ROUNDS = 500000 };
	static uint8_t row[65536];
	struct qb_message message = {.receipt = 1000000,
		.timestamp_ms = 1700000000000,
		.partition = 3,
		.source = {"orders", 6},
		.key = {"customer-1", 10},
		.body = {pool, 200}};
	size_t len = 0, at = 0;
	double begin = now_ns();
	for (int i = 0; i < ROUNDS; i++) {
		if (at + proto_codec()->row_bound(&message) > sizeof row)
			at = 0;
		message.receipt++;
		at += len = proto_codec()->row_write(&message, row + at);
	}
	print_message("row of a 200-byte message: %zu bytes, %.0f ns\n", len, (now_ns() - begin) / ROUNDS);
	assert_true(len > 200);
}

int main(void)
{
	for (size_t i = 0; i < sizeof pool; i++)
		pool[i] = (char)(i * 31 >> 3);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_message_comes_back_from_its_row),
		cmocka_unit_test(a_cut_row_has_its_bodys_length_in_the_bodys_place),
		cmocka_unit_test(no_chunk_is_longer_than_a_frame_may_be),
		cmocka_unit_test(a_row_is_what_the_specification_shows),
		cmocka_unit_test(headers_beyond_the_readers_room_are_passed_over),
		cmocka_unit_test(writing_a_row_is_measured),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
