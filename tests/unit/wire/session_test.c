/* SPDX-License-Identifier: MIT */
/* A session keeps the protocol, whatever the worker does. */
#include "fixture.h"
#include "wire/session_inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- handshake ---- */

static void hello_is_answered_with_welcome(void **state)
{
	(void)state;
	client_hello(&client, "mails", 0);
	client_hears(&stand, &client, PROTO_WELCOME,
		"\xa4name\xa5mails\xa4kind\xa4made\xaatimeout_ms\xcd\x75\x30\xacmax_attempts\x05");
}

static void an_unknown_pipeline_ends_the_session(void **state)
{
	(void)state;
	client_hello(&client, "letters", 0);
	ends_with("unknown_pipeline", "there is no pipeline \"letters\"");
}

static void the_first_frame_must_be_hello(void **state)
{
	(void)state;
	client_ack(&client, 1, 1);
	ends_with("protocol", "the first frame of a session is HELLO");
}

static void hello_comes_once(void **state)
{
	(void)state;
	client_attach(&stand, &client, "mails", 0);
	client_hello(&client, "mails", 0);
	ends_with("protocol", "HELLO comes once");
}

static void a_worker_that_says_nothing_is_not_waited_for(void **state)
{
	(void)state;
	struct client late;
	stand.host.handshake_timeout_us = 1000;
	client_close(&client);
	stand_until_closed(&stand, 1);
	client_open(&stand, &late);
	client_hears(&stand, &late, PROTO_ERROR, "no HELLO came in time");
	assert_null(client_hear(&stand, &late).payload);
	client_close(&late);
}

static void the_rest_of_a_frame_is_not_waited_for_long(void **state)
{
	(void)state;
	stand.host.handshake_timeout_us = 0;
	client_attach(&stand, &client, "mails", 0);
	stand.host.handshake_timeout_us = 1000;
	client_send(&client, "\0\0\0\5\2", 5);
	ends_with("protocol", "the rest of a frame did not come in time");
}

static void an_oversized_length_is_refused_from_the_header(void **state)
{
	(void)state;
	client_send(&client, "\xff\xff\xff\xff\1\0\0\0", 8);
	ends_with("protocol", "a frame announces more than 65536 bytes");
}

static void garbage_is_answered_and_ends_the_session(void **state)
{
	(void)state;
	client_attach(&stand, &client, "mails", 0);
	client_say(&client, PROTO_SETTLE, "\xc1", 1);
	ends_with("protocol", "msgpack does not use");
}

static void unknown_words_are_skipped(void **state)
{
	(void)state;
	client_attach(&stand, &client, "mails", 0);
	client_say(&client, 50, "\xc1\xc1", 2);
	client_say(&client, 0, "", 0);
	client_say(&client, 255, "x", 1);
	client_say(&client, PROTO_EXTEND, "\x92\x07\x05", 3);
	client_hears(&stand, &client, PROTO_EXTENDED, "\x92\x07");
}

static void words_for_later_versions_are_refused(void **state)
{
	(void)state;
	client_attach(&stand, &client, "mails", 0);
	client_say(&client, PROTO_PUBLISH, "\xc0", 1);
	ends_with("unsupported", "PUBLISH");
}

/* The client of the fixture has number 1. */
static void numbers_come_round_and_pass_over_who_is_there(void **state)
{
	(void)state;
	struct client last, next;
	stand.set->last_number = WORKER_NUMBER_MAX - 1;
	client_open(&stand, &last);
	client_attach(&stand, &last, "orders", 1);
	assert_int_equal(client_hears_delivered(&stand, &last).first_id, ((uint64_t)WORKER_NUMBER_MAX << 40) + 1);
	client_open(&stand, &next);
	client_attach(&stand, &next, "orders", 1);
	assert_int_equal(client_hears_delivered(&stand, &next).first_id, ((uint64_t)2 << 40) + 1);
	client_close(&last);
	client_close(&next);
	stand_until_closed(&stand, 2);
}

/* ---- messages ---- */

static void messages_are_delivered_and_acked_in_order(void **state)
{
	(void)state;
	int64_t next = 0;
	uint64_t next_id = 0;
	client_attach(&stand, &client, "orders", 100);
	while (next < 1000) {
		struct delivered delivered = client_hears_delivered(&stand, &client);
		assert_int_equal(delivered.pipeline, 0);
		assert_int_equal(delivered.attempt, 1);
		assert_int_equal(delivered.remaining_ms, 30000);
		assert_int_equal(delivered.first_receipt, next);
		assert_int_equal(delivered.body_bytes, 200 * delivered.n_rows);
		assert_true(next_id == 0 || delivered.first_id == next_id);
		next += delivered.n_rows;
		next_id = delivered.first_id + delivered.n_rows;
		client_ack(&client, delivered.first_id, delivered.n_rows);
	}
	while (atomic_load(&stand_settled) < 999)
		stand_turn(&stand);
	assert_int_equal(stand_counts(&stand).acked, 1000);
}

static void credit_bounds_what_is_held_and_can_change(void **state)
{
	(void)state;
	size_t n = 0;
	client_attach(&stand, &client, "orders", 10);
	while (n < 10)
		n += client_hears_delivered(&stand, &client).n_rows;
	assert_int_equal(n, 10);
	client_say(&client, PROTO_CREDIT, "\x91\x19", 2);
	while (n < 25)
		n += client_hears_delivered(&stand, &client).n_rows;
	assert_int_equal(n, 25);
	assert_int_equal(stand_counts(&stand).in_flight, 25);
}

static void a_late_verdict_is_answered(void **state)
{
	(void)state;
	client_attach(&stand, &client, "orders", 1);
	struct delivered delivered = client_hears_delivered(&stand, &client);
	uint8_t id[9] = {0xcf};
	for (int i = 0; i < 8; i++)
		id[1 + i] = (uint8_t)(delivered.first_id >> (56 - 8 * i));
	client_ack(&client, delivered.first_id, 1);
	client_ack(&client, delivered.first_id, 1);
	for (;;) {
		struct heard heard = client_hear(&stand, &client);
		assert_non_null(heard.payload);
		if (heard.word == PROTO_DELIVER)
			continue;
		assert_int_equal(heard.word, PROTO_LATE);
		assert_int_equal(heard.len, 10);
		assert_memory_equal(heard.payload + 1, id, 9);
		break;
	}
}

/* Of a run in which some are held and some are not, those that are held are settled and the others named. */
static void a_run_may_be_late_in_part(void **state)
{
	(void)state;
	client_attach(&stand, &client, "orders", 3);
	uint64_t first = 0, n = 0;
	while (n < 3) {
		struct delivered delivered = client_hears_delivered(&stand, &client);
		first = first ? first : delivered.first_id;
		n += delivered.n_rows;
	}
	client_ack(&client, first + 1, 1);
	while (stand_counts(&stand).acked < 1)
		stand_turn(&stand);
	client_ack(&client, first, 3);
	for (;;) {
		struct heard heard = client_hear(&stand, &client);
		assert_non_null(heard.payload);
		if (heard.word == PROTO_DELIVER)
			continue;
		assert_int_equal(heard.word, PROTO_LATE);
		assert_int_equal(heard.payload[0], 0x91);
		assert_int_equal(heard.payload[9], (first + 1) & 0xff);
		break;
	}
	assert_int_equal(stand_counts(&stand).acked, 3);
}

static void endless_nonsense_ends_the_session(void **state)
{
	(void)state;
	client_attach(&stand, &client, "mails", 0);
	client_ack(&client, 5, 1000000);
	struct heard heard;
	do
		heard = client_hear(&stand, &client);
	while (heard.payload && heard.word == PROTO_LATE);
	assert_int_equal(heard.word, PROTO_ERROR);
	stand_until_closed(&stand, 1);
}

static void questions_without_reading_the_answers_end_the_session(void **state)
{
	(void)state;
	client_attach(&stand, &client, "mails", 0);
	for (int i = 0; i < 1000000 && stand.n_closed == 0; i++) {
		uint8_t bytes[] = {0, 0, 0, 3, PROTO_EXTEND, 0, 0, 0, 0x92, 1, 1};
		if (send(client.fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			stand_turn(&stand);
		stand.host.farewell_timeout_us = 1000;
	}
	stand_until_closed(&stand, 1);
	assert_string_equal(stand.closed_reason, "the worker asks and does not read the answers");
}

static void a_retry_comes_again_as_the_next_attempt(void **state)
{
	(void)state;
	client_attach(&stand, &client, "orders", 1);
	struct delivered delivered = client_hears_delivered(&stand, &client);
	uint8_t payload[64] = {0x93, 0x90, 0x91, 0x94, 0xcf};
	for (int i = 0; i < 8; i++)
		payload[5 + i] = (uint8_t)(delivered.first_id >> (56 - 8 * i));
	memcpy(payload + 13, "\1\0\xa3why\0", 7);
	client_say(&client, PROTO_SETTLE, payload, 20);
	for (uint32_t attempt = 1; attempt < 2;) {
		struct delivered next = client_hears_delivered(&stand, &client);
		attempt = next.attempt;
		if (attempt == 2)
			assert_int_equal(next.first_receipt, delivered.first_receipt);
		client_ack(&client, next.first_id, next.n_rows);
	}
	assert_int_equal(stand_counts(&stand).retried, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(without_messages, hello_is_answered_with_welcome),
		WITH(without_messages, an_unknown_pipeline_ends_the_session),
		WITH(without_messages, the_first_frame_must_be_hello),
		WITH(without_messages, hello_comes_once),
		WITH(without_messages, a_worker_that_says_nothing_is_not_waited_for),
		WITH(without_messages, the_rest_of_a_frame_is_not_waited_for_long),
		WITH(without_messages, an_oversized_length_is_refused_from_the_header),
		WITH(without_messages, garbage_is_answered_and_ends_the_session),
		WITH(without_messages, unknown_words_are_skipped),
		WITH(without_messages, words_for_later_versions_are_refused),
		WITH(without_messages, endless_nonsense_ends_the_session),
		WITH(without_messages, questions_without_reading_the_answers_end_the_session),
		WITH(with_messages, messages_are_delivered_and_acked_in_order),
		WITH(with_messages, credit_bounds_what_is_held_and_can_change),
		WITH(with_messages, numbers_come_round_and_pass_over_who_is_there),
		WITH(with_messages, a_late_verdict_is_answered),
		WITH(with_messages, a_run_may_be_late_in_part),
		WITH(with_messages, a_retry_comes_again_as_the_next_attempt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
