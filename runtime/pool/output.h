/* SPDX-License-Identifier: MIT */
/* What a process writes, forwarded line by line to the log. Never waits, holds one line at most. Loop thread. */
#ifndef QBUS_POOL_OUTPUT_H
#define QBUS_POOL_OUTPUT_H

#include "base/log.h"

#include <stddef.h>

struct event;
struct event_base;

/* As long as a line of the log and thus longer than what fits into it: the log itself marks what is cut. */
enum { OUTPUT_MAX_LINE = 4096 };

struct output {
	struct event *event;
	int fd; /* -1: closed */
	enum log_level level;
	const char *who;
	size_t len; /* of the line so far; what is beyond the room is dropped */
	char line[OUTPUT_MAX_LINE];
};

/* Takes fd, which must not block; who is borrowed. */
void output_open(struct output *output, struct event_base *base, int fd, enum log_level level, const char *who);
/* Forwards what is still there (as much as a pipe holds), the unfinished line too, and closes. May be called again. */
void output_close(struct output *output);

#endif
