/* SPDX-License-Identifier: MIT */
/* What becomes of messages whose handlers fail, hang or die. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static void after_max_attempts_a_message_is_rejected_and_its_lane_goes_on(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.max_attempts = 3;
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 1);
	for (uint32_t attempt = 1; attempt <= 3; attempt++) {
		assert_int_equal(fixture->a.n_ids, 1);
		assert_int_equal(fixture->a.attempts[0], attempt);
		retry(fixture, 0);
		stage_turn(&fixture->stage, 1);
	}
	assert_int_equal(fixture->a.n_ids, 0);
	assert_int_equal(fixture->lane->position, 0);
	assert_int_equal(fixture->stage.pipeline->counts.rejected, 1);
	end(fixture);
}

static void a_dead_letter_is_settled_only_after_the_broker_has_it(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.dead_letter.target = "orders.dlq";
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 2);
	reject(fixture);
	struct source_order *order = stage_order(&fixture->stage, ORDER_PUBLISH);
	assert_string_equal(order->outgoing.target, "orders.dlq");
	assert_int_equal(fixture->lane->position, -1);
	/* refused: the pipeline stands still, nothing is dropped, it is tried again */
	pipeline_sink()->published(fixture->stage.pipeline, order->number, -5, "full");
	free(order);
	stage_turn(&fixture->stage, 1000);
	assert_int_equal(fixture->a.n_ids, 0);
	stage_turn(&fixture->stage, 3000000);
	order = stage_order(&fixture->stage, ORDER_PUBLISH);
	assert_non_null(order);
	pipeline_sink()->published(fixture->stage.pipeline, order->number, 0, NULL);
	free(order);
	assert_int_equal(fixture->lane->position, 0);
	assert_int_equal(fixture->stage.pipeline->counts.dead_lettered, 1);
	end(fixture);
}

static void a_refused_dead_letter_does_not_hold_up_a_lane_that_closes(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.dead_letter.target = "orders.dlq";
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 1);
	reject(fixture);
	struct source_order *order = stage_order(&fixture->stage, ORDER_PUBLISH);
	pipeline_sink()->lane_closing(fixture->stage.pipeline, fixture->lane);
	assert_false(fixture->lane->is_drained); /* it may still be confirmed */
	pipeline_sink()->published(fixture->stage.pipeline, order->number, -5, "full");
	free(order);
	assert_true(fixture->lane->is_drained);
	end(fixture);
}

/* Compares one header of a dead letter; NULL: it has none. */
static void header_is(const struct source_order *order, const char *name, const char *value)
{
	for (size_t i = 0; i < order->outgoing.n_headers; i++) {
		const struct qb_header *header = &order->outgoing.headers[i];
		if (header->name.len != strlen(name) || memcmp(header->name.data, name, header->name.len) != 0)
			continue;
		assert_non_null(value);
		assert_int_equal(header->value.len, strlen(value));
		assert_memory_equal(header->value.data, value, header->value.len);
		return;
	}
	assert_null(value);
}

static void a_dead_letter_tells_how_the_worker_ended(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.dead_letter.target = "orders.dlq";
	fixture->stage.conf.max_attempts = 1;
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 2);
	fixture->a.worker.exit = "signal SIGSEGV";
	stage_worker_die(&fixture->stage, &fixture->a, false);
	struct source_order *order = stage_order(&fixture->stage, ORDER_PUBLISH);
	header_is(order, "x-qbus-reason", "crash");
	header_is(order, "x-qbus-error", "it died");
	header_is(order, "x-qbus-exit", "signal SIGSEGV");
	header_is(order, "x-qbus-origin", "topic/0/0");
	free(order);
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	stage_turn(&fixture->stage, 1);
	reject(fixture);
	order = stage_order(&fixture->stage, ORDER_PUBLISH);
	header_is(order, "x-qbus-exit", NULL); /* this one's worker lives */
	free(order);
	end(fixture);
}

static void a_long_reason_is_cut_between_two_characters(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	char reason[2 * 1024 + 8] = "", whole[1024] = "";
	(void)state;
	stage->conf.dead_letter.target = "orders.dlq";
	stage_worker_join(stage, &fixture->a, 1);
	arrive(fixture, 1);
	memset(whole, 'a', 1023);
	snprintf(reason, sizeof reason, "%s\xc3\xa9%s", whole, whole);
	dispatcher_reject(&fixture->a.worker, stage_take(&fixture->a, 0), reason);
	dispatcher_settled(stage->dispatcher, &fixture->a.worker, stage->now_us);
	struct source_order *order = stage_order(stage, ORDER_PUBLISH);
	header_is(order, "x-qbus-error", whole);
	free(order);
	end(fixture);
}

static void a_dead_letter_of_a_queue_tells_its_exchange_and_routing_key(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_EACH, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.dead_letter.target = "dlx";
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 1);
	reject(fixture);
	struct source_order *order = stage_order(&fixture->stage, ORDER_PUBLISH);
	header_is(order, "x-qbus-origin", "orders/new");
	free(order);
	end(fixture);
}

static void a_worker_that_dies_with_one_message_is_charged_for_it(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 1);
	stage_worker_die(&fixture->stage, &fixture->a, false);
	stage_worker_join(&fixture->stage, &fixture->b, 1);
	stage_turn(&fixture->stage, 2000000);
	assert_int_equal(fixture->b.attempts[0], 2);
	end(fixture);
}

static void when_a_worker_dies_with_several_only_the_culprit_is_charged(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.max_attempts = 2;
	stage_worker_join(&fixture->stage, &fixture->a, 8);
	arrive(fixture, 6);
	assert_int_equal(fixture->a.n_ids, 6);
	/* Message 3 kills whoever runs it; everything else is handled. */
	size_t deaths = 0, handled = 0;
	stage_worker_die(&fixture->stage, &fixture->a, false);
	stage_worker_join(&fixture->stage, &fixture->a, 8);
	for (size_t turn = 0; turn < 50; turn++) {
		stage_turn(&fixture->stage, 2000000);
		assert_true(fixture->a.n_ids <= 1); /* suspects come alone */
		if (!fixture->a.n_ids)
			continue;
		if (fixture->a.receipts[0] == 3) {
			deaths++;
			assert_int_equal(fixture->a.attempts[0], deaths);
			stage_worker_die(&fixture->stage, &fixture->a, false);
			stage_worker_join(&fixture->stage, &fixture->a, 8);
			continue;
		}
		assert_int_equal(fixture->a.attempts[0], 1);
		handled++;
		stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	}
	assert_int_equal(handled, 5);
	assert_int_equal(deaths, 2);
	assert_int_equal(fixture->lane->position, 5);
	end(fixture);
}

static void a_handler_past_its_deadline_is_told_and_then_ended(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 2);
	arrive(fixture, 2);
	stage_turn(&fixture->stage, 29000000);
	assert_false(fixture->a.was_cancelled);
	stage_turn(&fixture->stage, 1000000);
	assert_true(fixture->a.was_cancelled);
	assert_false(fixture->a.was_ended);
	stage_turn(&fixture->stage, 5000000);
	assert_true(fixture->a.was_ended);
	stage_worker_die(&fixture->stage, &fixture->a, false);
	stage_worker_join(&fixture->stage, &fixture->b, 2);
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->b.n_ids, 1); /* which of the two hung is not known: they come one by one */
	assert_int_equal(fixture->b.attempts[0], 1);
	stage_turn(&fixture->stage, 35000000);
	stage_turn(&fixture->stage, 35000000);
	assert_true(fixture->b.was_ended);
	int64_t culprit = fixture->b.receipts[0];
	stage_worker_die(&fixture->stage, &fixture->b, false);
	stage_worker_join(&fixture->stage, &fixture->b, 2);
	stage_turn(&fixture->stage, 1);
	assert_int_not_equal(fixture->b.receipts[0], culprit);
	stage_ack(&fixture->stage, &fixture->b, stage_take(&fixture->b, 0));
	stage_turn(&fixture->stage, 2000000);
	assert_int_equal(fixture->b.receipts[0], culprit);
	assert_int_equal(fixture->b.attempts[0], 2);
	end(fixture);
}

static void the_clock_of_a_queued_message_begins_with_the_verdict_before_it(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 2);
	arrive(fixture, 2);
	stage_turn(&fixture->stage, 20000000);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	stage_turn(&fixture->stage, 20000000);
	assert_false(fixture->a.was_cancelled);
	stage_turn(&fixture->stage, 10000000);
	assert_true(fixture->a.was_cancelled);
	end(fixture);
}

static void a_verdict_for_a_younger_delivery_leaves_the_clock_of_the_oldest_alone(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 8);
	arrive(fixture, 8);
	stage_turn(&fixture->stage, 20000000);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 7));
	stage_turn(&fixture->stage, 9000000);
	assert_false(fixture->a.was_cancelled);
	stage_turn(&fixture->stage, 1000000);
	assert_true(fixture->a.was_cancelled);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 5));
	stage_turn(&fixture->stage, 5000000);
	assert_true(fixture->a.was_ended);
	end(fixture);
}

static void a_suspect_is_not_kept_waiting_by_a_steady_stream(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	bool has_come = false;
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 4);
	stage_worker_join(&fixture->stage, &fixture->b, 4);
	arrive(fixture, 8);
	stage_worker_die(&fixture->stage, &fixture->b, false); /* its four are suspects now */
	for (int n = 0; n < 40 && !has_come; n++) {
		arrive(fixture, 2);
		for (size_t i = 0; i < fixture->a.n_ids; i++)
			has_come |= fixture->a.receipts[i] < 8 && fixture->a.n_ids == 1;
		stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
		stage_turn(&fixture->stage, 1);
	}
	assert_true(has_come);
	end(fixture);
}

static void extend_moves_the_deadline_up_to_its_limit(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.max_extension_us = 10000000;
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 1);
	uint64_t id = fixture->a.ids[0];
	stage_turn(&fixture->stage, 29000000);
	int64_t left_us =
		deadline_extend(fixture->stage.dispatcher, &fixture->a.worker, id, 3600000000, fixture->stage.now_us);
	assert_in_range(left_us, 10900000, 11000000);
	assert_int_equal(
		deadline_extend(fixture->stage.dispatcher, &fixture->a.worker, id + 7, 1000, fixture->stage.now_us), 0);
	stage_turn(&fixture->stage, 10900000);
	assert_false(fixture->a.was_cancelled);
	stage_turn(&fixture->stage, 200000);
	assert_true(fixture->a.was_cancelled);
	end(fixture);
}

static void the_clock_of_a_worker_that_was_idle_begins_with_its_next_message(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 1);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	stage_turn(&fixture->stage, 3600000000);
	arrive(fixture, 1);
	stage_turn(&fixture->stage, 29000000);
	assert_int_equal(fixture->a.n_ids, 1);
	assert_false(fixture->a.was_cancelled);
	end(fixture);
}

static void a_rejected_probe_closes_the_circuit_and_a_poison_message_cannot_hold_it_open(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.breaker = (struct pipeline_breaker){0.5, 30000000, 10000000, 2};
	stage_worker_join(&fixture->stage, &fixture->a, 2);
	arrive(fixture, 2);
	retry(fixture, 0);
	retry(fixture, 0);
	arrive(fixture, 1); /* a good one, behind the two that fail */
	stage_turn(&fixture->stage, 10000000);
	assert_int_equal(fixture->a.n_ids, 1);
	assert_int_equal(fixture->a.receipts[0], 2); /* those that failed go to the end */
	reject(fixture);
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->stage.pipeline->breaker.state, BREAKER_CLOSED);
	end(fixture);
}

static void a_frozen_proxy_gives_its_workers_their_grace_afterwards(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 1);
	stage_turn(&fixture->stage, 3600000000); /* an hour in one turn */
	assert_true(fixture->a.was_cancelled);
	assert_false(fixture->a.was_ended);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0)); /* it had acked long ago */
	stage_turn(&fixture->stage, 60000000);
	assert_false(fixture->a.was_ended);
	assert_int_equal(fixture->lane->position, 0);
	end(fixture);
}

static void a_dead_letter_that_is_too_big_for_its_target_stops_nothing_else(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.dead_letter.target = "orders.dlq";
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 2);
	reject(fixture);
	struct source_order *order = stage_order(&fixture->stage, ORDER_PUBLISH);
	pipeline_sink()->published(fixture->stage.pipeline, order->number, -EMSGSIZE, "too big");
	free(order);
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->a.n_ids, 1);
	end(fixture);
}

static void what_a_broker_handed_back_is_no_attempt(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_EACH | QB_FINISH_BUFFERED, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	struct msg_batch *batch = msg_batch_new(1, 8);
	batch->items[0] = (struct msg_item){.lane = fixture->lane, .receipt = 1, .row_len = 8, .deliveries = 9};
	memset(batch->rows, 0, 8);
	pipeline_sink()->batch(fixture->stage.pipeline, batch);
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->a.attempts[0], 1);
	end(fixture);
}

static void an_open_circuit_delivers_nothing_and_charges_nothing(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.breaker = (struct pipeline_breaker){0.5, 30000000, 10000000, 4};
	stage_worker_join(&fixture->stage, &fixture->a, 8);
	arrive(fixture, 8);
	for (int n = 0; n < 4; n++)
		retry(fixture, 1000);
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->stage.pipeline->breaker.state, BREAKER_OPEN);
	for (int n = 0; n < 4; n++)
		retry(fixture, 1000); /* were in flight: not charged */
	stage_turn(&fixture->stage, 5000000);
	assert_int_equal(fixture->a.n_ids, 0);
	stage_turn(&fixture->stage, 5000000);
	assert_int_equal(fixture->a.n_ids, 1); /* the probe */
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->a.n_ids, 7);
	uint32_t n_charged = 0;
	for (int n = 0; n < 7; n++)
		n_charged += fixture->a.attempts[n] - 1;
	assert_in_range(n_charged, 3, 4);
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_max_attempts_a_message_is_rejected_and_its_lane_goes_on),
		cmocka_unit_test(a_dead_letter_is_settled_only_after_the_broker_has_it),
		cmocka_unit_test(a_refused_dead_letter_does_not_hold_up_a_lane_that_closes),
		cmocka_unit_test(a_dead_letter_tells_how_the_worker_ended),
		cmocka_unit_test(a_long_reason_is_cut_between_two_characters),
		cmocka_unit_test(a_dead_letter_of_a_queue_tells_its_exchange_and_routing_key),
		cmocka_unit_test(a_worker_that_dies_with_one_message_is_charged_for_it),
		cmocka_unit_test(when_a_worker_dies_with_several_only_the_culprit_is_charged),
		cmocka_unit_test(a_handler_past_its_deadline_is_told_and_then_ended),
		cmocka_unit_test(the_clock_of_a_queued_message_begins_with_the_verdict_before_it),
		cmocka_unit_test(a_verdict_for_a_younger_delivery_leaves_the_clock_of_the_oldest_alone),
		cmocka_unit_test(a_suspect_is_not_kept_waiting_by_a_steady_stream),
		cmocka_unit_test(extend_moves_the_deadline_up_to_its_limit),
		cmocka_unit_test(the_clock_of_a_worker_that_was_idle_begins_with_its_next_message),
		cmocka_unit_test(a_rejected_probe_closes_the_circuit_and_a_poison_message_cannot_hold_it_open),
		cmocka_unit_test(a_frozen_proxy_gives_its_workers_their_grace_afterwards),
		cmocka_unit_test(a_dead_letter_that_is_too_big_for_its_target_stops_nothing_else),
		cmocka_unit_test(what_a_broker_handed_back_is_no_attempt),
		cmocka_unit_test(an_open_circuit_delivers_nothing_and_charges_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
