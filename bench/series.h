/* SPDX-License-Identifier: MIT */
/* What a round looked like while it ran, a point twice a second. All bytes 0 is an empty series. */
#ifndef QBUS_BENCH_SERIES_H
#define QBUS_BENCH_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SERIES_STEP_MS = 500 };

/* rss_bytes: of the process that was started; worker_rss_bytes: of the largest of its workers. */
struct series_point {
	double at_s; /* since the measuring began; below 0 before it */
	double messages_per_second;
	uint64_t rss_bytes, worker_rss_bytes;
};

struct series {
	struct series_point *points;
	size_t n_points, capacity;
};

/* Drops the point when there is no memory for it. */
void series_add(struct series *series, struct series_point point);
void series_done(struct series *series);

#endif
