/* SPDX-License-Identifier: MIT */
/* What a worker says of values that keep growing in it (LEAK). */
#ifndef QBUS_WIRE_LEAKS_H
#define QBUS_WIRE_LEAKS_H

#include "wire/frame.h"

#include <stdbool.h>
#include <stdint.h>

enum { LEAKS_MAX = 32, LEAKS_PATH_BYTES = 256, LEAKS_TOLD_MAX = 256 };

struct leak {
	char path[LEAKS_PATH_BYTES + 1]; /* as App\Cache::$items; printable but for bytes above 126 */
	uint64_t n_looks, n_grew;        /* looked at so often, and in so many it had grown */
	uint64_t bytes;                  /* in all, since the first of them */
};

struct leaks {
	uint64_t n_looks; /* in this worker */
	uint32_t n;
	struct leak leaks[LEAKS_MAX];
	uint32_t n_told;
	uint32_t told[LEAKS_TOLD_MAX]; /* hashes of the paths that the log has */
};

/* Replaces what *ret_leaks says, which it also does, with less, when the frame is wrong. NULL, or the sentence that is
 * wrong. */
const char *leaks_read(const struct frame *frame, struct leaks *ret_leaks);

/* Whether the log shall have this path: true once for each, and no more when it has had LEAKS_TOLD_MAX. */
bool leaks_tell(struct leaks *leaks, const char *path);

/* How many lines about leaks the log takes from all workers together, however often they connect: LEAKS_LINES_MAX at
 * once, and one more each LEAKS_LINE_US. All zero at first. */
enum { LEAKS_LINES_MAX = 128, LEAKS_LINE_US = 10000000 };

struct leaks_ration {
	int64_t spent_us; /* the moment at which nothing is owed any more */
	uint64_t n_kept;  /* lines kept back since the last that was let through */
};

/* Takes one line. False: it is kept back, and counted. */
bool leaks_ration_take(struct leaks_ration *ration, int64_t now_us);

#endif
