/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fixture.h"

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

static void a_thawed_pipeline_delivers_nothing_before_its_source_has_confirmed(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	(void)state;
	stage_worker_join(stage, &fixture->a, 1);
	arrive(fixture, 3);
	dispatcher_thaw(stage->dispatcher, 3000000, stage->now_us);
	dispatcher_thaw(stage->dispatcher, 3000000, stage->now_us);
	stage_ack(stage, &fixture->a, stage_take(&fixture->a, 0));
	stage_turn(stage, 1000000);
	assert_int_equal(fixture->a.n_ids, 0);
	assert_int_equal(fixture->lane->position, 0);   /* what the worker said in the meantime counts */
	pipeline_sink()->confirmed(stage->pipeline, 1); /* an answer to the first question only */
	stage_turn(stage, 1);
	assert_int_equal(fixture->a.n_ids, 0);
	pipeline_sink()->confirmed(stage->pipeline, 2);
	stage_turn(stage, 1);
	assert_int_equal(fixture->a.n_ids, 1);
	end(fixture);
}

static void a_stop_waits_for_what_was_buffered_before_a_standstill(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_EACH | QB_FINISH_BUFFERED, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	(void)state;
	stage_worker_join(stage, &fixture->a, 1);
	pipeline_sink()->state(stage->pipeline, SOURCE_OPEN);
	dispatcher_thaw(stage->dispatcher, 3000000, stage->now_us);
	arrive(fixture, 1);
	dispatcher_stop(stage->dispatcher);
	pipeline_sink()->drained(stage->pipeline);
	stage_turn(stage, 1);
	assert_int_equal(fixture->a.n_ids, 0);
	assert_false(dispatcher_is_idle(stage->dispatcher));
	pipeline_sink()->confirmed(stage->pipeline, 1);
	stage_turn(stage, 1);
	stage_ack(stage, &fixture->a, stage_take(&fixture->a, 0));
	stage_turn(stage, 1);
	assert_true(dispatcher_is_idle(stage->dispatcher));
	end(fixture);
}

static void a_thawed_pipeline_does_not_wait_for_ever(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	(void)state;
	dispatcher_thaw(stage->dispatcher, 3000000, stage->now_us);
	stage_worker_join(stage, &fixture->a, 1);
	arrive(fixture, 1);
	assert_int_equal(fixture->a.n_ids, 0);
	int64_t due_us = dispatcher_tick(stage->dispatcher, stage->now_us);
	assert_in_range(due_us, stage->now_us + 1, stage->now_us + 5000000);
	stage_turn(stage, due_us - stage->now_us);
	assert_int_equal(fixture->a.n_ids, 1);
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

/* A moment that has passed would make the loop turn without a pause. */
static void a_lost_lane_takes_its_commit_along(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	(void)state;
	stage_worker_join(stage, &fixture->a, 2);
	arrive(fixture, 1);
	stage_ack(stage, &fixture->a, stage_take(&fixture->a, 0));
	assert_in_range(dispatcher_tick(stage->dispatcher, stage->now_us), stage->now_us, CLOCK_NEVER - 1);
	stage_lane_close(stage, fixture->lane);
	stage_turn(stage, 60000000);
	int64_t due_us = dispatcher_tick(stage->dispatcher, stage->now_us);
	assert_true(due_us > stage->now_us);
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

static void what_is_acked_above_the_position_is_proven_by_the_outcome_of_its_own_commit(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	struct lane *lane = fixture->lane;
	(void)state;
	stage_worker_join(stage, &fixture->a, 3);
	arrive(fixture, 3);
	stage_ack(stage, &fixture->a, stage_take(&fixture->a, 1));
	pipeline_commit(stage->pipeline);
	assert_int_equal(lane_unproven(lane), 1);
	stage_ack(stage, &fixture->a, stage_take(&fixture->a, 1));
	pipeline_commit(stage->pipeline); /* the same position, another memo */
	pipeline_sink()->kept(stage->pipeline, lane, lane->position, 0);
	assert_int_equal(lane_unproven(lane), 2);
	pipeline_sink()->kept(stage->pipeline, lane, lane->position, -5);
	assert_int_equal(lane_unproven(lane), 2);
	pipeline_commit(stage->pipeline);
	pipeline_sink()->kept(stage->pipeline, lane, lane->position, 0);
	assert_int_equal(lane_unproven(lane), 0);
	end(fixture);
}

static void a_stop_whose_last_memo_did_not_arrive_is_not_clean(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	struct pipeline_counts counts;
	(void)state;
	stage_worker_join(stage, &fixture->a, 2);
	arrive(fixture, 2);
	stage_ack(stage, &fixture->a, stage_take(&fixture->a, 1));
	retry(fixture, 60000000);
	dispatcher_stop(stage->dispatcher);
	pipeline_commit(stage->pipeline);
	stage_lane_close(stage, fixture->lane);
	fixture->lane = NULL;
	pipeline_count(stage->pipeline, &counts);
	assert_int_equal(counts.unproven, 1);
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

static void verdicts_for_what_is_not_held_are_late_and_cost_nothing(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 2);
	arrive(fixture, 2);
	uint64_t id = fixture->a.ids[0];
	assert_int_equal(dispatcher_ack(&fixture->a.worker, 1, 5), 5);
	assert_int_equal(dispatcher_ack(&fixture->a.worker, id + 2, UINT64_MAX), (size_t)UINT64_MAX);
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

/* n that are acked give way to the next n. */
static void work_off(struct fixture *fixture, size_t n)
{
	while (n--) {
		stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
		stage_turn(&fixture->stage, 1);
	}
}

static void a_source_is_asked_for_no_more_while_plenty_is_ready(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	const struct source *source = pipeline_source(fixture->stage.pipeline);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 100);
	arrive(fixture, 1000);
	assert_false(source->is_sated);
	arrive(fixture, 1000);
	assert_true(source->is_sated);
	work_off(fixture, 600);
	assert_true(source->is_sated);
	work_off(fixture, 800);
	assert_false(source->is_sated);
	end(fixture);
}

static void what_is_ready_of_a_closing_lane_keeps_nobody_from_reading_on(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	const struct source *source = pipeline_source(fixture->stage.pipeline);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	arrive(fixture, 2000);
	assert_true(source->is_sated);
	stage_lane_closing(&fixture->stage, fixture->lane);
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->a.n_ids, 1); /* it still runs, and the lane with it */
	assert_false(source->is_sated);
	stage_lane_close(&fixture->stage, fixture->lane);
	fixture->lane = stage_lane(&fixture->stage, 0, 0, "");
	arrive(fixture, 2000);
	assert_true(source->is_sated); /* a lane that is gone is forgotten */
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
		cmocka_unit_test(a_thawed_pipeline_delivers_nothing_before_its_source_has_confirmed),
		cmocka_unit_test(a_stop_waits_for_what_was_buffered_before_a_standstill),
		cmocka_unit_test(a_thawed_pipeline_does_not_wait_for_ever),
		cmocka_unit_test(a_verdict_for_a_lost_lane_goes_nowhere),
		cmocka_unit_test(a_lost_lane_takes_its_commit_along),
		cmocka_unit_test(a_closing_lane_waits_for_its_handlers_and_then_says_so),
		cmocka_unit_test(commits_go_out_at_the_interval_and_again_after_a_failure),
		cmocka_unit_test(what_is_acked_above_the_position_is_proven_by_the_outcome_of_its_own_commit),
		cmocka_unit_test(a_stop_whose_last_memo_did_not_arrive_is_not_clean),
		cmocka_unit_test(a_broker_that_wants_each_receipt_gets_each_with_its_verdict),
		cmocka_unit_test(the_credit_of_a_pipeline_bounds_what_its_workers_hold),
		cmocka_unit_test(verdicts_for_what_is_not_held_are_late_and_cost_nothing),
		cmocka_unit_test(a_stop_finishes_what_runs_and_starts_nothing_of_kafka),
		cmocka_unit_test(a_stop_works_off_what_amqp_has_sent),
		cmocka_unit_test(a_lane_with_too_large_a_gap_takes_no_new_work),
		cmocka_unit_test(a_source_is_asked_for_no_more_while_plenty_is_ready),
		cmocka_unit_test(what_is_ready_of_a_closing_lane_keeps_nobody_from_reading_on),
		cmocka_unit_test(credit_follows_the_time_that_handlers_take),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
