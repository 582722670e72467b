/* SPDX-License-Identifier: MIT */
/* Lets another process pace the producer: each line on stdin is the total number of messages that may have been sent.
 */
#ifndef QBUS_BENCH_PACE_H
#define QBUS_BENCH_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pace {
	bool is_on;       /* false: everything is allowed at once */
	bool is_over;     /* stdin has ended; `allowed` will not rise any more */
	uint64_t allowed; /* in total */
	uint64_t line;    /* the number read so far of the current line */
	uint64_t n_told;  /* confirmations that stdout knows of */
};

void pace_init(struct pace *pace, bool is_on);

/* Says on stdout how many messages are confirmed, if paced and if that is news. */
void pace_tell(struct pace *pace, uint64_t n_confirmed);

/* Reads what is there, waiting at most timeout_ms, when message number n_sent (from 0) is not allowed yet.
 * Returns whether it is allowed now. */
bool pace_allows(struct pace *pace, uint64_t n_sent, int timeout_ms);

#endif
