/* SPDX-License-Identifier: MIT */
/* How long something took: the quantiles that a table shows, from our own histogram or from the proxy's. */
#ifndef QBUS_BENCH_TIMES_H
#define QBUS_BENCH_TIMES_H

#include "base/histogram.h"
#include "child.h"

#include <stdint.h>
#include <stdio.h>

enum { TIMES_MAX_PATH = 160 };

enum times_quantile { TIMES_P50, TIMES_P90, TIMES_P99, TIMES_P999, TIMES_MAX, N_TIMES };

struct times {
	uint64_t n;         /* how many were measured; 0: the rest means nothing */
	double ms[N_TIMES]; /* by times_quantile */
};

/* "p50" */
const char *times_name(enum times_quantile quantile);
/* 0.5; 1 of the highest */
double times_share(enum times_quantile quantile);
/* Of a histogram of microseconds. */
struct times times_of(const struct histogram *histogram);

/* What a proxy's one pipeline tells of its whole life so far: how long messages waited for a worker and how long
 * handlers took, in microseconds. */
struct times_told {
	struct histogram wait, handler;
};

/* All bytes 0: nothing was asked. */
struct times_question {
	struct child child;
	char file[TIMES_MAX_PATH];
};

/* Asks a proxy at its admin socket and does not wait for the answer, which passes through `file`. 0, or -1 after a
 * sentence on stderr. */
int times_ask(struct times_question *question, const char *proxy, const char *socket, const char *file);
/* Waits for the answer. 0, or -1 after a sentence on stderr. */
int times_answer(struct times_question *question, struct times_told *ret_told);

#endif
