/* SPDX-License-Identifier: MIT */
#include "core/saying.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sayings sayings;
static uint64_t n_hidden;

static int set_up(void **state)
{
	(void)state;
	sayings = (struct sayings){0};
	return 0;
}

static bool is_said(const char *text, int64_t now_us)
{
	n_hidden = 99;
	return saying_is_due(&sayings, saying_kind(text), now_us, &n_hidden);
}

static void a_kind_is_said_once_in_a_while_and_tells_how_many_were_not(void **state)
{
	(void)state;
	assert_true(is_said("database is gone", 5));
	assert_int_equal(n_hidden, 0);
	assert_false(is_said("database is gone", 6));
	assert_false(is_said("database is gone", 4 + SAYING_US));
	assert_true(is_said("database is gone", 5 + SAYING_US));
	assert_int_equal(n_hidden, 2);
	assert_true(is_said("database is gone", 5 + 2 * SAYING_US));
	assert_int_equal(n_hidden, 0);
}

static void no_kind_hides_another(void **state)
{
	(void)state;
	assert_true(is_said("database is gone", 5));
	assert_true(is_said("disk is full", 6));
	assert_false(is_said("database is gone", 7));
	assert_true(is_said("disk is full", 6 + SAYING_US));
	assert_int_equal(n_hidden, 0);
}

static void numbers_and_identifiers_make_no_kind(void **state)
{
	(void)state;
	assert_true(
		saying_kind("order 12 fails: no row 7f3a in orders") == saying_kind("order 9 fails: no row a41c in orders"));
	assert_true(saying_kind("order 12 fails") != saying_kind("order 12 waits"));
	assert_true(saying_kind("timeout") != saying_kind(""));
	assert_true(saying_kind("12") == saying_kind(""));
}

static void however_many_kinds_there_are_few_are_said(void **state)
{
	size_t n_said = 0;
	(void)state;
	for (int round = 0; round < 3; round++) /* the same again and again */
		for (uint64_t kind = 1; kind <= 1000; kind++)
			n_said += saying_is_due(&sayings, kind, 5 + round, &n_hidden);
	assert_int_equal(n_said, SAYING_KINDS);
	assert_true(saying_is_due(&sayings, 1000, 5 + SAYING_US, &n_hidden)); /* in the place of one that is silent */
	assert_int_equal(n_hidden, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_kind_is_said_once_in_a_while_and_tells_how_many_were_not, set_up),
		cmocka_unit_test_setup(no_kind_hides_another, set_up),
		cmocka_unit_test_setup(numbers_and_identifiers_make_no_kind, set_up),
		cmocka_unit_test_setup(however_many_kinds_there_are_few_are_said, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
