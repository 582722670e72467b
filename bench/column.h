/* SPDX-License-Identifier: MIT */
/* What a round's result is told as: a value each, of all rounds the median, the lowest and the highest. */
#ifndef QBUS_BENCH_COLUMN_H
#define QBUS_BENCH_COLUMN_H

#include "measure.h"

enum column_id {
	COLUMN_RATE,
	COLUMN_SECONDS,
	COLUMN_START,
	COLUMN_CPU,
	COLUMN_WORKERS_CPU,
	COLUMN_CPU_EACH,
	COLUMN_WORKERS_CPU_EACH,
	COLUMN_PEAK,
	COLUMN_WORKERS_PEAK,
	COLUMN_RECEIVED,
	COLUMN_RECEIVED_EACH,
	COLUMN_CALLS_EACH,
	COLUMN_WORKERS_CALLS_EACH,
	COLUMN_END_TO_END,
	COLUMN_WAIT = COLUMN_END_TO_END + N_TIMES,
	COLUMN_HANDLER = COLUMN_WAIT + N_TIMES,
	N_COLUMNS = COLUMN_HANDLER + N_TIMES,
};

struct column {
	const char *name, *title; /* in JSON, in a table */
	double scale;             /* from the value in JSON to what a table shows */
	int decimals;             /* there */
};

struct summary {
	double median, low, high; /* NAN: not measured */
};

/* id: a column_id, or the first of a group of times and a times_quantile added. */
const struct column *column_at(size_t id);
/* In the unit of JSON; NAN: this round has none. */
double column_value(size_t id, const struct measure_result *result);
/* n rounds, at least one. */
struct summary column_summary(size_t id, const struct measure_result *rounds, size_t n);
/* Sorts them. */
struct summary summary_of(double *values, size_t n);

#endif
