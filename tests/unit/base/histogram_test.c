/* SPDX-License-Identifier: MIT */
/* Tests of the log-linear histogram. */
#include "base/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct histogram histogram;

static int clear(void **state)
{
	(void)state;
	memset(&histogram, 0, sizeof histogram);
	return 0;
}

static uint64_t n_upto(int64_t bound)
{
	uint64_t n;
	histogram_n_upto(&histogram, &bound, &n, 1);
	return n;
}

static void an_empty_one_answers_nothing(void **state)
{
	(void)state;
	assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
	assert_int_equal(n_upto(INT64_MAX), 0);
}

static void small_values_are_exact(void **state)
{
	(void)state;
	for (int64_t value = 0; value < 64; value++)
		histogram_record(&histogram, value, 1);
	for (int64_t value = 0; value < 64; value++)
		assert_int_equal(n_upto(value), value + 1);
	assert_int_equal(histogram.sum, 63 * 64 / 2);
}

static void every_value_is_known_to_a_thirty_second(void **state)
{
	(void)state;
	for (int64_t value = 1; value < INT64_C(1000000000000); value += 1 + value / 7) {
		clear(NULL);
		histogram_record(&histogram, value, 1);
		int64_t end = histogram_quantile(&histogram, 1);
		assert_true(end >= value);
		assert_true(end - value <= value / 32);
		assert_int_equal(n_upto(end), 1);
		assert_int_equal(n_upto(value - 1 - value / 32), 0);
	}
}

static void a_count_weighs_as_so_many_records(void **state)
{
	(void)state;
	histogram_record(&histogram, 10, 900);
	histogram_record(&histogram, 1000000, 100);
	assert_int_equal(histogram.count, 1000);
	assert_int_equal(histogram.sum, 900 * 10 + 100 * 1000000);
	assert_int_equal(histogram_quantile(&histogram, 0.5), 10);
	assert_int_equal(histogram_quantile(&histogram, 0.9), 10);
	assert_in_range(histogram_quantile(&histogram, 0.91), 1000000, 1032000);
}

static void what_came_between_two_moments_is_the_difference(void **state)
{
	(void)state;
	histogram_record(&histogram, 7, 2);
	histogram_record(&histogram, 1000000, 100);
	struct histogram before = histogram;
	histogram_record(&histogram, 7, 3);
	histogram_record(&histogram, 500, 1);
	histogram_subtract(&histogram, &before);
	assert_int_equal(histogram.count, 4);
	assert_int_equal(histogram.sum, 3 * 7 + 500);
	assert_int_equal(n_upto(7), 3);
	assert_in_range(histogram_quantile(&histogram, 1), 500, 516);
}

static void what_lies_outside_counts_at_the_ends(void **state)
{
	(void)state;
	histogram_record(&histogram, -5, 2);
	histogram_record(&histogram, INT64_MAX, 3);
	assert_int_equal(n_upto(0), 2);
	assert_int_equal(n_upto(INT64_C(1) << 39), 2);
	assert_int_equal(n_upto(INT64_MAX), 5);
}

static void many_bounds_in_one_walk_say_the_same_as_one_by_one(void **state)
{
	static const int64_t bounds[] = {5000, 10000, 25000, 1000000, 300000000};
	enum { N_BOUNDS = sizeof bounds / sizeof *bounds };
	uint64_t n[N_BOUNDS];
	(void)state;
	for (int64_t value = 1; value < 400000000; value += 1 + value / 50)
		histogram_record(&histogram, value, 1);
	histogram_n_upto(&histogram, bounds, n, N_BOUNDS);
	for (int i = 0; i < N_BOUNDS; i++) {
		assert_int_equal(n[i], n_upto(bounds[i]));
		assert_true(n[i] > (i ? n[i - 1] : 0));
	}
	assert_true(n[N_BOUNDS - 1] < histogram.count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_empty_one_answers_nothing, clear),
		cmocka_unit_test_setup(small_values_are_exact, clear),
		cmocka_unit_test_setup(every_value_is_known_to_a_thirty_second, clear),
		cmocka_unit_test_setup(a_count_weighs_as_so_many_records, clear),
		cmocka_unit_test_setup(what_came_between_two_moments_is_the_difference, clear),
		cmocka_unit_test_setup(what_lies_outside_counts_at_the_ends, clear),
		cmocka_unit_test_setup(many_bounds_in_one_walk_say_the_same_as_one_by_one, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
