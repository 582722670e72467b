/* SPDX-License-Identifier: MIT */
/* What makes figures doubtful: rounds that were too short, percentiles of too few messages. */
#ifndef QBUS_BENCH_DOUBT_H
#define QBUS_BENCH_DOUBT_H

#include "run.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DOUBT_TEXT = 160, DOUBT_MAX = 2 * N_SIDES };

/* Whether so short a round measures the beginning and the end of the measuring rather than a speed. */
bool doubt_is_short(double seconds);
/* The lowest quantile that n values are too few for, since fewer than ten lie beyond it; TIMES_MAX: none. */
enum times_quantile doubt_quantile(uint64_t n);
/* A sentence for each doubt about a run. Returns how many. */
size_t doubt_find(
	const struct run_conf *conf, const struct run_results *results, char ret_texts[DOUBT_MAX][DOUBT_TEXT]);

#endif
