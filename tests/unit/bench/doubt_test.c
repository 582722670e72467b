/* SPDX-License-Identifier: MIT */
/* Tests of what is said of figures that mean little. */
#include "doubt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct run_results results;
static char texts[DOUBT_MAX][DOUBT_TEXT];
static const struct run_conf conf = {.sides = {SIDE_PROXY, SIDE_PLAIN}, .n_sides = 2};

static struct measure_result round_of(double seconds, uint64_t n_timed)
{
	return (struct measure_result){.n_messages = 1000000, .seconds = seconds, .wait = {.n = n_timed}};
}

static int build(void **state)
{
	(void)state;
	memset(&results, 0, sizeof(results));
	results.n_rounds = 2;
	for (size_t i = 0; i < results.n_rounds; i++) {
		results.rounds[SIDE_PROXY][i] = round_of(1, 10000);
		results.rounds[SIDE_PLAIN][i] = round_of(1, 0);
	}
	return 0;
}

static void ten_values_must_lie_beyond_a_quantile(void **state)
{
	(void)state;
	assert_int_equal(doubt_quantile(10000), TIMES_MAX);
	assert_int_equal(doubt_quantile(9999), TIMES_P999);
	assert_int_equal(doubt_quantile(1000), TIMES_P999);
	assert_int_equal(doubt_quantile(999), TIMES_P99);
	assert_int_equal(doubt_quantile(100), TIMES_P99);
	assert_int_equal(doubt_quantile(99), TIMES_P90);
	assert_int_equal(doubt_quantile(0), TIMES_P50);
}

static void long_rounds_of_many_messages_are_not_doubted(void **state)
{
	(void)state;
	assert_int_equal(doubt_find(&conf, &results, texts), 0);
}

static void the_shortest_round_of_a_side_is_named(void **state)
{
	(void)state;
	results.rounds[SIDE_PLAIN][1].seconds = 0.25;
	assert_int_equal(doubt_find(&conf, &results, texts), 1);
	assert_non_null(strstr(texts[0], "plain C: TOO SHORT: a round of 0.25 s"));
}

static void the_lowest_percentile_of_too_few_is_named(void **state)
{
	(void)state;
	results.rounds[SIDE_PROXY][1].wait.n = 300;
	assert_int_equal(doubt_find(&conf, &results, texts), 1);
	assert_non_null(strstr(texts[0], "qbus-proxy: TOO FEW MESSAGES: of 300"));
	assert_non_null(strstr(texts[0], "beyond p99."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_values_must_lie_beyond_a_quantile),
		cmocka_unit_test_setup(long_rounds_of_many_messages_are_not_doubted, build),
		cmocka_unit_test_setup(the_shortest_round_of_a_side_is_named, build),
		cmocka_unit_test_setup(the_lowest_percentile_of_too_few_is_named, build),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
