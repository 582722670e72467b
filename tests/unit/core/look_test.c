/* SPDX-License-Identifier: MIT */
/* Tests of what others may look at, and of the times that are recorded. */
#include "stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000, SECOND = 1000 * MS };

struct fixture {
	struct stage stage;
	struct lane *lanes[2];
	struct stage_worker worker;
};

static int begin(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	log_configure(LOG_ERROR, false);
	stage_init(&fixture->stage, QB_SETTLE_PREFIX, ORDERING_NONE);
	for (int i = 0; i < 2; i++)
		fixture->lanes[i] = stage_lane(&fixture->stage, i, 0, "");
	*state = fixture;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;
	if (fixture->worker.is_there)
		stage_worker_die(&fixture->stage, &fixture->worker, true);
	stage_done(&fixture->stage);
	free(fixture);
	return 0;
}

static const struct pipeline_times *times_of(const struct fixture *fixture)
{
	struct pipeline_look look;
	look_pipeline(fixture->stage.pipeline, &look);
	return look.times;
}

static void arrive(struct fixture *fixture, int64_t n)
{
	for (int64_t receipt = 0; receipt < n; receipt++)
		stage_arrive(&fixture->stage, fixture->lanes[0], receipt, 0);
}

/* One frame that acks the first n of what the worker holds. */
static void ack(struct fixture *fixture, uint64_t n)
{
	struct stage *stage = &fixture->stage;
	struct worker *worker = &fixture->worker.worker;
	dispatcher_ack(worker, worker->base_id, n);
	dispatcher_settled(stage->dispatcher, worker, stage->now_us);
}

static void a_frame_is_measured_once_for_all_that_it_settles(void **state)
{
	struct fixture *fixture = *state;
	const struct histogram *handler = &times_of(fixture)->handler;
	stage_worker_join(&fixture->stage, &fixture->worker, 4);
	arrive(fixture, 4);
	stage_turn(&fixture->stage, 1);
	stage_turn(&fixture->stage, 40 * MS);
	ack(fixture, 4);
	assert_int_equal(handler->count, 4);
	assert_int_equal(handler->sum, 4 * (10 * MS));
}

static void the_clock_of_the_next_message_begins_with_the_verdict_before(void **state)
{
	struct fixture *fixture = *state;
	const struct histogram *handler = &times_of(fixture)->handler;
	stage_worker_join(&fixture->stage, &fixture->worker, 2);
	arrive(fixture, 2);
	stage_turn(&fixture->stage, 1);
	stage_turn(&fixture->stage, 30 * MS);
	ack(fixture, 1);
	stage_turn(&fixture->stage, 5 * MS);
	ack(fixture, 1);
	assert_int_equal(handler->count, 2);
	assert_int_equal(handler->sum, 35 * MS);
}

static void a_message_waits_from_its_arrival_to_its_first_delivery(void **state)
{
	struct fixture *fixture = *state;
	const struct histogram *wait = &times_of(fixture)->wait;
	stage_turn(&fixture->stage, 1);
	arrive(fixture, 3);
	stage_turn(&fixture->stage, 2 * SECOND);
	stage_worker_join(&fixture->stage, &fixture->worker, 3);
	stage_turn(&fixture->stage, 0);
	assert_int_equal(wait->count, 3);
	assert_int_equal(wait->sum, 3 * INT64_C(2) * SECOND);
	dispatcher_retry(&fixture->worker.worker, fixture->worker.worker.base_id, SECOND, "no", fixture->stage.now_us);
	dispatcher_settled(fixture->stage.dispatcher, &fixture->worker.worker, fixture->stage.now_us);
	stage_turn(&fixture->stage, 2 * SECOND);
	assert_int_equal(fixture->worker.worker.n_held, 3);
	assert_int_equal(wait->count, 3); /* the second attempt waited for its backoff, not for a worker */
}

static void end_to_end_needs_both_clocks(void **state)
{
	struct fixture *fixture = *state;
	struct worker *worker = &fixture->worker.worker;
	const struct histogram *end_to_end = &times_of(fixture)->end_to_end;
	stage_worker_join(&fixture->stage, &fixture->worker, 4);
	arrive(fixture, 4);
	stage_turn(&fixture->stage, 1);
	for (uint64_t id = worker->base_id; id < worker->next_id; id++)
		worker_find(worker, id)->timestamp_ms = 500;
	ack(fixture, 1); /* nobody said what time it is */
	assert_int_equal(end_to_end->count, 0);
	dispatcher_set_clock(fixture->stage.dispatcher, fixture->stage.now_us, 800);
	ack(fixture, 2);
	assert_int_equal(end_to_end->count, 2);
	assert_int_equal(end_to_end->sum, 2 * (300 * MS));
	worker_find(worker, worker->base_id)->timestamp_ms = -1;
	ack(fixture, 1); /* the broker said nothing */
	assert_int_equal(end_to_end->count, 2);
}

static void retries_and_rejects_are_counted_by_reason(void **state)
{
	struct fixture *fixture = *state;
	struct stage *stage = &fixture->stage;
	struct worker *worker = &fixture->worker.worker;
	struct pipeline_counts counts;
	stage_worker_join(stage, &fixture->worker, 2);
	arrive(fixture, 2);
	stage_turn(stage, 1);
	dispatcher_retry(worker, worker->base_id, SECOND, "no", stage->now_us);
	dispatcher_reject(worker, worker->base_id, "bad");
	dispatcher_settled(stage->dispatcher, worker, stage->now_us);
	pipeline_count(stage->pipeline, &counts);
	assert_int_equal(counts.retried_by[REASON_EXCEPTION], 1);
	assert_int_equal(counts.rejected_by[REASON_REJECTED], 1);
	assert_string_equal(pipeline_reason_name(REASON_EXCEPTION), "exception");
}

static void count_lane(void *ctx, const struct lane *lane)
{
	*(int *)ctx += 1 + 10 * lane->partition;
}

static void count_held(void *ctx, const struct entry *entry)
{
	*(int *)ctx += 1 + 10 * (int)entry->receipt;
}

static void visit_worker(void *ctx, const struct worker *worker)
{
	assert_int_equal(look_n_pipelines(worker), 1);
	look_held(worker, count_held, ctx);
}

static void everything_is_visited(void **state)
{
	struct fixture *fixture = *state;
	struct pipeline_look look;
	int lanes = 0, held = 0;
	look_pipeline(fixture->stage.pipeline, &look);
	assert_int_equal(look.n_workers, 0);
	stage_worker_join(&fixture->stage, &fixture->worker, 3);
	arrive(fixture, 4);
	stage_turn(&fixture->stage, 1);
	dispatcher_ack(&fixture->worker.worker, fixture->worker.worker.base_id + 1, 1);
	look_pipeline(fixture->stage.pipeline, &look);
	look_lanes(fixture->stage.pipeline, count_lane, &lanes);
	look_workers(fixture->stage.dispatcher, visit_worker, &held);
	assert_int_equal(look.n_workers, 1);
	assert_int_equal(lanes, 1 + 11);
	assert_int_equal(held, 1 + 21); /* receipts 0 and 2 */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_frame_is_measured_once_for_all_that_it_settles),
		TEST(the_clock_of_the_next_message_begins_with_the_verdict_before),
		TEST(a_message_waits_from_its_arrival_to_its_first_delivery),
		TEST(end_to_end_needs_both_clocks),
		TEST(retries_and_rejects_are_counted_by_reason),
		TEST(everything_is_visited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
