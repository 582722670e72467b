/* SPDX-License-Identifier: MIT */
/* A child's environment holds what it should and nothing else. */
#include "pool/environment.h"

#include "rig.h"

#include <string.h>

static void it_begins_empty(void **state)
{
	struct environment environment;

	(void)state;
	environment_init(&environment);
	assert_null(environment.strings[0]);
	environment_done(&environment);
}

static void hidden_names_are_not_inherited(void **state)
{
	const char *const inherited[] = {"A=1", "SECRET=x", "SECRETS=y", "B=2", NULL};
	const char *const hidden[] = {"SECRET", NULL};
	struct environment environment;

	(void)state;
	environment_init(&environment);
	environment_inherit(&environment, inherited, hidden);
	assert_string_equal(environment.strings[0], "A=1");
	assert_string_equal(environment.strings[1], "SECRETS=y");
	assert_string_equal(environment.strings[2], "B=2");
	assert_null(environment.strings[3]);
	environment_done(&environment);
}

static void a_later_value_replaces_the_earlier_one(void **state)
{
	const char *const inherited[] = {"A=1", "B=2", NULL};
	struct environment environment;

	(void)state;
	environment_init(&environment);
	environment_inherit(&environment, inherited, NULL);
	environment_set(&environment, "A", "");
	environment_set(&environment, "C", "x=y");
	assert_string_equal(environment.strings[0], "A=");
	assert_string_equal(environment.strings[1], "B=2");
	assert_string_equal(environment.strings[2], "C=x=y");
	assert_null(environment.strings[3]);
	environment_done(&environment);
}

static void a_value_is_found_by_its_whole_name_in_whole_strings_only(void **state)
{
	static const char block[] = "AB=1\0B=2\0C=3"; /* the array's own end closes C */

	(void)state;
	assert_string_equal(environment_find(block, sizeof(block), "B"), "2");
	assert_string_equal(environment_find(block, sizeof(block), "C"), "3");
	assert_null(environment_find(block, sizeof(block), "A"));
	assert_null(environment_find(block, sizeof(block) - 1, "C"));
	assert_null(environment_find(block, 0, "B"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_begins_empty),
		cmocka_unit_test(hidden_names_are_not_inherited),
		cmocka_unit_test(a_later_value_replaces_the_earlier_one),
		cmocka_unit_test(a_value_is_found_by_its_whole_name_in_whole_strings_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
