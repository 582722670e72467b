/* SPDX-License-Identifier: MIT */
/* What an operator does to pipelines, lanes and deliveries, and what that leaves in the ledger. */
#include "core/steer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fixture.h"

static int skip_nothing(void *source, uint64_t lane, int64_t receipt)
{
	(void)source, (void)lane, (void)receipt;
	return 0; /* never called: the source has no thread */
}

static void a_held_pipeline_delivers_nothing_and_shuts_its_lanes(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	(void)state;
	assert_int_equal(steer_hold(stage->dispatcher, "other", true), -ENOENT);
	assert_int_equal(steer_hold(stage->dispatcher, "stage", true), 0);
	struct source_order *order = stage_order(stage, ORDER_FLOW);
	assert_false(order->on);
	free(order);
	stage_worker_join(stage, &fixture->a, 10);
	arrive(fixture, 3);
	stage_turn(stage, 1);
	assert_int_equal(fixture->a.n_ids, 0);
	assert_int_equal(steer_hold(stage->dispatcher, "stage", true), 0); /* said twice */
	assert_null(stage_order(stage, ORDER_FLOW));
	assert_int_equal(steer_hold(stage->dispatcher, "stage", false), 0);
	order = stage_order(stage, ORDER_FLOW);
	assert_true(order->on);
	free(order);
	stage_turn(stage, 1);
	assert_int_equal(fixture->a.n_ids, 3);
	end(fixture);
}

static void only_a_wedged_lane_is_skipped_and_the_position_passes_it_in_its_turn(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	struct dispatcher *dispatcher = stage->dispatcher;
	struct lane *lane = fixture->lane;
	(void)state;
	stage->plugin.size = sizeof stage->plugin;
	assert_int_equal(steer_skip(dispatcher, "stage", lane->source, lane->partition, 9), -ENOTSUP);
	stage->plugin.skip = skip_nothing;
	stage_worker_join(stage, &fixture->a, 1);
	arrive(fixture, 1);
	assert_int_equal(steer_skip(dispatcher, "other", lane->source, lane->partition, 9), -ENOENT);
	assert_int_equal(steer_skip(dispatcher, "stage", "other", lane->partition, 9), -ENODEV);
	assert_int_equal(steer_skip(dispatcher, "stage", lane->source, lane->partition, 9), -EBUSY);
	lane->is_wedged = true;
	assert_int_equal(steer_skip(dispatcher, "stage", lane->source, lane->partition, lane->newest), -ERANGE);
	assert_int_equal(steer_skip(dispatcher, "stage", lane->source, lane->partition, 9), 0);
	struct source_order *order = stage_order(stage, ORDER_SKIP);
	assert_int_equal(order->receipt, 9);
	free(order);
	int64_t before = lane->position;
	pipeline_sink()->skipped(stage->pipeline, lane, 9, -ERANGE); /* the plugin refuses */
	assert_int_equal(lane->newest, before + 1);
	pipeline_sink()->skipped(stage->pipeline, lane, 9, 0);
	assert_int_equal(lane->newest, 9);
	assert_int_equal(lane->position, before); /* an older one runs still */
	stage_ack(stage, &fixture->a, stage_take(&fixture->a, 0));
	assert_int_equal(lane->position, 9);
	assert_null(dispatcher_check(dispatcher));
	end(fixture);
}

static void a_delivery_that_runs_is_past_its_deadline_when_it_is_called_off(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	struct dispatcher *dispatcher = stage->dispatcher;
	uint64_t before = 0;
	(void)state;
	stage_worker_join(stage, &fixture->a, 2);
	arrive(fixture, 2);
	stage_turn(stage, 1000);
	assert_int_equal(fixture->a.n_ids, 2);
	assert_int_equal(steer_cancel(dispatcher, 1, stage->now_us, &before), -ENOENT);
	assert_int_equal(steer_cancel(dispatcher, fixture->a.ids[1], stage->now_us, &before), -EAGAIN);
	assert_int_equal(before, fixture->a.ids[0]);
	assert_int_equal(steer_cancel(dispatcher, fixture->a.ids[0], stage->now_us, &before), 0);
	stage_turn(stage, 0);
	assert_true(fixture->a.was_cancelled);
	assert_int_equal(steer_cancel(dispatcher, fixture->a.ids[0], stage->now_us, &before), -EALREADY);
	assert_false(fixture->a.was_ended);
	stage_turn(stage, stage->conf.handler_grace_us);
	assert_true(fixture->a.was_ended);
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_held_pipeline_delivers_nothing_and_shuts_its_lanes),
		cmocka_unit_test(only_a_wedged_lane_is_skipped_and_the_position_passes_it_in_its_turn),
		cmocka_unit_test(a_delivery_that_runs_is_past_its_deadline_when_it_is_called_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
