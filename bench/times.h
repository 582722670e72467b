/* SPDX-License-Identifier: MIT */
/* How long something took: the quantiles that a table shows, from our own histogram or from the proxy's. */
#ifndef QBUS_BENCH_TIMES_H
#define QBUS_BENCH_TIMES_H

#include "base/histogram.h"

#include <stdint.h>
#include <stdio.h>

enum times_quantile { TIMES_P50, TIMES_P90, TIMES_P99, TIMES_P999, TIMES_MAX, N_TIMES };

struct times {
	uint64_t n;         /* how many were measured; 0: the rest means nothing */
	double ms[N_TIMES]; /* by times_quantile */
};

/* "p50" */
const char *times_name(enum times_quantile quantile);
/* Of a histogram of microseconds. */
struct times times_of(const struct histogram *histogram);
/* Asks a proxy, whose answer passes through `file`, at its admin socket, what its one pipeline's messages waited for a
 * worker and how long handlers took. 0, or -1 after a sentence on stderr. */
int times_ask(
	const char *proxy, const char *socket, const char *file, struct times *ret_wait, struct times *ret_handler);

#endif
