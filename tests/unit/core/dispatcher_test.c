/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct stage stage;
	struct lane *lane;
	struct stage_worker a, b;
};

static struct fixture *begin(uint32_t traits, enum pipeline_ordering ordering)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	log_configure(LOG_ERROR, false);
	stage_init(&fixture->stage, traits, ordering);
	fixture->lane = stage_lane(&fixture->stage, 0, 0, "");
	return fixture;
}

static void end(struct fixture *fixture)
{
	assert_null(dispatcher_check(fixture->stage.dispatcher));
	if (fixture->a.is_there)
		stage_worker_die(&fixture->stage, &fixture->a, true);
	if (fixture->b.is_there)
		stage_worker_die(&fixture->stage, &fixture->b, true);
	stage_done(&fixture->stage);
	free(fixture);
}

static void arrive(struct fixture *fixture, int64_t n)
{
	int64_t first = fixture->lane->newest + 1;
	for (int64_t i = 0; i < n; i++)
		stage_arrive(&fixture->stage, fixture->lane, first + i, 1);
	stage_turn(&fixture->stage, 1);
}

static void retry(struct fixture *fixture, int64_t delay_us)
{
	struct stage *stage = &fixture->stage;
	dispatcher_retry(&fixture->a.worker, stage_take(&fixture->a, 0), delay_us, "no", stage->now_us);
	dispatcher_settled(stage->dispatcher, &fixture->a.worker, stage->now_us);
}

static void reject(struct fixture *fixture)
{
	struct stage *stage = &fixture->stage;
	dispatcher_reject(&fixture->a.worker, stage_take(&fixture->a, 0), "bad");
	dispatcher_settled(stage->dispatcher, &fixture->a.worker, stage->now_us);
}

static void a_worker_never_holds_more_than_its_credit(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 3);
	arrive(fixture, 10);
	assert_int_equal(fixture->a.n_ids, 3);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 1));
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->a.n_ids, 3);
	end(fixture);
}

static void workers_share_what_is_ready(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 100);
	stage_worker_join(&fixture->stage, &fixture->b, 100);
	arrive(fixture, 40);
	assert_int_equal(fixture->a.n_ids + fixture->b.n_ids, 40);
	assert_in_range(fixture->a.n_ids, 15, 25);
	end(fixture);
}

static void a_retry_keeps_its_place_in_partition_order(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_PARTITION);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 10);
	arrive(fixture, 3);
	assert_int_equal(fixture->a.n_ids, 1);
	retry(fixture, 5000);
	stage_turn(&fixture->stage, 4000);
	assert_int_equal(fixture->a.n_ids, 0); /* 1 does not overtake 0 */
	stage_turn(&fixture->stage, 2000);
	assert_int_equal(fixture->a.n_ids, 1);
	assert_int_equal(fixture->a.receipts[0], 0);
	assert_int_equal(fixture->a.attempts[0], 2);
	end(fixture);
}

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

static void a_verdict_for_a_lost_lane_goes_nowhere(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 4);
	arrive(fixture, 2);
	stage_lane_close(&fixture->stage, fixture->lane);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 1));
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	stage_turn(&fixture->stage, 5000000);
	assert_null(stage_order(&fixture->stage, ORDER_SETTLE));
	assert_int_equal(fixture->stage.pipeline->ledger.n_released, 2);
	end(fixture);
}

static void a_closing_lane_waits_for_its_handlers_and_then_says_so(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 2);
	arrive(fixture, 5);
	stage_lane_closing(&fixture->stage, fixture->lane);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->a.n_ids, 1); /* nothing new of it */
	assert_false(fixture->lane->is_drained);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	struct source_order *order = stage_order(&fixture->stage, ORDER_SETTLE);
	assert_int_equal(order->settlements[0].receipt, 1);
	free(order);
	order = stage_order(&fixture->stage, ORDER_LANE_DRAINED);
	assert_int_equal(order->number, fixture->lane->number);
	free(order);
	end(fixture);
}

static void commits_go_out_at_the_interval_and_again_after_a_failure(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 2);
	arrive(fixture, 1);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	stage_turn(&fixture->stage, 1);
	stage_turn(&fixture->stage, 999000);
	assert_null(stage_order(&fixture->stage, ORDER_SETTLE));
	stage_turn(&fixture->stage, 1000);
	struct source_order *order = stage_order(&fixture->stage, ORDER_SETTLE);
	assert_int_equal(order->settlements[0].receipt, 0);
	free(order);
	pipeline_sink()->kept(fixture->stage.pipeline, fixture->lane, 0, -5);
	stage_turn(&fixture->stage, 1);
	stage_turn(&fixture->stage, 1000000);
	order = stage_order(&fixture->stage, ORDER_SETTLE);
	assert_non_null(order);
	free(order);
	pipeline_sink()->kept(fixture->stage.pipeline, fixture->lane, 0, 0);
	assert_int_equal(fixture->lane->kept, 0);
	end(fixture);
}

static void a_broker_that_wants_each_receipt_gets_each_with_its_verdict(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_EACH | QB_FINISH_BUFFERED, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 3);
	arrive(fixture, 3);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 2));
	reject(fixture);
	stage_turn(&fixture->stage, 1);
	struct source_order *order = stage_order(&fixture->stage, ORDER_SETTLE);
	assert_int_equal(order->n, 2);
	assert_int_equal(order->settlements[0].receipt, 2);
	assert_int_equal(order->settlements[0].verdict, QB_ACK);
	assert_int_equal(order->settlements[1].receipt, 0);
	assert_int_equal(order->settlements[1].verdict, QB_REJECT);
	free(order);
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

static void the_credit_of_a_pipeline_bounds_what_its_workers_hold(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.credit = 2;
	stage_worker_join(&fixture->stage, &fixture->a, 0); /* automatic */
	stage_worker_join(&fixture->stage, &fixture->b, 9);
	arrive(fixture, 40);
	for (int n = 0; n < 10; n++) {
		assert_int_equal(fixture->a.n_ids, 2);
		assert_int_equal(fixture->b.n_ids, 2);
		stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
		stage_turn(&fixture->stage, 1);
	}
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
		dispatcher_extend(fixture->stage.dispatcher, &fixture->a.worker, id, 3600000000, fixture->stage.now_us);
	assert_in_range(left_us, 10900000, 11000000);
	assert_int_equal(
		dispatcher_extend(fixture->stage.dispatcher, &fixture->a.worker, id + 7, 1000, fixture->stage.now_us), 0);
	stage_turn(&fixture->stage, 10900000);
	assert_false(fixture->a.was_cancelled);
	stage_turn(&fixture->stage, 200000);
	assert_true(fixture->a.was_cancelled);
	end(fixture);
}

static void verdicts_for_what_is_not_held_are_late_and_cost_nothing(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 2);
	arrive(fixture, 2);
	uint64_t id = fixture->a.ids[0];
	assert_int_equal(dispatcher_ack(&fixture->a.worker, 1, 5), 5);
	assert_int_equal(
		dispatcher_ack(&fixture->a.worker, id + 2, UINT64_MAX), (size_t)UINT64_MAX);
	assert_int_equal(dispatcher_reject(&fixture->a.worker, id + 100, "no"), 1);
	assert_int_equal(fixture->lane->n_running, 2);
	end(fixture);
}

static void a_stop_finishes_what_runs_and_starts_nothing_of_kafka(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 3);
	dispatcher_stop(fixture->stage.dispatcher);
	assert_false(dispatcher_is_idle(fixture->stage.dispatcher));
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->a.n_ids, 0);
	assert_true(dispatcher_is_idle(fixture->stage.dispatcher));
	end(fixture);
}

static void a_stop_works_off_what_amqp_has_sent(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_EACH | QB_FINISH_BUFFERED, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 3);
	dispatcher_stop(fixture->stage.dispatcher);
	for (size_t n = 0; n < 3; n++) {
		assert_false(dispatcher_is_idle(fixture->stage.dispatcher));
		stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
		stage_turn(&fixture->stage, 1);
	}
	assert_true(dispatcher_is_idle(fixture->stage.dispatcher));
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

static void a_lane_with_too_large_a_gap_takes_no_new_work(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	fixture->stage.conf.max_ack_gap = 10;
	stage_worker_join(&fixture->stage, &fixture->a, 100);
	arrive(fixture, 11);
	struct source_order *order = stage_order(&fixture->stage, ORDER_FLOW);
	assert_non_null(order);
	assert_false(order->on);
	free(order);
	while (fixture->a.n_ids > 1)
		stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 1));
	assert_true(fixture->lane->is_shut); /* the oldest one blocks */
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	order = stage_order(&fixture->stage, ORDER_FLOW);
	assert_true(order->on);
	free(order);
	end(fixture);
}

static void credit_follows_the_time_that_handlers_take(void **state)
{
	struct worker worker;
	(void)state;
	worker_init(&worker, NULL, 1);
	for (int i = 0; i < 10; i++)
		worker_measure(&worker, worker.credit, 20000 * (int64_t)worker.credit);
	assert_int_equal(worker.credit, 1);
	for (int i = 0; i < 20; i++)
		worker_measure(&worker, worker.credit, worker.credit); /* 1 us each */
	assert_true(worker.credit > 1000);
	for (int i = 0; i < 60; i++)
		worker_measure(&worker, 1, 10000);
	assert_int_equal(worker.credit, 1);
	worker_done(&worker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_never_holds_more_than_its_credit),
		cmocka_unit_test(workers_share_what_is_ready),
		cmocka_unit_test(a_retry_keeps_its_place_in_partition_order),
		cmocka_unit_test(after_max_attempts_a_message_is_rejected_and_its_lane_goes_on),
		cmocka_unit_test(a_dead_letter_is_settled_only_after_the_broker_has_it),
		cmocka_unit_test(a_worker_that_dies_with_one_message_is_charged_for_it),
		cmocka_unit_test(when_a_worker_dies_with_several_only_the_culprit_is_charged),
		cmocka_unit_test(a_verdict_for_a_lost_lane_goes_nowhere),
		cmocka_unit_test(a_closing_lane_waits_for_its_handlers_and_then_says_so),
		cmocka_unit_test(commits_go_out_at_the_interval_and_again_after_a_failure),
		cmocka_unit_test(a_broker_that_wants_each_receipt_gets_each_with_its_verdict),
		cmocka_unit_test(a_handler_past_its_deadline_is_told_and_then_ended),
		cmocka_unit_test(the_clock_of_a_queued_message_begins_with_the_verdict_before_it),
		cmocka_unit_test(a_verdict_for_a_younger_delivery_leaves_the_clock_of_the_oldest_alone),
		cmocka_unit_test(the_credit_of_a_pipeline_bounds_what_its_workers_hold),
		cmocka_unit_test(a_suspect_is_not_kept_waiting_by_a_steady_stream),
		cmocka_unit_test(extend_moves_the_deadline_up_to_its_limit),
		cmocka_unit_test(verdicts_for_what_is_not_held_are_late_and_cost_nothing),
		cmocka_unit_test(a_stop_finishes_what_runs_and_starts_nothing_of_kafka),
		cmocka_unit_test(a_stop_works_off_what_amqp_has_sent),
		cmocka_unit_test(an_open_circuit_delivers_nothing_and_charges_nothing),
		cmocka_unit_test(a_lane_with_too_large_a_gap_takes_no_new_work),
		cmocka_unit_test(credit_follows_the_time_that_handlers_take),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
