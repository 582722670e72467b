/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "core/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S INT64_C(1000000)

static const struct pipeline_breaker half = {
	.failure_ratio = 0.5, .window_us = 30 * S, .open_for_us = 10 * S, .min_samples = 20};

static void few_failures_open_nothing(void **state)
{
	struct breaker breaker;
	(void)state;
	breaker_init(&breaker, &half);
	assert_false(breaker_record(&breaker, 0, 19, 1 * S)); /* too few to judge */
	breaker_init(&breaker, &half);
	assert_false(breaker_record(&breaker, 1000, 999, 1 * S));
	assert_int_equal(breaker_room(&breaker, 5), SIZE_MAX);
}

static void half_of_them_failing_opens_it_and_a_good_probe_closes_it(void **state)
{
	struct breaker breaker;
	(void)state;
	breaker_init(&breaker, &half);
	assert_true(breaker_record(&breaker, 10, 10, 1 * S));
	assert_int_equal(breaker_room(&breaker, 0), 0);
	assert_int_equal(breaker_tick(&breaker, 5 * S), 11 * S);
	assert_false(breaker_record(&breaker, 0, 50, 5 * S));
	assert_int_equal(breaker_tick(&breaker, 11 * S), CLOCK_NEVER);
	assert_int_equal(breaker.state, BREAKER_PROBING);
	assert_int_equal(breaker_room(&breaker, 0), 1);
	assert_int_equal(breaker_room(&breaker, 1), 0);
	assert_true(breaker_record(&breaker, 0, 1, 12 * S)); /* the probe fails */
	assert_int_equal(breaker.state, BREAKER_OPEN);
	breaker_tick(&breaker, 22 * S);
	assert_true(breaker_record(&breaker, 1, 0, 23 * S));
	assert_int_equal(breaker.state, BREAKER_CLOSED);
	assert_int_equal(breaker.n_opened, 2);
}

static void what_lies_outside_the_window_is_forgotten(void **state)
{
	struct breaker breaker;
	(void)state;
	breaker_init(&breaker, &half);
	assert_false(breaker_record(&breaker, 0, 19, 1 * S));
	assert_false(breaker_record(&breaker, 0, 1, 40 * S));
	assert_false(breaker_record(&breaker, 0, 18, 45 * S));
	assert_true(breaker_record(&breaker, 0, 1, 50 * S)); /* 20 within 30 s */
}

static void without_a_ratio_it_never_opens(void **state)
{
	static const struct pipeline_breaker none = {0};
	struct breaker breaker;
	(void)state;
	breaker_init(&breaker, &none);
	assert_false(breaker_record(&breaker, 0, 1000000, 1 * S));
	assert_int_equal(breaker_room(&breaker, 0), SIZE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_failures_open_nothing),
		cmocka_unit_test(half_of_them_failing_opens_it_and_a_good_probe_closes_it),
		cmocka_unit_test(what_lies_outside_the_window_is_forgotten),
		cmocka_unit_test(without_a_ratio_it_never_opens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
