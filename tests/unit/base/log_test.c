/* SPDX-License-Identifier: MIT */
/* The log writes whole lines, escapes what could fool a reader, and never waits. */
#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int saved_stderr;
static char said[8192];

/* Standard error becomes the given descriptor, which is closed. */
static void stderr_becomes(int fd)
{
	fflush(stderr);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	close(fd);
}

static void stderr_comes_back(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	log_configure(LOG_INFO, false);
}

static const char *read_said(int fd)
{
	ssize_t n = read(fd, said, sizeof said - 1);
	close(fd);
	assert_true(n > 0);
	said[n] = '\0';
	return said;
}

/* What one line looks like. */
static const char *said_of(bool json, const char *who, const char *sentence)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	stderr_becomes(ends[1]);
	log_configure(LOG_INFO, json);
	log_say(LOG_INFO, who, "%s", sentence);
	stderr_comes_back();
	return read_said(ends[0]);
}

static void a_text_line_has_time_level_who_and_sentence(void **state)
{
	(void)state;
	const char *line = said_of(false, "worker 3", "leaves reason=\"done\" path=a\\b");
	int at = 0;
	assert_int_equal(sscanf(line, "%*4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ%n", &at), 0);
	assert_int_equal(at, 24);
	assert_string_equal(line + at, " info  worker 3: leaves reason=\"done\" path=a\\b\n");
}

static void a_line_about_the_process_has_no_who(void **state)
{
	(void)state;
	assert_string_equal(said_of(false, NULL, "starts") + 24, " info  starts\n");
	assert_non_null(strstr(said_of(true, NULL, "starts"), "\"who\":null,\"msg\":\"starts\"}\n"));
}

static void a_json_line_is_one_object(void **state)
{
	(void)state;
	const char *line = said_of(true, "pipeline \"x\"", "opens C:\\dir");
	assert_memory_equal(line, "{\"ts\":\"20", 9);
	assert_string_equal(
		line + 31, "\",\"level\":\"info\",\"who\":\"pipeline \\\"x\\\"\",\"msg\":\"opens C:\\\\dir\"}\n");
}

/* What a line has behind its `msg`. */
static const char *members_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *members_of(const char *format, ...)
{
	int ends[2];
	va_list list;
	assert_int_equal(pipe(ends), 0);
	stderr_becomes(ends[1]);
	log_configure(LOG_INFO, true);
	va_start(list, format);
	log_say_list(LOG_INFO, NULL, format, list);
	va_end(list);
	stderr_comes_back();
	ssize_t n = read(ends[0], said, sizeof said - 1);
	close(ends[0]);
	assert_true(n > 0 && n <= 4096 && said[n - 1] == '\n');
	said[n] = '\0';
	char *at = strstr(said, "\"msg\":\"") + 7;
	while (*at != '"')
		at += *at == '\\' ? 2 : 1;
	return at + 1;
}

static void the_facts_of_a_format_are_members_of_a_json_line(void **state)
{
	(void)state;
	assert_string_equal(members_of("leaves pid=%d exit=\"%s\" pool=%s", 7, "exit 3", "php"),
		",\"pid\":7,\"exit\":\"exit 3\",\"pool\":\"php\"}\n");
	assert_non_null(strstr(said, "\"msg\":\"leaves pid=7 exit=\\\"exit 3\\\" pool=php\""));
	assert_string_equal(members_of("is not skipped to=%lld: %s", -5LL, "why=no"), ",\"to\":-5}\n");
	assert_string_equal(members_of("listens address=%s:%d heartbeat=%ds empty=%s quoted=\"%s\"", "::1", 80, 10, "", ""),
		",\"address\":\"::1:80\",\"heartbeat\":\"10s\",\"empty\":\"\",\"quoted\":\"\"}\n");
	assert_string_equal(members_of("ends"), "}\n");
}

static void what_a_format_is_filled_with_makes_no_members(void **state)
{
	(void)state;
	assert_string_equal(members_of("%s", "fails level=error ts=0"), "}\n");
	assert_string_equal(members_of("fails error=\"%s\" n=%d", "\" n=9 level=\"error\n", 1),
		",\"error\":\"\\\" n=9 level=\\\"error\\\\x0a\",\"n\":1}\n");
}

/* What is told of a worker's end, in either form. */
static const char *end_of(bool json, const char *why, bool restarts)
{
	const struct log_fact facts[] = {
		log_number("pid", -7),
		log_text("error", why),
		log_word("pool", "php"),
		restarts ? log_number("restart_ms", 0) : (struct log_fact){.kind = LOG_NOTHING},
	};
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	stderr_becomes(ends[1]);
	log_configure(LOG_INFO, json);
	log_tell(LOG_INFO, NULL, "ends with 50 %s", facts, sizeof facts / sizeof facts[0]);
	stderr_comes_back();
	return read_said(ends[0]);
}

static void facts_that_are_not_there_are_left_out(void **state)
{
	(void)state;
	assert_non_null(
		strstr(end_of(false, "not found", true), "ends with 50 %s pid=-7 error=\"not found\" pool=php restart_ms=0\n"));
	assert_non_null(strstr(end_of(false, "", false), "ends with 50 %s pid=-7 pool=php\n"));
	assert_non_null(strstr(end_of(true, NULL, false), "pid=-7 pool=php\",\"pid\":-7,\"pool\":\"php\"}\n"));
	assert_non_null(strstr(end_of(true, "say \"no\"\n", true),
		",\"pid\":-7,\"error\":\"say \\\"no\\\"\\\\x0a\",\"pool\":\"php\",\"restart_ms\":0}\n"));
}

static void a_long_fact_is_cut(void **state)
{
	char text[1000];
	const char *shown;
	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	shown = strstr(end_of(true, text, false), ",\"error\":\"") + strlen(",\"error\":\"");
	assert_int_equal(strspn(shown, "x"), 200);
	assert_non_null(strstr(shown, "\",\"pool\":\"php\"}\n"));
}

static void a_member_without_room_is_left_out(void **state)
{
	(void)state;
	char *long_text = malloc(2501);
	memset(long_text, 'x', 2500);
	long_text[2500] = '\0';
	assert_string_equal(members_of("fails n=%d error=\"%s\" m=%d", 1, long_text, 2), ",\"n\":1}\n");
	memset(long_text, '\n', 2500);
	assert_string_equal(members_of("fails n=%d error=\"%s\"", 1, long_text), "}\n");
	assert_non_null(strstr(said, "...\"}\n"));
	free(long_text);
}

static void control_bytes_and_bad_utf8_are_escaped(void **state)
{
	(void)state;
	static const struct {
		const char *raw, *shown;
	} rows[] = {
		{"a\nb\tc\x1b[31m\x7f", "a\\x0ab\\x09c\\x1b[31m\\x7f"},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xc2\x9b", "\\xc2\\x9b"},                   /* a control character of two bytes */
		{"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* surrogate */
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
		{"\xe2\x82", "\\xe2\\x82"},                   /* cut */
		{"\xff", "\\xff"},
		{"\x80", "\\x80"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char expected[128];
		snprintf(expected, sizeof expected, " info  %s\n", rows[i].shown);
		assert_string_equal(said_of(false, NULL, rows[i].raw) + 24, expected);
	}
	assert_non_null(strstr(said_of(true, NULL, "a\nb\xff"), "\"msg\":\"a\\\\x0ab\\\\xff\"}\n"));
}

static void a_long_line_is_cut_at_4_kib_and_stays_well_formed(void **state)
{
	(void)state;
	char *sentence = malloc(10001);
	memset(sentence, 'x', 10000);
	sentence[10000] = '\0';
	const char *line = said_of(false, NULL, sentence);
	assert_true(strlen(line) <= 4096 && strlen(line) > 4000);
	assert_string_equal(line + strlen(line) - 5, "x...\n");
	memset(sentence, '\n', 10000);
	line = said_of(true, "w", sentence);
	assert_true(strlen(line) <= 4096 && strlen(line) > 4000);
	assert_string_equal(line + strlen(line) - 6, "...\"}\n");
	line = said_of(true, sentence, "heard");
	assert_non_null(strstr(line, "\",\"msg\":\"heard\"}\n"));
	free(sentence);
}

static void levels_below_the_configured_one_are_silent(void **state)
{
	(void)state;
	log_configure(LOG_WARN, false);
	assert_true(log_is_on(LOG_ERROR) && log_is_on(LOG_WARN));
	assert_false(log_is_on(LOG_INFO) || log_is_on(LOG_DEBUG));
	log_configure(LOG_INFO, false);
}

/* Fills standard error until lines are lost; a log that waits would hang here. */
static void fill(int fd)
{
	uint64_t before = log_dropped();
	int flags = fcntl(fd, F_GETFL);
	stderr_becomes(fd);
	log_configure(LOG_INFO, false);
	for (int i = 0; i < 100000 && log_dropped() == before; i++)
		log_say(LOG_INFO, NULL, "line %d is here to fill the reader's buffer until there is no room in it", i);
	bool is_unchanged = fcntl(STDERR_FILENO, F_GETFL) == flags;
	stderr_comes_back();
	assert_true(log_dropped() > before);
	assert_true(is_unchanged);
}

static void a_reader_that_does_not_read_costs_lines_not_time(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	fill(ends[1]);
	close(ends[0]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	fill(ends[1]);
	close(ends[0]);
}

static void a_pipe_is_not_waited_for_before_the_log_is_configured(void **state)
{
	(void)state;
	int ends[2];
	uint64_t before = log_dropped();
	assert_int_equal(pipe(ends), 0);
	stderr_becomes(ends[1]);
	for (int i = 0; i < 100000 && log_dropped() == before; i++)
		log_say(LOG_INFO, NULL, "line %d is here to fill the reader's buffer until there is no room in it", i);
	stderr_comes_back();
	close(ends[0]);
	assert_true(log_dropped() > before);
}

static void a_file_is_appended_to(void **state)
{
	(void)state;
	char path[] = "/tmp/log_test.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	int again = dup(fd);
	stderr_becomes(fd);
	log_configure(LOG_INFO, false);
	log_say(LOG_INFO, NULL, "one");
	log_say(LOG_INFO, NULL, "two");
	stderr_comes_back();
	ssize_t n = pread(again, said, sizeof said - 1, 0);
	close(again);
	assert_true(n > 0);
	said[n] = '\0';
	assert_non_null(strstr(said, "info  one\n20"));
	assert_non_null(strstr(said, "info  two\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pipe_is_not_waited_for_before_the_log_is_configured),
		cmocka_unit_test(a_text_line_has_time_level_who_and_sentence),
		cmocka_unit_test(a_line_about_the_process_has_no_who),
		cmocka_unit_test(a_json_line_is_one_object),
		cmocka_unit_test(facts_that_are_not_there_are_left_out),
		cmocka_unit_test(a_long_fact_is_cut),
		cmocka_unit_test(the_facts_of_a_format_are_members_of_a_json_line),
		cmocka_unit_test(what_a_format_is_filled_with_makes_no_members),
		cmocka_unit_test(a_member_without_room_is_left_out),
		cmocka_unit_test(control_bytes_and_bad_utf8_are_escaped),
		cmocka_unit_test(a_long_line_is_cut_at_4_kib_and_stays_well_formed),
		cmocka_unit_test(levels_below_the_configured_one_are_silent),
		cmocka_unit_test(a_reader_that_does_not_read_costs_lines_not_time),
		cmocka_unit_test(a_file_is_appended_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
