/* SPDX-License-Identifier: MIT */
/* A dead-letter target that refuses: the pipeline stands still until it takes one. */
#include "core/steer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fixture.h"

/* The broker's answer to the dead letter that was published last. */
static void answer(struct fixture *fixture, int status)
{
	struct source_order *order = stage_order(&fixture->stage, ORDER_PUBLISH);
	assert_non_null(order);
	pipeline_sink()->published(fixture->stage.pipeline, order->number, status, status < 0 ? "full" : NULL);
	free(order);
}

/* Two workers with a message each; that of `a` becomes a dead letter, which is refused, and `b` goes on. */
static struct fixture *begin_refused(uint32_t traits)
{
	struct fixture *fixture = begin(traits, ORDERING_NONE);
	fixture->stage.conf.dead_letter.target = "orders.dlq";
	stage_worker_join(&fixture->stage, &fixture->a, 1);
	stage_worker_join(&fixture->stage, &fixture->b, 1);
	arrive(fixture, 4);
	assert_int_equal(fixture->a.n_ids + fixture->b.n_ids, 2);
	reject(fixture);
	answer(fixture, -5);
	stage_turn(&fixture->stage, 1);
	return fixture;
}

static void a_refused_dead_letter_holds_all_up_until_one_is_confirmed(void **state)
{
	struct fixture *fixture = begin_refused(QB_SETTLE_PREFIX);
	struct stage *stage = &fixture->stage;
	struct pipeline_look look;
	(void)state;
	stage_ack(stage, &fixture->b, stage_take(&fixture->b, 0)); /* what runs ends, and counts */
	assert_int_equal(stage->pipeline->counts.acked, 1);
	for (int n = 0; n < 4; n++) {
		stage_turn(stage, 20000000); /* tried again, not answered yet */
		look_pipeline(stage->pipeline, &look);
		assert_true(look.is_refused);
		assert_int_equal(fixture->a.n_ids + fixture->b.n_ids, 0);
		answer(fixture, -5);
		stage_turn(stage, 1);
		assert_int_equal(fixture->a.n_ids + fixture->b.n_ids, 0);
	}
	stage_turn(stage, 20000000);
	answer(fixture, 0);
	stage_turn(stage, 1);
	look_pipeline(stage->pipeline, &look);
	assert_false(look.is_refused);
	assert_int_equal(fixture->a.n_ids + fixture->b.n_ids, 2);
	end(fixture);
}

static void a_refused_dead_letter_that_went_with_its_lane_holds_nothing_up(void **state)
{
	struct fixture *fixture = begin_refused(QB_SETTLE_PREFIX);
	struct stage *stage = &fixture->stage;
	(void)state;
	struct lane *other = stage_lane(stage, 1, 0, "");
	stage_arrive(stage, other, 0, 1);
	stage_turn(stage, 1);
	assert_int_equal(fixture->a.n_ids, 0);
	stage_lane_close(stage, fixture->lane);
	stage_turn(stage, 1);
	assert_int_equal(fixture->a.n_ids, 1);
	end(fixture);
}

static void a_stop_does_not_wait_for_a_target_that_refuses(void **state)
{
	struct fixture *fixture = begin_refused(QB_SETTLE_EACH | QB_FINISH_BUFFERED);
	struct stage *stage = &fixture->stage;
	(void)state;
	dispatcher_stop(stage->dispatcher);
	assert_false(dispatcher_is_idle(stage->dispatcher));
	stage_ack(stage, &fixture->b, stage_take(&fixture->b, 0));
	stage_turn(stage, 1);
	assert_true(dispatcher_is_idle(stage->dispatcher));
	end(fixture);
}

/* Refused until it waits longest, so that only a hurry can have it tried at once. */
static struct fixture *begin_patient(void)
{
	struct fixture *fixture = begin_refused(QB_SETTLE_PREFIX);
	for (int n = 0; n < 8; n++) {
		stage_turn(&fixture->stage, 20000000);
		answer(fixture, -5);
	}
	stage_turn(&fixture->stage, 1000000);
	assert_null(stage_order(&fixture->stage, ORDER_PUBLISH));
	return fixture;
}

static void a_target_that_is_there_again_gets_its_dead_letters_at_once(void **state)
{
	struct fixture *fixture = begin_patient();
	struct stage *stage = &fixture->stage;
	(void)state;
	pipeline_sink()->condition(stage->pipeline, QB_TARGET_MISSING, NULL, false, NULL);
	stage_turn(stage, 1);
	answer(fixture, -5); /* not quite there: tried again soon */
	stage_turn(stage, 2000000);
	answer(fixture, 0);
	assert_int_equal(stage->pipeline->counts.dead_lettered, 1);
	end(fixture);
}

static void an_operator_can_have_refused_dead_letters_tried_at_once(void **state)
{
	struct fixture *fixture = begin_patient();
	struct stage *stage = &fixture->stage;
	(void)state;
	assert_int_equal(steer_hold(stage->dispatcher, "stage", false), 0);
	stage_turn(stage, 1);
	answer(fixture, 0);
	assert_int_equal(stage->pipeline->counts.dead_lettered, 1);
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refused_dead_letter_holds_all_up_until_one_is_confirmed),
		cmocka_unit_test(a_refused_dead_letter_that_went_with_its_lane_holds_nothing_up),
		cmocka_unit_test(a_stop_does_not_wait_for_a_target_that_refuses),
		cmocka_unit_test(a_target_that_is_there_again_gets_its_dead_letters_at_once),
		cmocka_unit_test(an_operator_can_have_refused_dead_letters_tried_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
