/* SPDX-License-Identifier: MIT */
/* What the memory broker keeps while no source is open: the settled position and memo of each lane, one store a
 * pipeline. */
#ifndef QBUS_MEMORY_STORE_H
#define QBUS_MEMORY_STORE_H

#include <stddef.h>
#include <stdint.h>

#define STORE_MEMO_MAX 4096u

struct store_lane {
	int64_t next; /* first receipt that is not settled */
	size_t memo_len;
	char memo[STORE_MEMO_MAX];
};

struct store {
	struct store *older;
	char *pipeline;
	struct store_lane *lanes;
	int n_lanes;
	uint64_t n_delivered; /* since the process started, repeats included: the clock of the script */
	size_t script_step;   /* steps of the script that have happened */
	uint64_t n_published; /* confirmed publications */
	uint64_t n_refused;
};

/* The store of that pipeline, made at the first call with every lane at `first`; lanes that are new begin there too.
 * Any thread; the store itself belongs to the one source that the pipeline has. It lives as long as the plugin is
 * loaded. */
struct store *store_open(const char *pipeline, int n_lanes, int64_t first);

/* Keeps the position and the memo, which is cut at STORE_MEMO_MAX. */
void store_settle(struct store_lane *lane, int64_t next, const void *memo, size_t memo_len);

#endif
