/* SPDX-License-Identifier: MIT */
/* However a session ends, nobody waits for it and what it held comes back; while it lives its output is bounded. */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the end ---- */

static void what_a_dead_worker_held_goes_to_another(void **state)
{
	(void)state;
	struct client other;
	size_t n = 0;
	client_attach(&stand, &client, "orders", 5);
	while (n < 5)
		n += client_hears_delivered(&stand, &client).n_rows;
	client_close(&client);
	stand_until_closed(&stand, 1);
	assert_int_equal(stand_counts(&stand).in_flight, 0);
	assert_int_equal(stand_counts(&stand).returned, 5);
	client_open(&stand, &other);
	client_attach(&stand, &other, "orders", 1);
	assert_int_equal(client_hears_delivered(&stand, &other).first_receipt, 0);
	client_close(&other);
}

static void bye_leaves_in_peace(void **state)
{
	(void)state;
	client_attach(&stand, &client, "orders", 1);
	struct delivered delivered = client_hears_delivered(&stand, &client);
	client_say(&client, PROTO_BYE,
		"\x81\xa6reason\xa4"
		"jobs",
		13);
	assert_null(client_hear(&stand, &client).payload);
	stand_until_closed(&stand, 1);
	assert_string_equal(stand.closed_reason, "says BYE: jobs");
	client_close(&client);
	client_open(&stand, &client);
	client_attach(&stand, &client, "orders", 1);
	struct delivered again = client_hears_delivered(&stand, &client);
	assert_int_equal(again.first_receipt, delivered.first_receipt);
	assert_int_equal(again.attempt, delivered.attempt); /* nothing was charged */
}

static void verdicts_sent_before_the_end_still_count(void **state)
{
	(void)state;
	client_attach(&stand, &client, "orders", 1);
	struct delivered delivered = client_hears_delivered(&stand, &client);
	client_ack(&client, delivered.first_id, 1);
	client_close(&client);
	stand_until_closed(&stand, 1);
	assert_int_equal(stand_counts(&stand).acked, 1);
}

/* CREDIT makes room; the garbage behind it must keep more messages from being delivered, to be charged with this end.
 */
static void a_session_that_ends_gets_no_more(void **state)
{
	(void)state;
	client_attach(&stand, &client, "orders", 1);
	client_hears_delivered(&stand, &client);
	client_say(&client, PROTO_CREDIT, "\x91\x0a", 2);
	client_say(&client, PROTO_SETTLE, "\xc1", 1);
	client_hears_end(&stand, &client, "protocol", "msgpack does not use");
	assert_int_equal(stand_counts(&stand).delivered, 1);
}

static void a_worker_that_dies_in_its_handler_costs_an_attempt(void **state)
{
	(void)state;
	struct client other;
	client_attach(&stand, &client, "orders", 1);
	client_hears_delivered(&stand, &client);
	client_close(&client);
	stand_until_closed(&stand, 1);
	client_open(&stand, &other);
	client_attach(&stand, &other, "orders", 1);
	struct delivered delivered;
	do {
		delivered = client_hears_delivered(&stand, &other);
		client_ack(&other, delivered.first_id, delivered.n_rows);
	} while (delivered.first_receipt != 0);
	assert_int_equal(delivered.attempt, 2);
	client_close(&other);
}

static void what_a_dead_worker_held_waits_for_how_its_process_ended(void **state)
{
	(void)state;
	client_attach(&stand, &client, "orders", 1);
	client_hears_delivered(&stand, &client);
	client_close(&client);
	for (int i = 0; i < 50; i++) {
		stand_turn(&stand);
		assert_int_equal(stand_counts(&stand).in_flight, 1);
	}
	session_set_exited(stand.set, getpgrp() + 1, "exit 1"); /* another one */
	stand_turn(&stand);
	assert_int_equal(stand.n_closed, 0);
	session_set_exited(stand.set, getpgrp(), "signal SIGSEGV");
	stand_turn(&stand);
	assert_int_equal(stand.n_closed, 1);
	assert_int_equal(stand_counts(&stand).in_flight, 0);
}

static void an_end_that_is_known_is_not_waited_for(void **state)
{
	(void)state;
	client_attach(&stand, &client, "orders", 1);
	struct delivered delivered = client_hears_delivered(&stand, &client);
	client_ack(&client, delivered.first_id, 1); /* what it said before counts */
	session_set_exited(stand.set, getpgrp(), "exit 3");
	stand_turn(&stand);
	client_close(&client);
	for (int i = 0; i < 100 && stand.n_closed == 0; i++) /* of 2 ms at most, were nothing else running */
		stand_turn(&stand);
	assert_int_equal(stand.n_closed, 1);
	assert_int_equal(stand_counts(&stand).acked, 1);
}

/* The proxy writes and learns that nobody reads, before it has read what was said last. */
static void verdicts_count_though_the_worker_reads_no_more(void **state)
{
	(void)state;
	client_attach(&stand, &client, "orders", 1);
	struct delivered delivered = client_hears_delivered(&stand, &client);
	client_ack(&client, delivered.first_id, 1);
	client_close(&client);
	dispatcher_drain_workers(stand.dispatcher, "the proxy stops");
	session_set_flush(stand.set);
	assert_int_equal(stand.n_closed, 1);
	assert_int_equal(stand_counts(&stand).acked, 1);
	assert_int_equal(stand_counts(&stand).in_flight, 0);
}

static void drain_asks_the_worker_to_leave(void **state)
{
	(void)state;
	client_attach(&stand, &client, "mails", 0);
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
	client_attach(&stand, &client, "orders", 1);
	client_hears_delivered(&stand, &client);
	stand.turned_us += 31000000;
	client_hears(&stand, &client, PROTO_CANCEL, "\xcd\x13\x88"); /* 5000 */
	assert_int_equal(stand.n_told, 1);
	stand.turned_us += 6000000;
	ends_with("slow_worker", "did not end");
	assert_int_equal(stand_counts(&stand).in_flight, 0);
}

/* ---- output ---- */

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
	client_attach(&stand, &client, "orders", 60);
	do {
		stand_turn(&stand);
		session_set_each(stand.set, see_output, NULL);
	} while (output_bytes <= 300000);
	for (int i = 0; i < 200; i++)
		stand_turn(&stand);
	assert_true(stand_counts(&stand).in_flight < 60);
	size_t n = 0;
	while (n < 60) {
		struct delivered delivered = client_hears_delivered(&stand, &client);
		assert_int_equal(delivered.n_rows, 1); /* each alone is bigger than max_frame */
		assert_int_equal(delivered.body_bytes, 300000);
		assert_int_equal(delivered.first_receipt, n);
		n++;
	}
}

static void a_worker_that_dies_while_it_is_sent_to_is_noticed(void **state)
{
	(void)state;
	client_attach(&stand, &client, "orders", 60);
	for (int i = 0; i < 5; i++)
		stand_turn(&stand);
	client_close(&client);
	stand_until_closed(&stand, 1);
	assert_int_equal(stand_counts(&stand).in_flight, 0);
}

static void a_deaf_worker_is_not_waited_for_at_the_end(void **state)
{
	(void)state;
	stand.host.farewell_timeout_us = 1000;
	client_attach(&stand, &client, "orders", 60);
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
	fixture_open(200, 20000);
	client_attach(&stand, &client, "orders", 200);
	size_t n = 0;
	while (n < 200) {
		struct heard heard = client_hear(&stand, &client);
		assert_true(heard.len <= PROTO_FRAME_MAX);
		n += delivered_of(&heard).n_rows;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(without_messages, drain_asks_the_worker_to_leave),
		WITH(with_messages, what_a_dead_worker_held_goes_to_another),
		WITH(with_messages, bye_leaves_in_peace),
		WITH(with_messages, verdicts_sent_before_the_end_still_count),
		WITH(with_messages, an_overdue_handler_is_told_and_then_ended),
		WITH(with_messages, frames_keep_below_max_frame),
		WITH(with_big_messages, a_worker_that_does_not_read_gets_no_more),
		WITH(with_big_messages, a_worker_that_dies_while_it_is_sent_to_is_noticed),
		WITH(with_big_messages, a_deaf_worker_is_not_waited_for_at_the_end),
		WITH(with_messages, a_session_that_ends_gets_no_more),
		WITH(with_messages, a_worker_that_dies_in_its_handler_costs_an_attempt),
		WITH(with_messages, what_a_dead_worker_held_waits_for_how_its_process_ended),
		WITH(with_messages, an_end_that_is_known_is_not_waited_for),
		WITH(with_messages, verdicts_count_though_the_worker_reads_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
