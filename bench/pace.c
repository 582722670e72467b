/* SPDX-License-Identifier: MIT */
/* Tells what may be sent by now, without ever holding the producer longer than it asked for. */
#include "pace.h"

#include "tally.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { SECOND_NS = 1000000000, MILLISECOND_NS = 1000000 };

void pace_init(struct pace *pace, bool is_on, uint64_t rate)
{
	*pace = (struct pace){.is_on = is_on, .allowed = is_on || rate ? 0 : UINT64_MAX, .rate = rate};
}

void pace_begin(struct pace *pace)
{
	pace->begin_ns = tally_now_ns();
}

int64_t pace_due_ns(const struct pace *pace, uint64_t n_sent)
{
	if (!pace->rate)
		return 0;
	return pace->begin_ns + (int64_t)(n_sent / pace->rate) * SECOND_NS +
	       (int64_t)(n_sent % pace->rate * SECOND_NS / pace->rate);
}

static bool is_due(struct pace *pace, uint64_t n_sent, int timeout_ms)
{
	int64_t left_ns = pace_due_ns(pace, n_sent) - tally_now_ns();
	struct timespec wait = {.tv_nsec = timeout_ms * MILLISECOND_NS};

	if (left_ns <= 0)
		return true;
	if (left_ns < wait.tv_nsec)
		wait.tv_nsec = left_ns;
	nanosleep(&wait, NULL);
	return tally_now_ns() >= pace_due_ns(pace, n_sent);
}

void pace_tell(struct pace *pace, uint64_t n_confirmed)
{
	if (!pace->is_on || n_confirmed == pace->n_told)
		return;
	pace->n_told = n_confirmed;
	printf("confirmed=%" PRIu64 "\n", n_confirmed);
	fflush(stdout);
}

static void pace_feed(struct pace *pace, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] >= '0' && text[i] <= '9') {
			pace->line = pace->line * 10 + (uint64_t)(text[i] - '0');
		} else if (text[i] == '\n') {
			if (pace->line > pace->allowed)
				pace->allowed = pace->line;
			pace->line = 0;
		}
	}
}

bool pace_allows(struct pace *pace, uint64_t n_sent, int timeout_ms)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	char text[256];

	if (pace->rate)
		return is_due(pace, n_sent, timeout_ms);
	if (n_sent < pace->allowed)
		return true;
	if (!pace->is_over && poll(&in, 1, timeout_ms) > 0) {
		ssize_t n = read(STDIN_FILENO, text, sizeof(text));

		if (n > 0)
			pace_feed(pace, text, (size_t)n);
		else
			pace->is_over = true;
	}
	return n_sent < pace->allowed;
}
