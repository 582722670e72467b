/* SPDX-License-Identifier: MIT */
/* A body above the threshold stays in the proxy and is sent piece by piece, as the worker asks for it. */
#include "stand.h"

#include "wire/proto_row.h"
#include "wire/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BODY = 3000000 };

static struct stand stand;
static struct client client;

static int open_stand(void **state)
{
	(void)state;
	stand_n_messages = 4;
	stand_body_bytes = BODY;
	stand_open(&stand);
	stand.confs[0].stream_threshold = BODY - 1;
	client_open(&stand, &client);
	return 0;
}

static int close_stand(void **state)
{
	(void)state;
	client_close(&client);
	stand_close(&stand);
	return 0;
}

static void attach(void)
{
	client_hello_streams(&client, "orders");
	client_hears(&stand, &client, PROTO_WELCOME, "max_frame");
}

/* The next frame delivers one streamed message; its id. */
static uint64_t hears_streamed(void)
{
	struct heard heard = client_hear(&stand, &client);
	struct value value = {heard.payload, heard.payload + heard.len};
	uint32_t n;
	int64_t pipeline, id, length;
	assert_int_equal(heard.word, PROTO_DELIVER);
	assert_true(heard.len < 100);
	assert_int_equal(value_array(&value, &n) | value_int(&value, &pipeline) | value_int(&value, &id), 0);
	assert_int_equal(value_skip(&value) | value_skip(&value) | value_array(&value, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(value_array(&value, &n), 0);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(value_skip(&value), 0);
	assert_int_equal(value_int(&value, &length), 0);
	assert_int_equal(length, BODY);
	assert_ptr_equal(value.at, value.end);
	return (uint64_t)id;
}

static size_t put_u64(uint8_t *at, uint64_t number)
{
	at[0] = 0xcf;
	for (int i = 0; i < 8; i++)
		at[1 + i] = (uint8_t)(number >> (56 - 8 * i));
	return 9;
}

static void asks(uint64_t id, uint64_t offset, uint64_t n)
{
	uint8_t payload[28] = {0x93};
	put_u64(payload + 1, id);
	put_u64(payload + 10, offset);
	put_u64(payload + 19, n);
	client_say(&client, PROTO_READ, payload, sizeof payload);
}

/* The answer to such a question, of which the bytes must be right; how many, -1: nil. */
static long hears_chunk(uint64_t id, uint64_t offset)
{
	struct heard heard = client_hear(&stand, &client);
	struct value value = {heard.payload, heard.payload + heard.len};
	struct qb_bytes bytes = {NULL, 0};
	int64_t its_id, its_offset;
	uint32_t n;
	assert_int_equal(heard.word, PROTO_CHUNK);
	assert_true(heard.len <= PROTO_FRAME_MAX);
	assert_int_equal(value_array(&value, &n) | value_int(&value, &its_id) | value_int(&value, &its_offset), 0);
	assert_true((uint64_t)its_id == id && (uint64_t)its_offset == offset);
	if (value_nil(&value))
		return -1;
	assert_int_equal(value_bytes(&value, &bytes), 0);
	assert_ptr_equal(value.at, value.end);
	for (size_t i = 0; i < bytes.len; i++)
		if (((const uint8_t *)bytes.data)[i] != stand_body_byte(offset + i))
			fail_msg("byte %zu of the body is wrong", (size_t)offset + i);
	return (long)bytes.len;
}

static void turns_until_nothing_is_held(void)
{
	for (int i = 0; i < 10000 && stand_counts(&stand).buffered_bytes; i++)
		stand_turn(&stand);
	assert_int_equal(stand_counts(&stand).buffered_bytes, 0);
}

/* ---- tests ---- */

static void a_body_above_the_threshold_comes_when_it_is_asked_for(void **state)
{
	(void)state;
	attach();
	for (size_t i = 0; i < stand_n_messages; i++) {
		uint64_t id = hears_streamed(), at = 0;
		while (at < BODY) {
			asks(id, at, 100000);
			at += (uint64_t)hears_chunk(id, at);
		}
		assert_int_equal(at, BODY);
		client_ack(&client, id, 1);
	}
	turns_until_nothing_is_held();
}

static void a_body_of_the_threshold_and_one_for_a_worker_that_cannot_ask_come_whole(void **state)
{
	(void)state;
	struct client other;
	stand.confs[0].stream_threshold = BODY;
	attach();
	assert_int_equal(client_hears_delivered(&stand, &client).body_bytes, BODY);
	stand.confs[0].stream_threshold = 1;
	client_open(&stand, &other);
	client_attach(&stand, &other, "orders", 1);
	assert_int_equal(client_hears_delivered(&stand, &other).body_bytes, BODY);
	client_close(&other);
}

static void any_part_of_a_body_can_be_read_in_any_order(void **state)
{
	(void)state;
	attach();
	uint64_t id = hears_streamed();
	asks(id, BODY - 10, 100);
	asks(id, 0, INT64_MAX);
	asks(id, BODY, 1);
	asks(id, INT64_MAX, 1);
	asks(id, 77, 3);
	assert_int_equal(hears_chunk(id, BODY - 10), 10);
	assert_int_equal(hears_chunk(id, 0), PROTO_CHUNK_MAX);
	assert_int_equal(hears_chunk(id, BODY), 0);
	assert_int_equal(hears_chunk(id, INT64_MAX), 0);
	assert_int_equal(hears_chunk(id, 77), 3);
}

static void a_verdict_ends_a_stream_that_was_not_read_to_its_end(void **state)
{
	(void)state;
	attach();
	uint64_t id = hears_streamed();
	asks(id, 0, 200000);
	asks(id, 200000, 200000);
	client_ack(&client, id, 1);
	asks(id, 400000, 200000);
	assert_int_equal(hears_chunk(id, 0), 200000);
	assert_int_equal(hears_chunk(id, 200000), 200000);
	assert_int_equal(hears_chunk(id, 400000), -1);
	uint64_t next = hears_streamed();
	asks(next, 5, 5);
	assert_int_equal(hears_chunk(next, 5), 5);
}

static void what_the_session_does_not_hold_is_answered_by_nil(void **state)
{
	(void)state;
	attach();
	uint64_t id = hears_streamed();
	asks(id + 1, 0, 5);
	asks(1, 0, 5);
	assert_int_equal(hears_chunk(id + 1, 0), -1);
	assert_int_equal(hears_chunk(1, 0), -1);
}

static void the_body_of_an_orphan_can_be_read_until_its_verdict(void **state)
{
	(void)state;
	attach();
	uint64_t id = hears_streamed();
	atomic_store(&stand_lane_closes, true);
	for (int i = 0; i < 10000 && !stand_counts(&stand).orphans; i++)
		stand_turn(&stand);
	assert_int_equal(stand_counts(&stand).orphans, 1);
	asks(id, 12345, 100000);
	assert_int_equal(hears_chunk(id, 12345), 100000);
	client_ack(&client, id, 1);
	asks(id, 0, 1);
	assert_int_equal(hears_chunk(id, 0), -1);
	turns_until_nothing_is_held();
}

static void a_worker_that_reads_what_it_asks_for_may_ask_for_a_megabyte_at_once(void **state)
{
	(void)state;
	enum { AHEAD = 4 };
	attach();
	uint64_t id = hears_streamed();
	for (uint64_t i = 0; i < 200; i++) {
		asks(id, i * 10, PROTO_CHUNK_MAX);
		if (i >= AHEAD - 1)
			assert_int_equal(hears_chunk(id, (i - AHEAD + 1) * 10), PROTO_CHUNK_MAX);
	}
}

static void look_at_output(void *ctx, struct session *session)
{
	struct session_info info, *largest = ctx;
	session_tell(session, &info);
	if (info.n_output_bytes > largest->n_output_bytes)
		largest->n_output_bytes = info.n_output_bytes;
	largest->state = info.state;
}

static void a_worker_that_asks_and_does_not_read_is_ended(void **state)
{
	(void)state;
	struct session_info largest = {0};
	struct heard heard;
	attach();
	uint64_t id = hears_streamed();
	for (int i = 0; i < 50; i++)
		asks(id, 0, PROTO_CHUNK_MAX);
	for (int i = 0; i < 10000 && largest.state != SESSION_ENDING; i++) {
		stand_turn(&stand);
		session_set_each(stand.set, look_at_output, &largest);
	}
	assert_true(largest.n_output_bytes > 1 << 20);
	assert_true(largest.n_output_bytes < 3 << 19);
	do
		heard = client_hear(&stand, &client);
	while (heard.word == PROTO_CHUNK);
	assert_int_equal(heard.word, PROTO_ERROR);
	assert_non_null(memmem(heard.payload, heard.len, "slow_worker", 11));
	stand_until_closed(&stand, 1);
}

static void the_end_of_a_worker_lets_go_of_the_chunks_that_it_did_not_read(void **state)
{
	(void)state;
	attach();
	uint64_t id = hears_streamed();
	for (int i = 0; i < 4; i++)
		asks(id, 0, PROTO_CHUNK_MAX);
	stand_turn(&stand);
	client_close(&client);
	stand_until_closed(&stand, 1);
	client_open(&stand, &client);
	attach();
	for (size_t i = 0; i < stand_n_messages; i++)
		client_ack(&client, hears_streamed(), 1);
	turns_until_nothing_is_held();
}

static void a_malformed_question_ends_the_session(void **state)
{
	(void)state;
	static const char payloads[][4] = {
		{'\x92', 1, 1, 1}, {'\x93', 0, 1, 1}, {'\x93', 1, '\xff', 1}, {'\x93', 1, 1, 0}, {'\x93', 1, '\xc0', 1}};
	for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
		attach();
		hears_streamed();
		client_say(&client, PROTO_READ, payloads[i], payloads[i][0] == '\x92' ? 3 : 4);
		client_hears_end(&stand, &client, "protocol", "READ must be an array");
		client_close(&client);
		client_open(&stand, &client);
	}
}

static void a_body_above_the_limit_is_streamed_where_that_is_wanted(void **state)
{
	(void)state;
	stand.confs[0].max_message_bytes = 1000;
	stand.confs[0].stream_threshold = 500;
	stand.confs[0].oversize = OVERSIZE_STREAM;
	attach();
	uint64_t id = hears_streamed();
	asks(id, 1000, 1);
	assert_int_equal(hears_chunk(id, 1000), 1);
	stand.confs[0].oversize = OVERSIZE_REJECT;
	client_ack(&client, id, 1);
	for (int i = 0; i < 10000 && stand_counts(&stand).rejected < stand_n_messages - 1; i++)
		stand_turn(&stand);
	assert_int_equal(stand_counts(&stand).rejected_by[REASON_OVERSIZE], stand_n_messages - 1);
}

/* 262144 for the frame, the limit for key and headers, and the longest body that comes whole. */
static void welcome_tells_the_longest_message_that_comes_whole(void **state)
{
	(void)state;
	struct client other;
	stand.confs[1].max_message_bytes = 1 << 20;
	stand.confs[1].stream_threshold = 1 << 16;
	client_hello_streams(&client, "mails");
	client_hears(&stand, &client, PROTO_WELCOME, "\xabmax_message\xce\x00\x15\x00\x00");
	client_open(&stand, &other);
	client_hello(&other, "mails", 0);
	client_hears(&stand, &other, PROTO_WELCOME, "\xabmax_message\xce\x00\x24");
	client_close(&other);
}

#define STREAM_TEST(test) cmocka_unit_test_setup_teardown(test, open_stand, close_stand)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(a_body_above_the_threshold_comes_when_it_is_asked_for),
		STREAM_TEST(a_body_of_the_threshold_and_one_for_a_worker_that_cannot_ask_come_whole),
		STREAM_TEST(any_part_of_a_body_can_be_read_in_any_order),
		STREAM_TEST(a_verdict_ends_a_stream_that_was_not_read_to_its_end),
		STREAM_TEST(what_the_session_does_not_hold_is_answered_by_nil),
		STREAM_TEST(the_body_of_an_orphan_can_be_read_until_its_verdict),
		STREAM_TEST(a_worker_that_reads_what_it_asks_for_may_ask_for_a_megabyte_at_once),
		STREAM_TEST(a_worker_that_asks_and_does_not_read_is_ended),
		STREAM_TEST(the_end_of_a_worker_lets_go_of_the_chunks_that_it_did_not_read),
		STREAM_TEST(a_malformed_question_ends_the_session),
		STREAM_TEST(a_body_above_the_limit_is_streamed_where_that_is_wanted),
		STREAM_TEST(welcome_tells_the_longest_message_that_comes_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
