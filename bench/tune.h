/* SPDX-License-Identifier: MIT */
/* The search of `qbus-bench tune`: one setting after the other, each value measured, the better half measured again, a
 * change taken only when it wins by more than the measurements vary. */
#ifndef QBUS_BENCH_TUNE_H
#define QBUS_BENCH_TUNE_H

#include "run.h"

enum { TUNE_MAX_KNOBS = 8, TUNE_MAX_VALUES = 8, TUNE_MAX_TRIALS = 256, TUNE_MAX_ROUNDS = 9 };

/* One setting of the proxy. The values go from cheap to dear; usual: the index of the product's default. */
struct tune_knob {
	const char *option; /* SECTION.KEY */
	bool for_kafka, for_amqp;
	const char *values[TUNE_MAX_VALUES];
	size_t n_values, usual;
};

/* One choice of all knobs, and what its rounds gave. */
struct tune_trial {
	size_t choice[TUNE_MAX_KNOBS];
	struct measure_result rounds[TUNE_MAX_ROUNDS];
	size_t n_rounds;
};

struct tune {
	struct run_conf *conf;
	const struct tune_knob *knobs[TUNE_MAX_KNOBS];
	size_t n_knobs;
	struct tune_trial trials[TUNE_MAX_TRIALS];
	size_t n_trials, n_measured;
	const struct tune_trial *usual, *best;
};

/* Chooses the knobs that this broker and conf leave. -1 after a sentence: none. */
int tune_init(struct tune *tune, struct run_conf *conf);
/* 0, or -1 after a sentence. Sets usual and best. */
int tune_search(struct tune *tune);

double tune_rate(const struct tune_trial *trial);   /* the median of its rounds; messages a second */
double tune_spread(const struct tune_trial *trial); /* half of what lies between its lowest and its highest */
uint64_t tune_memory(const struct tune *tune, const struct tune_trial *trial); /* peak of proxy and workers, bytes */
bool tune_fits(const struct tune *tune, const struct tune_trial *trial);       /* into --memory */
/* "4MiB", the value of a knob in a trial. */
const char *tune_value(const struct tune *tune, const struct tune_trial *trial, size_t knob);

#endif
