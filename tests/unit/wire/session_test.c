/* SPDX-License-Identifier: MIT */
/* A session keeps the protocol, whatever the worker does, and what it held comes back. */
#include "stand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct stand stand;
static struct client client;

static int open_stand(size_t n_messages, size_t body_bytes)
{
	stand_n_messages = n_messages;
	stand_body_bytes = body_bytes;
	stand_open(&stand);
	client_open(&stand, &client);
	return 0;
}

static int without_messages(void **state)
{
	(void)state;
	return open_stand(0, 0);
}

static int with_messages(void **state)
{
	(void)state;
	return open_stand(1000, 200);
}

static int with_big_messages(void **state)
{
	(void)state;
	return open_stand(60, 300000);
}

static int close_stand(void **state)
{
	(void)state;
	if (client.fd >= 0)
		client_close(&client);
	stand_close(&stand);
	return 0;
}

static void attach(struct client *who, const char *pipeline, int credit)
{
	client_hello(who, pipeline, credit);
	client_hears(&stand, who, PROTO_WELCOME, "max_frame");
}

static struct pipeline_counts counts(void)
{
	struct pipeline_counts now;
	pipeline_count(dispatcher_pipeline_at(stand.dispatcher, 0), &now);
	return now;
}

static struct delivered hear_delivered(struct client *who)
{
	struct heard heard = client_hear(&stand, who);
	assert_non_null(heard.payload);
	return delivered_of(&heard);
}

/* ERROR with this code, then the connection is closed. */
static void ends_with(const char *code, const char *sentence)
{
	struct heard heard = client_hear(&stand, &client);
	assert_non_null(heard.payload);
	assert_int_equal(heard.word, PROTO_ERROR);
	if (!memmem(heard.payload, heard.len, code, strlen(code)) ||
		!memmem(heard.payload, heard.len, sentence, strlen(sentence)))
		fail_msg("heard ERROR %.*s", (int)heard.len, (char *)heard.payload);
	heard = client_hear(&stand, &client);
	assert_null(heard.payload);
	stand_until_closed(&stand, 1);
	assert_int_equal(session_set_count(stand.set), 0);
}

/* ---- handshake --------------------------------------------------------------------------------------------------- */

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
	attach(&client, "mails", 0);
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
	attach(&client, "mails", 0);
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
	attach(&client, "mails", 0);
	client_say(&client, PROTO_SETTLE, "\xc1", 1);
	ends_with("protocol", "msgpack does not use");
}

static void unknown_words_are_skipped(void **state)
{
	(void)state;
	attach(&client, "mails", 0);
	client_say(&client, 50, "\xc1\xc1", 2);
	client_say(&client, 0, "", 0);
	client_say(&client, 255, "x", 1);
	client_say(&client, PROTO_EXTEND, "\x92\x07\x05", 3);
	client_hears(&stand, &client, PROTO_EXTENDED, "\x92\x07");
}

static void words_for_later_versions_are_refused(void **state)
{
	(void)state;
	attach(&client, "mails", 0);
	client_say(&client, PROTO_PUBLISH, "\xc0", 1);
	ends_with("unsupported", "PUBLISH");
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void messages_are_delivered_and_acked_in_order(void **state)
{
	(void)state;
	int64_t next = 0;
	uint64_t next_id = 0;
	attach(&client, "orders", 100);
	while (next < 1000) {
		struct delivered delivered = hear_delivered(&client);
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
	assert_int_equal(counts().acked, 1000);
}

static void credit_bounds_what_is_held_and_can_change(void **state)
{
	(void)state;
	size_t n = 0;
	attach(&client, "orders", 10);
	while (n < 10)
		n += hear_delivered(&client).n_rows;
	assert_int_equal(n, 10);
	client_say(&client, PROTO_CREDIT, "\x91\x19", 2);
	while (n < 25)
		n += hear_delivered(&client).n_rows;
	assert_int_equal(n, 25);
	assert_int_equal(counts().in_flight, 25);
}

static void a_late_verdict_is_answered(void **state)
{
	(void)state;
	attach(&client, "orders", 1);
	struct delivered delivered = hear_delivered(&client);
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
	attach(&client, "orders", 3);
	uint64_t first = 0, n = 0;
	while (n < 3) {
		struct delivered delivered = hear_delivered(&client);
		first = first ? first : delivered.first_id;
		n += delivered.n_rows;
	}
	client_ack(&client, first + 1, 1);
	while (counts().acked < 1)
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
	assert_int_equal(counts().acked, 3);
}

static void endless_nonsense_ends_the_session(void **state)
{
	(void)state;
	attach(&client, "mails", 0);
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
	attach(&client, "mails", 0);
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
	attach(&client, "orders", 1);
	struct delivered delivered = hear_delivered(&client);
	uint8_t payload[64] = {0x93, 0x90, 0x91, 0x94, 0xcf};
	for (int i = 0; i < 8; i++)
		payload[5 + i] = (uint8_t)(delivered.first_id >> (56 - 8 * i));
	memcpy(payload + 13, "\1\0\xa3why\0", 7);
	client_say(&client, PROTO_SETTLE, payload, 20);
	for (uint32_t attempt = 1; attempt < 2;) {
		struct delivered next = hear_delivered(&client);
		attempt = next.attempt;
		if (attempt == 2)
			assert_int_equal(next.first_receipt, delivered.first_receipt);
		client_ack(&client, next.first_id, next.n_rows);
	}
	assert_int_equal(counts().retried, 1);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void what_a_dead_worker_held_goes_to_another(void **state)
{
	(void)state;
	struct client other;
	size_t n = 0;
	attach(&client, "orders", 5);
	while (n < 5)
		n += hear_delivered(&client).n_rows;
	client_close(&client);
	stand_until_closed(&stand, 1);
	assert_int_equal(counts().in_flight, 0);
	assert_int_equal(counts().returned, 5);
	client_open(&stand, &other);
	attach(&other, "orders", 1);
	assert_int_equal(hear_delivered(&other).first_receipt, 0);
	client_close(&other);
}

static void bye_leaves_in_peace(void **state)
{
	(void)state;
	attach(&client, "orders", 1);
	struct delivered delivered = hear_delivered(&client);
	client_say(&client, PROTO_BYE,
		"\x81\xa6reason\xa4"
		"jobs",
		13);
	assert_null(client_hear(&stand, &client).payload);
	stand_until_closed(&stand, 1);
	assert_string_equal(stand.closed_reason, "says BYE: jobs");
	client_close(&client);
	client_open(&stand, &client);
	attach(&client, "orders", 1);
	struct delivered again = hear_delivered(&client);
	assert_int_equal(again.first_receipt, delivered.first_receipt);
	assert_int_equal(again.attempt, delivered.attempt); /* nothing was charged */
}

static void verdicts_sent_before_the_end_still_count(void **state)
{
	(void)state;
	attach(&client, "orders", 1);
	struct delivered delivered = hear_delivered(&client);
	client_ack(&client, delivered.first_id, 1);
	client_close(&client);
	stand_until_closed(&stand, 1);
	assert_int_equal(counts().acked, 1);
}

static void drain_asks_the_worker_to_leave(void **state)
{
	(void)state;
	attach(&client, "mails", 0);
	dispatcher_drain_workers(stand.dispatcher, "the proxy stops");
	client_hears(&stand, &client, PROTO_DRAIN, "the proxy stops");
	client_say(&client, PROTO_BYE, "\x80", 1);
	assert_null(client_hear(&stand, &client).payload);
	stand_until_closed(&stand, 1);
	assert_string_equal(stand.closed_reason, "says BYE");
}

static void an_overdue_handler_is_told_and_then_ended(void **state)
{
	(void)state;
	attach(&client, "orders", 1);
	hear_delivered(&client);
	stand.turned_us += 31000000;
	client_hears(&stand, &client, PROTO_CANCEL, "\xcd\x13\x88"); /* 5000 */
	assert_int_equal(stand.n_cancelled, 1);
	stand.turned_us += 6000000;
	ends_with("slow_worker", "did not end");
	assert_int_equal(counts().in_flight, 0);
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

static size_t output_bytes;

static void see_output(void *ctx, struct session *session)
{
	(void)ctx;
	struct session_info info;
	session_tell(session, &info);
	output_bytes = info.n_output_bytes;
}

static void a_worker_that_does_not_read_gets_no_more(void **state)
{
	(void)state;
	attach(&client, "orders", 60);
	size_t most = 0;
	for (int i = 0; i < 200; i++) {
		stand_turn(&stand);
		session_set_each(stand.set, see_output, NULL);
		most = output_bytes > most ? output_bytes : most;
	}
	assert_true(most > 300000);
	assert_true(counts().in_flight < 60);
	size_t n = 0;
	while (n < 60) {
		struct delivered delivered = hear_delivered(&client);
		assert_int_equal(delivered.n_rows, 1); /* each alone is bigger than max_frame */
		assert_int_equal(delivered.body_bytes, 300000);
		assert_int_equal(delivered.first_receipt, n);
		n++;
	}
}

static void a_worker_that_dies_while_it_is_sent_to_is_noticed(void **state)
{
	(void)state;
	attach(&client, "orders", 60);
	for (int i = 0; i < 5; i++)
		stand_turn(&stand);
	client_close(&client);
	stand_until_closed(&stand, 1);
	assert_int_equal(counts().in_flight, 0);
}

static void a_deaf_worker_is_not_waited_for_at_the_end(void **state)
{
	(void)state;
	stand.host.farewell_timeout_us = 1000;
	attach(&client, "orders", 60);
	for (int i = 0; i < 5; i++)
		stand_turn(&stand);
	client_say(&client, PROTO_LEAK, "\xc0", 1);
	stand_until_closed(&stand, 1);
	assert_string_equal(stand.closed.end_code ? "code" : "", "code");
}

static void frames_keep_below_max_frame(void **state)
{
	(void)state;
	client_close(&client);
	stand_until_closed(&stand, 1);
	stand_close(&stand);
	open_stand(200, 20000);
	attach(&client, "orders", 200);
	size_t n = 0;
	while (n < 200) {
		struct heard heard = client_hear(&stand, &client);
		assert_true(heard.len <= PROTO_FRAME_MAX);
		n += delivered_of(&heard).n_rows;
	}
}

#define WITH(messages, test) cmocka_unit_test_setup_teardown(test, messages, close_stand)

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
		WITH(without_messages, drain_asks_the_worker_to_leave),
		WITH(with_messages, messages_are_delivered_and_acked_in_order),
		WITH(with_messages, credit_bounds_what_is_held_and_can_change),
		WITH(with_messages, a_late_verdict_is_answered),
		WITH(with_messages, a_run_may_be_late_in_part),
		WITH(with_messages, a_retry_comes_again_as_the_next_attempt),
		WITH(with_messages, what_a_dead_worker_held_goes_to_another),
		WITH(with_messages, bye_leaves_in_peace),
		WITH(with_messages, verdicts_sent_before_the_end_still_count),
		WITH(with_messages, an_overdue_handler_is_told_and_then_ended),
		WITH(with_messages, frames_keep_below_max_frame),
		WITH(with_big_messages, a_worker_that_does_not_read_gets_no_more),
		WITH(with_big_messages, a_worker_that_dies_while_it_is_sent_to_is_noticed),
		WITH(with_big_messages, a_deaf_worker_is_not_waited_for_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
