/* SPDX-License-Identifier: MIT */
/* Told, broken, ended: the clocks of a worker, turned by hand. handler_timeout is 30 s, handler_break 100 ms,
 * handler_grace 5 s. */
#include "fixture.h"

enum { SECOND = 1000000, TIMEOUT = 30 * SECOND, BREAK = 100000 };

static struct worker *worker_a(struct fixture *fixture)
{
	return &fixture->a.worker;
}

static const struct pipeline_counts *counts_of(const struct fixture *fixture)
{
	return &fixture->stage.pipeline->counts;
}

/* A worker that holds n messages and whose first handler has just begun. */
static struct fixture *with_messages(uint32_t n)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	stage_worker_join(&fixture->stage, &fixture->a, n);
	arrive(fixture, n);
	assert_int_equal(fixture->a.n_ids, n);
	return fixture;
}

static void limit(struct fixture *fixture, uint64_t id, uint32_t level, int64_t for_us)
{
	deadline_limit(fixture->stage.dispatcher, worker_a(fixture), id, level, for_us, fixture->stage.now_us);
	stage_turn(&fixture->stage, 0);
}

static void unlimit(struct fixture *fixture, uint64_t id, uint32_t level)
{
	deadline_unlimit(fixture->stage.dispatcher, worker_a(fixture), id, level, fixture->stage.now_us);
	stage_turn(&fixture->stage, 0);
}

static void settled(struct fixture *fixture)
{
	dispatcher_settled(fixture->stage.dispatcher, worker_a(fixture), fixture->stage.now_us);
	stage_turn(&fixture->stage, 0);
}

/* Until the deadline of the delivery, and then until calls are broken; one is. */
static void break_it(struct fixture *fixture)
{
	stage_turn(&fixture->stage, TIMEOUT);
	assert_true(fixture->a.was_cancelled);
	assert_false(fixture->a.is_being_broken);
	stage_turn(&fixture->stage, BREAK);
	assert_true(fixture->a.is_being_broken);
	deadline_broken(worker_a(fixture));
}

static void calls_are_broken_handler_break_after_the_worker_was_told(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	stage_turn(&fixture->stage, TIMEOUT);
	stage_turn(&fixture->stage, BREAK - 1);
	assert_false(fixture->a.is_being_broken);
	assert_int_equal(dispatcher_tick(fixture->stage.dispatcher, fixture->stage.now_us), fixture->stage.now_us + 1);
	stage_turn(&fixture->stage, 1);
	assert_true(fixture->a.is_being_broken);
	assert_false(fixture->a.was_ended);
	stage_turn(&fixture->stage, 5 * SECOND);
	assert_true(fixture->a.was_ended);
	assert_false(fixture->a.is_being_broken);
	assert_int_equal(counts_of(fixture)->deadlines, 1);
	assert_int_equal(counts_of(fixture)->broken, 0); /* nothing was */
	assert_int_equal(counts_of(fixture)->ended, 1);
	end(fixture);
}

static void nothing_is_broken_where_it_is_off(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	fixture->stage.conf.handler_break_us = -1;
	stage_turn(&fixture->stage, TIMEOUT);
	stage_turn(&fixture->stage, 4 * SECOND);
	assert_int_equal(fixture->a.n_begun, 0);
	stage_turn(&fixture->stage, 2 * SECOND);
	assert_true(fixture->a.was_ended);
	end(fixture);
}

static void what_returns_when_its_worker_is_ended_is_not_acked(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	fixture->stage.conf.handler_break_us = -1;
	stage_turn(&fixture->stage, TIMEOUT);
	stage_turn(&fixture->stage, 6 * SECOND);
	assert_true(fixture->a.was_ended);
	assert_int_equal(dispatcher_ack(worker_a(fixture), fixture->a.ids[0], 1), 0);
	settled(fixture);
	assert_int_equal(counts_of(fixture)->acked, 0);
	assert_int_equal(counts_of(fixture)->retried_by[REASON_DEADLINE], 1);
	assert_int_equal(fixture->lane->position, -1);
	end(fixture);
}

static void what_returns_after_it_was_only_told_is_acked(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	stage_turn(&fixture->stage, TIMEOUT);
	stage_turn(&fixture->stage, BREAK);
	assert_true(fixture->a.is_being_broken);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	assert_false(fixture->a.is_being_broken);
	assert_int_equal(counts_of(fixture)->acked, 1);
	assert_int_equal(fixture->lane->position, 0);
	end(fixture);
}

static void in_a_run_of_acks_only_the_broken_one_failed(void **state)
{
	struct fixture *fixture = with_messages(3);
	(void)state;
	break_it(fixture);
	deadline_broken(worker_a(fixture)); /* once more */
	assert_int_equal(dispatcher_ack(worker_a(fixture), fixture->a.ids[0], 3), 0);
	settled(fixture);
	fixture->a.n_ids = 0;
	assert_int_equal(counts_of(fixture)->acked, 2);
	assert_int_equal(counts_of(fixture)->broken, 1);
	assert_int_equal(counts_of(fixture)->retried_by[REASON_DEADLINE], 1);
	assert_int_equal(fixture->lane->position, -1);
	stage_turn(&fixture->stage, SECOND);
	assert_int_equal(fixture->a.n_ids, 1);
	assert_int_equal(fixture->a.attempts[0], 2);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0)); /* not broken any more */
	assert_int_equal(fixture->lane->position, 2);
	end(fixture);
}

static void a_worker_that_handles_batches_has_all_of_them_broken(void **state)
{
	struct fixture *fixture = with_messages(3);
	(void)state;
	worker_a(fixture)->is_batching = true;
	break_it(fixture);
	assert_int_equal(dispatcher_ack(worker_a(fixture), fixture->a.ids[0], 3), 0);
	settled(fixture);
	assert_int_equal(counts_of(fixture)->acked, 0);
	assert_int_equal(counts_of(fixture)->broken, 1);
	assert_int_equal(counts_of(fixture)->retried_by[REASON_DEADLINE], 3);
	end(fixture);
}

static void a_reject_after_a_break_is_a_failed_attempt(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	break_it(fixture);
	assert_int_equal(dispatcher_reject(worker_a(fixture), stage_take(&fixture->a, 0), "bad JSON"), 0);
	settled(fixture);
	assert_int_equal(counts_of(fixture)->rejected, 0);
	assert_int_equal(counts_of(fixture)->retried_by[REASON_DEADLINE], 1);
	end(fixture);
}

static void an_ack_that_is_meant_counts(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	break_it(fixture);
	uint64_t id = stage_take(&fixture->a, 0);
	assert_int_equal(dispatcher_ack_meant(worker_a(fixture), id), 0);
	assert_int_equal(dispatcher_ack_meant(worker_a(fixture), id), 1);
	settled(fixture);
	assert_int_equal(counts_of(fixture)->acked, 1);
	assert_int_equal(fixture->lane->position, 0);
	end(fixture);
}

static void a_broken_one_that_throws_failed_for_its_deadline(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	break_it(fixture);
	retry(fixture, 0); /* "no" */
	assert_int_equal(counts_of(fixture)->retried_by[REASON_DEADLINE], 1);
	assert_false(fixture->a.is_being_broken);
	end(fixture);
}

static void a_broken_one_whose_lane_is_gone_goes_with_its_verdict(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	break_it(fixture);
	stage_lane_close(&fixture->stage, fixture->lane);
	deadline_broken(worker_a(fixture));
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	assert_int_equal(counts_of(fixture)->acked, 0);
	assert_int_equal(counts_of(fixture)->retried, 0);
	struct pipeline_counts counts;
	pipeline_count(fixture->stage.pipeline, &counts);
	assert_int_equal(counts.orphans, 0);
	fixture->lane = NULL;
	end(fixture);
}

static void who_is_told_gets_nothing_new_until_its_verdict(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	(void)state;
	stage_worker_join(&fixture->stage, &fixture->a, 4);
	arrive(fixture, 1);
	stage_turn(&fixture->stage, TIMEOUT);
	arrive(fixture, 2);
	assert_int_equal(fixture->a.n_ids, 1);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->a.n_ids, 2);
	end(fixture);
}

static void an_extension_ends_breaking_and_begins_the_stages_anew(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	break_it(fixture);
	uint64_t id = fixture->a.ids[0];
	assert_int_equal(
		deadline_extend(fixture->stage.dispatcher, worker_a(fixture), id, SECOND, fixture->stage.now_us), SECOND);
	assert_false(fixture->a.is_being_broken);
	fixture->a.was_cancelled = false;
	stage_turn(&fixture->stage, SECOND - 1);
	assert_false(fixture->a.was_cancelled);
	stage_turn(&fixture->stage, 1);
	assert_true(fixture->a.was_cancelled);
	stage_turn(&fixture->stage, BREAK);
	assert_int_equal(fixture->a.n_begun, 2);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0)); /* it was broken before the extension */
	assert_int_equal(counts_of(fixture)->acked, 0);
	end(fixture);
}

static void an_extension_never_brings_the_deadline_nearer(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	uint64_t id = fixture->a.ids[0];
	int64_t now_us = fixture->stage.now_us;
	assert_int_equal(
		deadline_extend(fixture->stage.dispatcher, worker_a(fixture), id, 60 * SECOND, now_us), 60 * SECOND);
	assert_int_equal(deadline_extend(fixture->stage.dispatcher, worker_a(fixture), id, SECOND, now_us), 60 * SECOND);
	end(fixture);
}

static void death_ends_breaking(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	break_it(fixture);
	struct stage_worker *worker = &fixture->a;
	limit(fixture, worker->ids[0], 1, SECOND);
	stage_worker_die(&fixture->stage, worker, false);
	assert_false(worker->is_being_broken);
	stage_worker_join(&fixture->stage, &fixture->b, 1);
	stage_turn(&fixture->stage, SECOND);
	assert_int_equal(fixture->b.n_ids, 1);
	stage_ack(&fixture->stage, &fixture->b, stage_take(&fixture->b, 0));
	assert_int_equal(counts_of(fixture)->acked, 1);
	end(fixture);
}

static void a_part_is_told_by_a_signal_and_broken_and_the_delivery_is_not_spoilt(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	limit(fixture, fixture->a.ids[0], 1, SECOND);
	stage_turn(&fixture->stage, SECOND - 1);
	assert_int_equal(fixture->a.n_reminded, 0);
	stage_turn(&fixture->stage, 1);
	assert_int_equal(fixture->a.n_reminded, 1);
	assert_false(fixture->a.was_cancelled);
	stage_turn(&fixture->stage, BREAK);
	assert_true(fixture->a.is_being_broken);
	deadline_broken(worker_a(fixture));
	unlimit(fixture, fixture->a.ids[0], 1);
	assert_false(fixture->a.is_being_broken);
	stage_turn(&fixture->stage, 20 * SECOND);
	assert_int_equal(fixture->a.n_begun, 1);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	assert_int_equal(counts_of(fixture)->acked, 1);
	assert_int_equal(counts_of(fixture)->limits, 1);
	assert_int_equal(counts_of(fixture)->limits_broken, 1);
	assert_int_equal(counts_of(fixture)->deadlines + counts_of(fixture)->broken, 0);
	assert_int_equal(worker_a(fixture)->n_breaks, 1);
	end(fixture);
}

static void of_nested_parts_the_nearest_limit_counts(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	uint64_t id = fixture->a.ids[0];
	limit(fixture, id, 1, 10 * SECOND);
	limit(fixture, id, 2, SECOND);
	limit(fixture, id, 3, 60 * SECOND); /* counts as level 2 */
	stage_turn(&fixture->stage, SECOND);
	assert_int_equal(fixture->a.n_reminded, 1);
	assert_int_equal(counts_of(fixture)->limits, 2);
	unlimit(fixture, id, 2); /* and 3 with it */
	stage_turn(&fixture->stage, 2 * SECOND);
	assert_int_equal(fixture->a.n_begun, 0);
	limit(fixture, id, 2, 60 * SECOND); /* counts as level 1 */
	stage_turn(&fixture->stage, 7 * SECOND);
	assert_int_equal(fixture->a.n_reminded, 2);
	stage_turn(&fixture->stage, BREAK);
	assert_true(fixture->a.is_being_broken);
	unlimit(fixture, id, 2); /* level 1 is over as well: its next call is broken later */
	assert_false(fixture->a.is_being_broken);
	stage_turn(&fixture->stage, BREAK);
	assert_true(fixture->a.is_being_broken);
	unlimit(fixture, id, 1);
	assert_false(fixture->a.is_being_broken);
	end(fixture);
}

static void a_limit_behind_the_deadline_is_the_deadline(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	limit(fixture, fixture->a.ids[0], 1, TIMEOUT + BREAK / 2);
	break_it(fixture);
	assert_int_equal(fixture->a.n_reminded, 0);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	assert_int_equal(counts_of(fixture)->acked, 0);
	assert_int_equal(counts_of(fixture)->retried_by[REASON_DEADLINE], 1);
	end(fixture);
}

static void in_a_part_that_is_over_not_even_the_deadline_spoils_the_delivery(void **state)
{
	struct fixture *fixture = with_messages(1);
	(void)state;
	uint64_t id = fixture->a.ids[0];
	limit(fixture, id, 1, TIMEOUT - BREAK);
	stage_turn(&fixture->stage, TIMEOUT - BREAK);
	stage_turn(&fixture->stage, BREAK);
	assert_true(fixture->a.was_cancelled && fixture->a.is_being_broken);
	stage_turn(&fixture->stage, BREAK);
	assert_int_equal(fixture->a.n_begun, 2);
	deadline_broken(worker_a(fixture));
	assert_int_equal(counts_of(fixture)->broken, 0);
	unlimit(fixture, id, 1);
	assert_false(fixture->a.is_being_broken); /* the deadline waits its time, too */
	stage_turn(&fixture->stage, BREAK);
	assert_true(fixture->a.is_being_broken);
	deadline_broken(worker_a(fixture));
	assert_int_equal(counts_of(fixture)->broken, 1);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	assert_int_equal(counts_of(fixture)->acked, 0);
	end(fixture);
}

static void a_verdict_ends_the_parts_of_its_delivery(void **state)
{
	struct fixture *fixture = with_messages(2);
	(void)state;
	limit(fixture, fixture->a.ids[0], 1, SECOND);
	stage_turn(&fixture->stage, SECOND);
	stage_turn(&fixture->stage, BREAK);
	assert_true(fixture->a.is_being_broken);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	assert_false(fixture->a.is_being_broken);
	assert_int_equal(worker_a(fixture)->n_parts, 0);
	limit(fixture, fixture->a.ids[0] - 1, 1, SECOND); /* of a delivery that is settled: nothing */
	assert_int_equal(worker_a(fixture)->n_parts, 0);
	end(fixture);
}

static void the_next_delivery_has_its_own_time_after_a_broken_one(void **state)
{
	struct fixture *fixture = with_messages(2);
	(void)state;
	break_it(fixture);
	stage_ack(&fixture->stage, &fixture->a, stage_take(&fixture->a, 0));
	assert_false(fixture->a.is_being_broken);
	fixture->a.was_cancelled = false;
	stage_turn(&fixture->stage, TIMEOUT - 1);
	assert_false(fixture->a.was_cancelled || fixture->a.was_ended);
	stage_turn(&fixture->stage, 1);
	assert_true(fixture->a.was_cancelled);
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_are_broken_handler_break_after_the_worker_was_told),
		cmocka_unit_test(nothing_is_broken_where_it_is_off),
		cmocka_unit_test(a_reject_after_a_break_is_a_failed_attempt),
		cmocka_unit_test(what_returns_when_its_worker_is_ended_is_not_acked),
		cmocka_unit_test(what_returns_after_it_was_only_told_is_acked),
		cmocka_unit_test(in_a_run_of_acks_only_the_broken_one_failed),
		cmocka_unit_test(a_worker_that_handles_batches_has_all_of_them_broken),
		cmocka_unit_test(an_ack_that_is_meant_counts),
		cmocka_unit_test(a_broken_one_that_throws_failed_for_its_deadline),
		cmocka_unit_test(a_broken_one_whose_lane_is_gone_goes_with_its_verdict),
		cmocka_unit_test(who_is_told_gets_nothing_new_until_its_verdict),
		cmocka_unit_test(an_extension_ends_breaking_and_begins_the_stages_anew),
		cmocka_unit_test(an_extension_never_brings_the_deadline_nearer),
		cmocka_unit_test(death_ends_breaking),
		cmocka_unit_test(a_part_is_told_by_a_signal_and_broken_and_the_delivery_is_not_spoilt),
		cmocka_unit_test(of_nested_parts_the_nearest_limit_counts),
		cmocka_unit_test(a_limit_behind_the_deadline_is_the_deadline),
		cmocka_unit_test(in_a_part_that_is_over_not_even_the_deadline_spoils_the_delivery),
		cmocka_unit_test(a_verdict_ends_the_parts_of_its_delivery),
		cmocka_unit_test(the_next_delivery_has_its_own_time_after_a_broken_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
