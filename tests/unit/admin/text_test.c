/* SPDX-License-Identifier: MIT */
/* Tests of text from outside. */
#include "admin/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void utf_8_is_left_as_it_is(void **state)
{
	static const char text[] = "aé€\U0001f600\x7f\n";
	char clean[64];
	(void)state;
	assert_string_equal(text_clean(text, clean, sizeof clean), text);
}

static void what_is_no_utf_8_becomes_question_marks(void **state)
{
	static const char *const bad[][2] = {
		{"\xff", "?"}, {"\x80z", "?z"}, /* a follower without a leader */
		{"\xc3", "?"},                  /* the end is missing */
		{"\xe2\x82", "??"},             /* two thirds of a euro */
		{"\xc0\xaf", "??"},             /* longer than it need be */
		{"\xe0\x80\xaf", "???"},        /* the same */
		{"\xed\xa0\x80", "???"},        /* half a surrogate pair */
		{"\xf4\x90\x80\x80", "????"},   /* above the last code point */
		{"\xc2\x9b", "??"},             /* begins an order to a terminal */
	};
	char clean[64];
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_string_equal(text_clean(bad[i][0], clean, sizeof clean), bad[i][1]);
}

static void what_turns_the_direction_of_writing_becomes_question_marks(void **state)
{
	static const char *const bad[] = {"\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069"};
	static const char good[] = "\u061b\u061d\u200d\u2010\u2029\u202f\u2065\u206a"; /* their neighbours */
	char clean[64];
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_string_equal(text_clean(bad[i], clean, sizeof clean), &"???"[strlen(bad[i]) == 2]);
	assert_string_equal(text_clean(good, clean, sizeof clean), good);
}

static void a_long_text_is_cut_between_characters(void **state)
{
	char clean[6];
	(void)state;
	assert_string_equal(text_clean("a€€", clean, sizeof clean), "a€");
	assert_string_equal(text_clean("abcdefgh", clean, sizeof clean), "abcde");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf_8_is_left_as_it_is),
		cmocka_unit_test(what_is_no_utf_8_becomes_question_marks),
		cmocka_unit_test(what_turns_the_direction_of_writing_becomes_question_marks),
		cmocka_unit_test(a_long_text_is_cut_between_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
