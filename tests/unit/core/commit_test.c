/* SPDX-License-Identifier: MIT */
/* Brokers that keep shorter memos than ours. */
#include "core/commit.h"
#include "fixture.h"

#include <errno.h>

/* KEEPS: characters that the broker keeps of a memo. ABOVE: settled ones above the position, each between two that
 * stay, which makes some 400 characters. */
enum { KEEPS = 100, ABOVE = 100 };

static void settle_every_other(struct fixture *fixture)
{
	struct stage *stage = &fixture->stage;
	stage_worker_join(stage, &fixture->a, 2 * ABOVE + 1);
	arrive(fixture, 2 * ABOVE + 1);
	stage_ack(stage, &fixture->a, stage_take(&fixture->a, 0));
	for (int n = 1; n <= ABOVE; n++)
		stage_ack(stage, &fixture->a, stage_take(&fixture->a, (size_t)n));
}

/* The next memo, as long as the broker may want it; 0: none goes out. */
static size_t memo_commit(struct fixture *fixture)
{
	pipeline_commit(fixture->stage.pipeline);
	struct source_order *order = stage_order(&fixture->stage, ORDER_SETTLE);
	size_t len = order ? order->settlements[0].memo.len : 0;
	free(order);
	return len;
}

/* Whether the broker keeps the next memo, when it keeps so many characters. */
static bool memo_is_kept(struct fixture *fixture, size_t max)
{
	struct stage *stage = &fixture->stage;
	commit_dirty(stage->pipeline, fixture->lane);
	bool is_kept = memo_commit(fixture) <= max;
	pipeline_sink()->kept(stage->pipeline, fixture->lane, fixture->lane->position, is_kept ? 0 : -EMSGSIZE);
	return is_kept;
}

static void a_memo_that_is_too_long_for_the_broker_is_cut_and_what_is_cut_is_not_proven(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	struct lane *lane = fixture->lane;
	size_t len, max = LANE_MEMO_BYTES, n_refused = 0;
	(void)state;
	settle_every_other(fixture);
	while ((len = memo_commit(fixture)) > KEEPS) {
		assert_true(len < max);
		max = len;
		n_refused++;
		pipeline_sink()->kept(stage->pipeline, lane, lane->position, -EMSGSIZE);
		assert_int_equal(lane->kept, 0); /* the position arrived */
		assert_int_equal(lane_unproven(lane), ABOVE);
	}
	assert_true(n_refused > 1 && len > 0);
	pipeline_sink()->kept(stage->pipeline, lane, lane->position, 0);
	assert_int_equal(lane_unproven(lane), lane->n_cut);
	assert_true(lane->n_cut > 0 && lane->n_cut < ABOVE);
	for (int n = 0; n < 20; n++)
		memo_is_kept(fixture, KEEPS);
	size_t kept_len = stage->pipeline->memo_kept_len;
	assert_true(kept_len > KEEPS - 40 && kept_len <= KEEPS);
	assert_int_equal(lane_unproven(lane), lane->n_cut);
	end(fixture);
}

static void a_broker_that_keeps_longer_memos_by_now_gets_them(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	struct lane *lane = fixture->lane;
	int n_refused = 0;
	(void)state;
	settle_every_other(fixture);
	for (int n = 0; n < 20; n++) /* it closes in on what the broker keeps */
		memo_is_kept(fixture, KEEPS);
	for (int n = 0; n < 20; n++)
		assert_true(memo_is_kept(fixture, KEEPS));
	stage_turn(stage, COMMIT_AGAIN_US);
	for (int n = 0; n < 20; n++)
		n_refused += !memo_is_kept(fixture, KEEPS);
	assert_int_equal(n_refused, 1);
	assert_true(lane->n_cut > 0);
	stage_turn(stage, COMMIT_AGAIN_US);
	for (int n = 0; n < 3; n++)
		assert_true(memo_is_kept(fixture, LANE_MEMO_BYTES));
	assert_int_equal(lane_unproven(lane), 0);
	end(fixture);
}

static void a_memo_that_was_refused_says_nothing_of_the_newer_one_behind_it(void **state)
{
	struct fixture *fixture = begin(QB_SETTLE_PREFIX, ORDERING_NONE);
	struct stage *stage = &fixture->stage;
	struct lane *lane = fixture->lane;
	(void)state;
	stage_worker_join(stage, &fixture->a, 3);
	arrive(fixture, 3);
	stage_ack(stage, &fixture->a, stage_take(&fixture->a, 1));
	assert_true(memo_commit(fixture) > 0);
	stage_ack(stage, &fixture->a, stage_take(&fixture->a, 1));
	assert_true(memo_commit(fixture) > 0);
	pipeline_sink()->kept(stage->pipeline, lane, lane->position, -EMSGSIZE);
	assert_int_equal(commit_memo_max(stage->pipeline, lane), LANE_MEMO_BYTES);
	pipeline_sink()->kept(stage->pipeline, lane, lane->position, 0);
	assert_int_equal(lane_unproven(lane), 0);
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_memo_that_is_too_long_for_the_broker_is_cut_and_what_is_cut_is_not_proven),
		cmocka_unit_test(a_broker_that_keeps_longer_memos_by_now_gets_them),
		cmocka_unit_test(a_memo_that_was_refused_says_nothing_of_the_newer_one_behind_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
