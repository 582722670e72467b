/* SPDX-License-Identifier: MIT */
/* The gate's moments, with a clock that the test turns: when a commit may go out, and when a member may leave. */
#include "gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* The library joins a second after its last JoinGroup, and may sleep for another one before: the gate is shut a little
 * longer than that. A heartbeat's answer and an unassign shut it for moments. */
#define START_US INT64_C(500000000)
#define MS INT64_C(1000)
#define DUE_US (900 * MS)
#define DUE_END_US (2050 * MS)
#define MOMENT_US (30 * MS)
#define FAILED_US (50 * MS)
#define SERVED_US (100 * MS)
#define SESSION_US (6000 * MS)

static struct gate *gate;
static int64_t now_us;

static int setup(void **state)
{
	(void)state;
	gate = gate_new(true);
	now_us = START_US;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gate_free(gate);
	return 0;
}

static void sent(int16_t api)
{
	gate_sent(gate, api, now_us, now_us);
}

static void answered(int16_t api)
{
	gate_answered(gate, api, false, now_us, now_us);
}

/* A join as it goes well, all in one moment. */
static void join(bool is_revoke)
{
	sent(GATE_JOIN_GROUP);
	answered(GATE_JOIN_GROUP);
	sent(GATE_SYNC_GROUP);
	answered(GATE_SYNC_GROUP);
	gate_lift(gate, is_revoke);
}

static bool is_open_after(int64_t us)
{
	return gate_is_open(gate, now_us + us);
}

static void no_commit_goes_out_between_a_join_and_its_sync(void **state)
{
	(void)state;
	assert_true(is_open_after(0));
	sent(GATE_JOIN_GROUP);
	assert_false(is_open_after(0));
	assert_false(is_open_after(60000 * MS)); /* the broker answers when the last member has joined */
	now_us += 60000 * MS;
	answered(GATE_JOIN_GROUP);
	assert_false(is_open_after(0));
	assert_false(is_open_after(FAILED_US - 1));
	sent(GATE_SYNC_GROUP);
	assert_true(is_open_after(0));
}

static void a_join_that_failed_shuts_the_gate_for_moments(void **state)
{
	(void)state;
	sent(GATE_JOIN_GROUP);
	answered(GATE_JOIN_GROUP);
	assert_false(is_open_after(FAILED_US - 1));
	assert_true(is_open_after(FAILED_US));
}

static void no_commit_goes_out_while_the_next_join_is_due(void **state)
{
	(void)state;
	join(false);
	assert_true(is_open_after(0));
	assert_true(is_open_after(DUE_US - 1));
	assert_false(is_open_after(DUE_US));
	assert_false(is_open_after(DUE_END_US - 1));
	assert_true(is_open_after(DUE_END_US));
	now_us += 10 * DUE_END_US;
	join(false); /* counted from each join anew */
	assert_true(is_open_after(DUE_US - 1));
	assert_false(is_open_after(DUE_US));
}

/* The library does not join before it: the last commit of a revoke need not wait. */
static void no_join_is_due_until_what_was_revoked_is_given_up(void **state)
{
	(void)state;
	join(true);
	assert_true(is_open_after(DUE_US));
	assert_true(is_open_after(DUE_END_US - 1));
	now_us += DUE_US - MOMENT_US;
	gate_hold(gate, now_us);
	assert_false(is_open_after(0));
	assert_false(is_open_after(MOMENT_US - 1));
	assert_false(is_open_after(MOMENT_US)); /* and from there on it is due */
	assert_true(is_open_after(DUE_END_US - DUE_US + MOMENT_US));
}

static void a_heartbeats_answer_shuts_the_gate_for_moments(void **state)
{
	(void)state;
	sent(GATE_HEARTBEAT);
	assert_true(is_open_after(0));
	answered(GATE_HEARTBEAT);
	assert_false(is_open_after(0));
	assert_false(is_open_after(MOMENT_US - 1));
	assert_true(is_open_after(MOMENT_US));
}

static void an_assignment_ends_a_join_whose_sync_was_not_seen(void **state)
{
	(void)state;
	sent(GATE_JOIN_GROUP);
	gate_lift(gate, false);
	assert_true(is_open_after(0));
	assert_false(gate_is_joining(gate, now_us));
}

static void a_gate_that_guards_nothing_is_always_open(void **state)
{
	(void)state;
	gate_free(gate);
	gate = gate_new(false);
	sent(GATE_JOIN_GROUP);
	answered(GATE_HEARTBEAT);
	assert_true(is_open_after(0) && is_open_after(DUE_US));
	assert_true(gate_is_joining(gate, now_us)); /* and a stop waits for the join all the same */
}

static void a_member_may_join_again_until_the_next_join_would_have_been_sent(void **state)
{
	(void)state;
	assert_false(gate_may_join(gate, now_us));
	join(false);
	assert_false(gate_is_joining(gate, now_us));
	assert_true(gate_may_join(gate, now_us));
	assert_true(gate_may_join(gate, now_us + DUE_END_US - 1));
	assert_false(gate_may_join(gate, now_us + DUE_END_US));
	now_us += DUE_END_US;
	answered(GATE_HEARTBEAT);
	assert_true(gate_may_join(gate, now_us + MOMENT_US - 1));
	assert_false(gate_may_join(gate, now_us + MOMENT_US));
}

static void a_member_may_join_until_its_sync_is_answered_however_long_that_takes(void **state)
{
	(void)state;
	sent(GATE_JOIN_GROUP);
	answered(GATE_JOIN_GROUP);
	assert_true(gate_may_join(gate, now_us + 60000 * MS)); /* no sync: another join follows */
	sent(GATE_SYNC_GROUP);
	assert_true(gate_may_join(gate, now_us + 60000 * MS));
	answered(GATE_SYNC_GROUP);
	assert_false(gate_may_join(gate, now_us + 60000 * MS));
}

static void a_session_counts_from_when_its_last_answered_heartbeat_left(void **state)
{
	(void)state;
	assert_false(gate_is_member(gate, SESSION_US, now_us));
	gate_sent(gate, GATE_HEARTBEAT, 0, now_us);
	assert_false(gate_is_member(gate, SESSION_US, now_us + SERVED_US));
	gate_answered(gate, GATE_HEARTBEAT, false, 0, now_us + 2000 * MS);
	assert_false(gate_is_member(gate, SESSION_US, now_us + 2000 * MS + SERVED_US - 1)); /* what it says is not served */
	assert_true(gate_is_member(gate, SESSION_US, now_us + 2000 * MS + SERVED_US));
	assert_true(gate_is_member(gate, SESSION_US, now_us + SESSION_US - 1));
	assert_false(gate_is_member(gate, SESSION_US, now_us + SESSION_US));
	gate_sent(gate, GATE_HEARTBEAT, 0, now_us + SESSION_US);
	gate_answered(gate, GATE_HEARTBEAT, true, 0, now_us + SESSION_US);
	assert_false(gate_is_member(gate, SESSION_US, now_us + SESSION_US + SERVED_US));
}

static void a_broker_is_heard_when_it_serves_us(void **state)
{
	(void)state;
	answered(GATE_VERSIONS);
	answered(GATE_SASL_HANDSHAKE);
	answered(GATE_SASL_AUTHENTICATE);
	gate_answered(gate, GATE_HEARTBEAT, true, now_us, now_us);
	assert_int_equal(gate_heard_us(gate), 0);
	answered(1); /* a fetch */
	assert_int_equal(gate_heard_us(gate), now_us);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_commit_goes_out_between_a_join_and_its_sync, setup, teardown),
		cmocka_unit_test_setup_teardown(a_join_that_failed_shuts_the_gate_for_moments, setup, teardown),
		cmocka_unit_test_setup_teardown(no_commit_goes_out_while_the_next_join_is_due, setup, teardown),
		cmocka_unit_test_setup_teardown(no_join_is_due_until_what_was_revoked_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(a_heartbeats_answer_shuts_the_gate_for_moments, setup, teardown),
		cmocka_unit_test_setup_teardown(an_assignment_ends_a_join_whose_sync_was_not_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(a_gate_that_guards_nothing_is_always_open, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_member_may_join_again_until_the_next_join_would_have_been_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_member_may_join_until_its_sync_is_answered_however_long_that_takes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_session_counts_from_when_its_last_answered_heartbeat_left, setup, teardown),
		cmocka_unit_test_setup_teardown(a_broker_is_heard_when_it_serves_us, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
