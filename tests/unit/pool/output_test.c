/* SPDX-License-Identifier: MIT */
/* What a process writes reaches the log line by line, whatever it writes. */
#include "pool/output.h"

#include "rig.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The end to write to; the other is the output's. */
static int open_output(struct rig *rig, struct output *output, enum log_level level)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	output_open(output, rig->base, ends[0], level, "worker php/1");
	return ends[1];
}

static void put(int fd, const char *text, size_t len)
{
	assert_int_equal(write(fd, text, len), (ssize_t)len);
}

static void each_line_is_said_when_it_is_whole(void **state)
{
	struct rig *rig = *state;
	struct output output;
	int fd = open_output(rig, &output, LOG_WARN);

	put(fd, "one\n\nt", 6);
	rig_until_said(rig, "warn  worker php/1: one\n", 1);
	put(fd, "wo\r\nthree", 9);
	rig_until_said(rig, "warn  worker php/1: two\n", 1);
	assert_int_equal(rig_n_said(rig, "worker php/1"), 2);
	output_close(&output);
	close(fd);
}

static void the_last_line_needs_no_end(void **state)
{
	struct rig *rig = *state;
	struct output output;
	int fd = open_output(rig, &output, LOG_INFO);

	put(fd, "first\nlast words", 16);
	close(fd);
	output_close(&output); /* without a turn of the loop */
	output_close(&output);
	assert_int_equal(rig_n_said(rig, "info  worker php/1: first\n"), 1);
	assert_int_equal(rig_n_said(rig, "info  worker php/1: last words\n"), 1);
}

static void a_line_that_is_too_long_is_cut_and_marked(void **state)
{
	struct rig *rig = *state;
	struct output output;
	int fd = open_output(rig, &output, LOG_INFO);
	char text[10001];

	memset(text, 'x', 10000);
	text[10000] = '\n';
	put(fd, text, sizeof(text));
	put(fd, "next\n", 5);
	rig_until_said(rig, "worker php/1: next\n", 1);
	assert_int_equal(rig_n_said(rig, "xxx...\n"), 1);
	assert_int_equal(rig_n_said(rig, "\n"), 2);
	output_close(&output);
	close(fd);
}

static void a_zero_byte_does_not_end_the_line(void **state)
{
	struct rig *rig = *state;
	struct output output;
	int fd = open_output(rig, &output, LOG_INFO);

	put(fd, "a\0b\n", 4);
	rig_until_said(rig, "worker php/1: a?b\n", 1);
	output_close(&output);
	close(fd);
}

static void closing_ends_although_somebody_goes_on_writing(void **state)
{
	struct rig *rig = *state;
	struct output output;
	int fd = open_output(rig, &output, LOG_INFO);

	while (write(fd, "again\n", 6) == 6)
		continue;
	output_close(&output);
	assert_true(rig_n_said(rig, "worker php/1: again\n") > 1000);
	assert_int_equal(output.fd, -1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_line_is_said_when_it_is_whole, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(the_last_line_needs_no_end, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_line_that_is_too_long_is_cut_and_marked, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_zero_byte_does_not_end_the_line, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(closing_ends_although_somebody_goes_on_writing, rig_setup, rig_teardown),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
