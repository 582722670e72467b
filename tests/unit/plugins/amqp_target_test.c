/* SPDX-License-Identifier: MIT */
/* When the exchange of dead letters is asked for again, and what is said of it, after each kind of answer. */
#include "target.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)

static int answer, n_asked, n_said;
static bool is_missing;

int publisher_ask(struct publisher *publisher, const char *exchange, int64_t now_us)
{
	(void)publisher, (void)now_us;
	assert_string_equal(exchange, "orders.dlx");
	n_asked++;
	return answer;
}

static void condition(void *self, enum qb_condition what, uint64_t lane, bool on, const char *reason)
{
	(void)self;
	assert_int_equal(what, QB_TARGET_MISSING);
	assert_int_equal(lane, 0);
	assert_true(on == (reason != NULL));
	n_said++;
	is_missing = on;
}

static const struct qb_host host = {.size = sizeof(host), .condition = condition};
static struct publisher publisher = {.host = &host};

/* Asks at that moment and is answered so; returns after how long it will ask again. */
static int64_t asked_again_after(struct target *target, int its_answer, int64_t now_us)
{
	answer = its_answer;
	n_asked = 0;
	target_turn(target, &publisher, now_us);
	assert_int_equal(n_asked, 1);
	target_turn(target, &publisher, target_due_us(target) - 1);
	assert_int_equal(n_asked, 1);
	return target_due_us(target) - now_us;
}

static void a_connection_that_cannot_be_opened_is_not_tried_again_and_again_for_a_mere_question(void **state)
{
	struct target target;
	(void)state;
	target_init(&target, "orders.dlx");
	assert_int_equal(asked_again_after(&target, -ENOTCONN, 1000 * SECOND), 600 * SECOND);
	assert_int_equal(asked_again_after(&target, -EAGAIN, 2000 * SECOND), 60 * SECOND);
	assert_int_equal(asked_again_after(&target, -EBUSY, 3000 * SECOND), SECOND);
	assert_int_equal(asked_again_after(&target, -ENOENT, 4000 * SECOND), 10 * SECOND);
	assert_int_equal(asked_again_after(&target, 0, 5000 * SECOND), 60 * SECOND);
}

static void who_could_not_ask_has_heard_nothing_new(void **state)
{
	struct target target;
	(void)state;
	n_said = 0;
	target_init(&target, "orders.dlx");
	asked_again_after(&target, -ENOTCONN, 1000 * SECOND);
	assert_int_equal(n_said, 0);
	asked_again_after(&target, -ENOENT, 2000 * SECOND);
	assert_true(n_said == 1 && is_missing);
	asked_again_after(&target, -ENOTCONN, 3000 * SECOND);
	asked_again_after(&target, -EBUSY, 4000 * SECOND);
	asked_again_after(&target, -ENOENT, 5000 * SECOND);
	assert_int_equal(n_said, 1);
	asked_again_after(&target, 0, 6000 * SECOND);
	assert_true(n_said == 2 && !is_missing);
}

static void the_default_exchange_is_never_asked_for(void **state)
{
	struct target target;
	(void)state;
	target_init(&target, "");
	assert_true(target_due_us(&target) == INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_that_cannot_be_opened_is_not_tried_again_and_again_for_a_mere_question),
		cmocka_unit_test(who_could_not_ask_has_heard_nothing_new),
		cmocka_unit_test(the_default_exchange_is_never_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
