/* SPDX-License-Identifier: MIT */
/* Units: what is read, what is refused and how, and that what is printed is read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "host/units.h"

static void durations_need_a_unit(void **state)
{
	int64_t us = 7;
	(void)state;
	assert_int_equal(units_read_duration("250ms", &us), 0);
	assert_int_equal(us, 250000);
	assert_int_equal(units_read_duration("1h", &us), 0);
	assert_int_equal(us, 3600000000);
	assert_int_equal(units_read_duration("0s", &us), 0);
	assert_int_equal(us, 0);
	assert_int_equal(units_read_duration("30", &us), -EDOM);
	assert_int_equal(units_read_duration("", &us), -EINVAL);
	assert_int_equal(units_read_duration("s", &us), -EINVAL);
	assert_int_equal(units_read_duration("-1s", &us), -EINVAL);
	assert_int_equal(units_read_duration("1 s", &us), -EINVAL);
	assert_int_equal(units_read_duration("106751991d", &us), 0);
	assert_int_equal(units_read_duration("106751992d", &us), -ERANGE);
	assert_int_equal(units_read_duration("9223372036854775808us", &us), -ERANGE);
}

static void sizes_may_be_bytes(void **state)
{
	int64_t bytes = 7;
	(void)state;
	assert_int_equal(units_read_size("4096", &bytes), 0);
	assert_int_equal(bytes, 4096);
	assert_int_equal(units_read_size("1B", &bytes), 0);
	assert_int_equal(bytes, 1);
	assert_int_equal(units_read_size("2GiB", &bytes), 0);
	assert_int_equal(bytes, INT64_C(2) << 30);
	assert_int_equal(units_read_size("2GB", &bytes), -EINVAL);
	assert_int_equal(units_read_size("8589934592GiB", &bytes), -ERANGE);
}

static void integers_end_where_they_end(void **state)
{
	int64_t number = 7;
	(void)state;
	assert_int_equal(units_read_integer("-20", &number), 0);
	assert_int_equal(number, -20);
	assert_int_equal(units_read_integer("9223372036854775807", &number), 0);
	assert_int_equal(number, INT64_MAX);
	assert_int_equal(units_read_integer("9223372036854775808", &number), -ERANGE);
	assert_int_equal(units_read_integer("5x", &number), -EINVAL);
	assert_int_equal(units_read_integer("--5", &number), -EINVAL);
	assert_int_equal(units_read_integer("", &number), -EINVAL);
}

static void what_is_printed_is_read_back(void **state)
{
	static const int64_t numbers[] = {
		0, 1, 999, 1000, 1023, 1024, 1500000, 60000000, 90000000, 3600000000, 1 << 30, INT64_MAX};
	char text[UNITS_TEXT_MAX];
	(void)state;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		int64_t again = -1;
		assert_int_equal(units_read_duration(units_print_duration(numbers[i], text), &again), 0);
		assert_int_equal(again, numbers[i]);
		assert_int_equal(units_read_size(units_print_size(numbers[i], text), &again), 0);
		assert_int_equal(again, numbers[i]);
	}
	assert_string_equal(units_print_duration(90000000, text), "90s");
	assert_string_equal(units_print_size(1 << 30, text), "1GiB");
}

static void a_wrong_unit_is_guessed(void **state)
{
	char text[UNITS_TEXT_MAX];
	(void)state;
	assert_string_equal(units_guess_size("64Mb", text), "64MiB");
	assert_string_equal(units_guess_size("64 k", text), "64KiB");
	assert_null(units_guess_size("64", text));
	assert_null(units_guess_size("x", text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_need_a_unit),
		cmocka_unit_test(sizes_may_be_bytes),
		cmocka_unit_test(integers_end_where_they_end),
		cmocka_unit_test(what_is_printed_is_read_back),
		cmocka_unit_test(a_wrong_unit_is_guessed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
