/* SPDX-License-Identifier: MIT */
/* When a consumer may be cancelled, with a clock that the test turns. */
#include "quiet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define PREFETCH 10u
#define SECOND INT64_C(1000000)

static struct quiet quiet;

static int begin(void **state)
{
	(void)state;
	quiet = (struct quiet){.is_on = false};
	quiet_begin(&quiet, SECOND);
	return 0;
}

static void a_full_consumer_is_owed_nothing(void **state)
{
	(void)state;
	assert_false(quiet_is_over(&quiet, PREFETCH - 1, PREFETCH, SECOND));
	assert_true(quiet_is_over(&quiet, PREFETCH, PREFETCH, SECOND));
	assert_false(quiet.is_on);
	assert_int_equal(quiet_due_us(&quiet, true), INT64_MAX);
}

static void an_empty_queue_owes_nothing(void **state)
{
	(void)state;
	assert_true(quiet_wants_count(&quiet, SECOND));
	quiet_answer(&quiet, 1, SECOND);
	assert_false(quiet_is_over(&quiet, 3, PREFETCH, SECOND));
	assert_false(quiet_wants_count(&quiet, SECOND));
	assert_true(quiet_wants_count(&quiet, quiet_due_us(&quiet, true)));
	quiet_answer(&quiet, 0, quiet_due_us(&quiet, true));
	assert_true(quiet_is_over(&quiet, 3, PREFETCH, SECOND));
}

/* Others may get what the queue has: then nothing is owed to this one. */
static void patience_begins_anew_with_each_arrival_and_ends(void **state)
{
	int64_t now_us = SECOND;
	size_t n_open = 0;

	(void)state;
	while (n_open < 4 && !quiet_is_over(&quiet, n_open, PREFETCH, now_us)) {
		now_us += SECOND / 5;
		n_open++;
	}
	assert_int_equal(n_open, 4);
	assert_true(quiet_is_over(&quiet, n_open, PREFETCH, now_us + SECOND / 3));
}

static void it_never_lasts_longer_than_a_second(void **state)
{
	int64_t now_us = SECOND;
	size_t n_open = 0;

	(void)state;
	while (!quiet_is_over(&quiet, n_open++ % PREFETCH, PREFETCH, now_us))
		now_us += SECOND / 20;
	assert_int_equal(now_us, 2 * SECOND);
}

static void to_begin_twice_does_not_wait_twice(void **state)
{
	(void)state;
	quiet_begin(&quiet, 5 * SECOND);
	assert_true(quiet_is_over(&quiet, 0, PREFETCH, 2 * SECOND));
}

/* The past would have the caller turn and turn for as long as the broker is slow. */
static void without_a_question_it_is_due_when_patience_or_time_is_over(void **state)
{
	int64_t patient_us = quiet_due_us(&quiet, false), late_us = 2 * SECOND - SECOND / 10;

	(void)state;
	assert_in_range(patient_us, SECOND + 1, 2 * SECOND - 1);
	assert_false(quiet_is_over(&quiet, 0, PREFETCH, patient_us - 1));
	assert_false(quiet_is_over(&quiet, 1, PREFETCH, late_us));
	assert_int_equal(quiet_due_us(&quiet, false), 2 * SECOND);
	assert_true(quiet_is_over(&quiet, 1, PREFETCH, 2 * SECOND));
	assert_int_equal(quiet_due_us(&quiet, false), INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_full_consumer_is_owed_nothing, begin),
		cmocka_unit_test_setup(an_empty_queue_owes_nothing, begin),
		cmocka_unit_test_setup(patience_begins_anew_with_each_arrival_and_ends, begin),
		cmocka_unit_test_setup(it_never_lasts_longer_than_a_second, begin),
		cmocka_unit_test_setup(to_begin_twice_does_not_wait_twice, begin),
		cmocka_unit_test_setup(without_a_question_it_is_due_when_patience_or_time_is_over, begin),
	};

	return cmocka_run_group_tests_name("amqp quiet", tests, NULL, NULL);
}
