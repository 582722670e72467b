/* SPDX-License-Identifier: MIT */
#include "core/lane.h"
#include "core/ledger.h"
#include "core/retry.h"
#include "stage.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A lane with a ready-made ledger around it. */
struct fixture {
	struct stage stage;
	struct lane *lane;
	struct stage_worker worker;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	log_configure(LOG_ERROR, false);
	stage_init(&fixture->stage, QB_SETTLE_PREFIX, ORDERING_NONE);
	fixture->lane = stage_lane(&fixture->stage, 0, 100, "");
	stage_worker_join(&fixture->stage, &fixture->worker, 4096);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	stage_worker_die(&fixture->stage, &fixture->worker, true);
	stage_done(&fixture->stage);
	free(fixture);
	return 0;
}

static void arrive(struct fixture *fixture, int64_t first, int64_t last)
{
	for (int64_t receipt = first; receipt <= last; receipt++)
		stage_arrive(&fixture->stage, fixture->lane, receipt, 0);
	stage_turn(&fixture->stage, 1);
}

static void ack(struct fixture *fixture, int64_t receipt)
{
	for (size_t i = 0; i < fixture->worker.n_ids; i++) {
		if (fixture->worker.receipts[i] == receipt) {
			stage_ack(&fixture->stage, &fixture->worker, stage_take(&fixture->worker, i));
			return;
		}
	}
	fail_msg("receipt %lld was not delivered", (long long)receipt);
}

static void the_position_never_passes_an_unsettled_message(void **state)
{
	struct fixture *fixture = *state;
	arrive(fixture, 100, 109);
	ack(fixture, 101);
	ack(fixture, 103);
	assert_int_equal(fixture->lane->position, 99);
	ack(fixture, 100);
	assert_int_equal(fixture->lane->position, 101);
	ack(fixture, 102);
	assert_int_equal(fixture->lane->position, 103);
	assert_null(lane_check(fixture->lane));
}

static void holes_in_the_offsets_do_not_stop_the_position(void **state)
{
	struct fixture *fixture = *state;
	arrive(fixture, 105, 105);
	arrive(fixture, 190, 190);
	ack(fixture, 190);
	ack(fixture, 105);
	assert_int_equal(fixture->lane->position, 190);
}

static void a_lane_without_a_known_begin_begins_before_its_first_message(void **state)
{
	struct fixture *fixture = *state;
	struct lane *lane = stage_lane(&fixture->stage, 1, -1, "");
	stage_arrive(&fixture->stage, lane, 5000, 0);
	assert_int_equal(lane->position, 4999);
}

static void a_memo_tells_the_next_owner_what_is_settled_above_the_position(void **state)
{
	struct fixture *fixture = *state;
	char memo[LANE_MEMO_BYTES + 1];
	size_t cut;
	arrive(fixture, 100, 119);
	for (int64_t receipt = 103; receipt <= 119; receipt += receipt == 105 ? 5 : 1)
		ack(fixture, receipt);
	assert_true(lane_memo_write(fixture->lane, memo, LANE_MEMO_BYTES, &cut) > 0);
	assert_int_equal(cut, 0);
	struct lane *next = lane_new(9, "topic", 5, 0, 100);
	assert_int_equal(lane_memo_read(next, memo, strlen(memo)), 0);
	for (int64_t receipt = 100; receipt < 125; receipt++) {
		bool is_settled = (receipt >= 103 && receipt <= 105) || (receipt >= 110 && receipt <= 119);
		assert_int_equal(lane_is_skipped(next, receipt), is_settled);
	}
	lane_free(next);
}

static void a_memo_that_does_not_fit_is_cut_and_says_how_much(void **state)
{
	struct fixture *fixture = *state;
	char memo[LANE_MEMO_BYTES + 1];
	size_t cut, n_skipped = 0;
	arrive(fixture, 100, 4195);
	for (int64_t receipt = 101; receipt <= 4195; receipt += 2)
		ack(fixture, receipt);
	size_t len = lane_memo_write(fixture->lane, memo, LANE_MEMO_BYTES, &cut);
	assert_true(len <= LANE_MEMO_BYTES);
	assert_true(cut > 0);
	struct lane *next = lane_new(9, "topic", 5, 0, 100);
	assert_int_equal(lane_memo_read(next, memo, len), 0);
	for (int64_t receipt = 100; receipt <= 4195; receipt++) {
		bool is_skipped = lane_is_skipped(next, receipt);
		assert_true(!is_skipped || receipt % 2 == 1);
		n_skipped += is_skipped;
	}
	assert_int_equal(n_skipped + cut, 2048);
	lane_free(next);
}

static void what_an_earlier_owner_settled_stays_in_the_memo_until_it_is_passed(void **state)
{
	struct fixture *fixture = *state;
	char memo[LANE_MEMO_BYTES + 1];
	size_t cut;
	/* 202..204 and 210..211 were settled before; 200 and 201 are not. */
	struct lane *lane = stage_lane(&fixture->stage, 1, 200, "qbus2:5k,2,3,5,2");
	assert_int_equal(lane->n_skips, 2);
	for (int64_t receipt = 200; receipt <= 206; receipt++)
		stage_arrive(&fixture->stage, lane, receipt, 0);
	assert_int_equal(fixture->stage.pipeline->counts.skipped, 3);
	assert_int_equal(lane_memo_write(lane, memo, LANE_MEMO_BYTES, &cut), strlen("qbus2:5k,2,3,5,2"));
	assert_string_equal(memo, "qbus2:5k,2,3,5,2");
	assert_false(lane->is_dirty); /* the broker has all of it */
	assert_int_equal(lane_unproven(lane), 0);
	stage_turn(&fixture->stage, 1);
	ack(fixture, 200);
	assert_true(lane->is_dirty);
	ack(fixture, 201);
	assert_int_equal(lane->position, 204);
	lane_memo_write(lane, memo, LANE_MEMO_BYTES, &cut);
	assert_string_equal(memo, "qbus2:5p,5,2");
}

/* The two before it were taken by retention, say. */
static void what_an_earlier_owner_settled_moves_the_position_where_nothing_stands_before_it(void **state)
{
	struct fixture *fixture = *state;
	struct lane *lane = stage_lane(&fixture->stage, 1, 200, "qbus2:5k,2,3");
	stage_arrive(&fixture->stage, lane, 202, 0);
	assert_int_equal(lane->position, 202);
	assert_true(lane->is_dirty);
	assert_int_equal(lane_unproven(lane), 202 - lane->kept);
}

static void a_memo_that_somebody_else_wrote_is_left_alone(void **state)
{
	static const char *const strange[] = {"", "hello", "qbus2:", "qbus2:0", "qbus2:0,", "qbus2:0,1", "qbus2:0,1,0",
		"qbus2:0,1,2,", "qbus2:0,1,2,3", "qbus2:0,-1,2", "qbus2:0,1,2 ", "qbus1:1,2", "qbus2:0,zzzzzzzzzzzzz,1",
		"qbus2:0,1,zzzzzzzzzzzzzzzzzzzzz"};
	(void)state;
	for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
		struct lane *lane = lane_new(1, "topic", 5, 0, 0);
		assert_int_equal(lane_memo_read(lane, strange[i], strlen(strange[i])), -EINVAL);
		assert_false(lane_is_skipped(lane, 2));
		lane_free(lane);
	}
}

/* As tools leave it that move a group's offset and keep its metadata. */
static void a_memo_of_another_position_settles_nothing(void **state)
{
	static const char memo[] = "qbus2:5k,2,3";
	static const int64_t others[] = {0, 190, 199, 201, 205};
	(void)state;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		struct lane *lane = lane_new(1, "topic", 5, 0, others[i]);
		assert_int_equal(lane_memo_read(lane, memo, strlen(memo)), -ESTALE);
		assert_int_equal(lane->n_skips, 0);
		lane_free(lane);
	}
	struct lane *lane = lane_new(1, "topic", 5, 0, 200);
	assert_int_equal(lane_memo_read(lane, memo, strlen(memo)), 0);
	lane_free(lane);
}

static void random_memos_are_read_back_as_they_were_written(void **state)
{
	uint64_t seed = 7;
	(void)state;
	for (int round = 0; round < 200; round++) {
		struct fixture *fixture = NULL;
		set_up((void **)&fixture);
		bool is_settled[300] = {false};
		for (int64_t i = 0; i < 300; i++)
			if (retry_random(&seed) % 8)
				stage_arrive(&fixture->stage, fixture->lane, 100 + i, 0);
		stage_turn(&fixture->stage, 1);
		for (size_t n = fixture->worker.n_ids / 2; n; n--) {
			size_t index = (size_t)(retry_random(&seed) % fixture->worker.n_ids);
			is_settled[fixture->worker.receipts[index] - 100] = true;
			stage_ack(&fixture->stage, &fixture->worker, stage_take(&fixture->worker, index));
		}
		char memo[LANE_MEMO_BYTES + 1];
		size_t cut, len = lane_memo_write(fixture->lane, memo, LANE_MEMO_BYTES, &cut);
		struct lane *next = lane_new(9, "topic", 5, 0, fixture->lane->position + 1);
		assert_int_equal(cut, 0);
		assert_true(!len || lane_memo_read(next, memo, len) == 0);
		for (size_t i = 0; i < fixture->worker.n_ids; i++)
			assert_false(lane_is_skipped(next, fixture->worker.receipts[i]));
		next->skip_at = 0;
		for (int64_t i = fixture->lane->position - 99; i < 300; i++)
			assert_true(!is_settled[i] || lane_is_skipped(next, 100 + i));
		lane_free(next);
		tear_down((void **)&fixture);
	}
}

#define lane_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lane_test(the_position_never_passes_an_unsettled_message),
		lane_test(holes_in_the_offsets_do_not_stop_the_position),
		lane_test(a_lane_without_a_known_begin_begins_before_its_first_message),
		lane_test(a_memo_tells_the_next_owner_what_is_settled_above_the_position),
		lane_test(a_memo_that_does_not_fit_is_cut_and_says_how_much),
		lane_test(what_an_earlier_owner_settled_stays_in_the_memo_until_it_is_passed),
		lane_test(what_an_earlier_owner_settled_moves_the_position_where_nothing_stands_before_it),
		cmocka_unit_test(a_memo_that_somebody_else_wrote_is_left_alone),
		cmocka_unit_test(a_memo_of_another_position_settles_nothing),
		cmocka_unit_test(random_memos_are_read_back_as_they_were_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
