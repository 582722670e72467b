/* SPDX-License-Identifier: MIT */
/* Paces the producer: by a rate, or by another process, each of whose lines on stdin is the total number of messages
 * that may have been sent. */
#ifndef QBUS_BENCH_PACE_H
#define QBUS_BENCH_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACE_MAX_RATE = 10000000 };

struct pace {
	bool is_on;       /* by stdin; neither this nor a rate: everything is allowed at once */
	bool is_over;     /* stdin has ended; `allowed` will not rise any more */
	uint64_t rate;    /* messages a second; 0: none */
	int64_t begin_ns; /* with a rate: when the first message is due, on the monotonic clock */
	uint64_t allowed; /* in total */
	uint64_t line;    /* the number read so far of the current line */
	uint64_t n_told;  /* confirmations that stdout knows of */
};

/* rate: messages a second; 0: none. */
void pace_init(struct pace *pace, bool is_on, uint64_t rate);
/* The producer is connected: with a rate the first message is due now. Before what follows. */
void pace_begin(struct pace *pace);

/* When message number n_sent (from 0) is due: with a rate that does not depend on how fast those before it went out, so
 * that who measures from this moment leaves out nothing that a slow consumer or a slow broker delayed. 0: no rate. */
int64_t pace_due_ns(const struct pace *pace, uint64_t n_sent);

/* Says on stdout how many messages are confirmed, if paced and if that is news. */
void pace_tell(struct pace *pace, uint64_t n_confirmed);

/* Waits at most timeout_ms for the permission, when message number n_sent (from 0) is not allowed yet.
 * Returns whether it is allowed now. */
bool pace_allows(struct pace *pace, uint64_t n_sent, int timeout_ms);

#endif
