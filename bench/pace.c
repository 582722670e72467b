/* SPDX-License-Identifier: MIT */
/* Reads allowances from stdin without ever holding the producer longer than it asked for. */
#include "pace.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

void pace_init(struct pace *pace, bool is_on)
{
	*pace = (struct pace){.is_on = is_on, .allowed = is_on ? 0 : UINT64_MAX};
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
