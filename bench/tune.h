/* SPDX-License-Identifier: MIT */
/* The search of `qbus-bench tune`: one setting after the other, each value measured, the better half measured again,
 * a change taken only when it wins by more than half of what its rounds span. And the sweep that tells how good the
 * search was. */
#ifndef QBUS_BENCH_TUNE_H
#define QBUS_BENCH_TUNE_H

#include "run.h"

enum { TUNE_MAX_KNOBS = 9, TUNE_MAX_VALUES = 8, TUNE_MAX_TRIALS = 512, TUNE_MAX_ROUNDS = 15, TUNE_MAX_STEPS = 32 };

/* One setting of the proxy, or of the workers' code (tune_is_code). The values go from cheap to dear; usual: the
 * index of the product's default, which for workers is the machine's. */
struct tune_knob {
	const char *option; /* SECTION.KEY */
	bool for_kafka, for_amqp;
	const char *values[TUNE_MAX_VALUES];
	size_t n_values, usual;
};

/* What a round of a trial gave. */
struct tune_round {
	double rate, p99_ms;        /* messages a second; end to end, of a load with a rate */
	double memory;              /* peak bytes of the proxy and of all workers */
	double cpus, proxy, worker; /* processors used: by all, by the proxy, by each worker */
	double n_workers;
	double seconds;
	uint64_t n_timed; /* messages that the percentile is of */
};

/* One choice of all knobs. */
struct tune_trial {
	size_t choice[TUNE_MAX_KNOBS];
	bool is_refused; /* the proxy does not take these settings together: never measured */
	struct tune_round rounds[TUNE_MAX_ROUNDS];
	size_t n_rounds;
};

/* A change that was taken. */
struct tune_step {
	size_t knob;
	double before, after; /* scores, measured side by side */
	size_t from, to;      /* values */
};

struct tune {
	struct run_conf *conf;
	struct tune_knob knobs[TUNE_MAX_KNOBS];
	size_t n_knobs;
	struct tune_trial trials[TUNE_MAX_TRIALS];
	size_t n_trials, n_measured;
	const struct tune_trial *usual, *best;
	const struct tune_trial *found; /* of a sweep: what tune had taken; NULL: this is no sweep */
	struct tune_step steps[TUNE_MAX_STEPS];
	size_t n_steps;
	char begin[24]; /* workers, as a value */
	char *words;    /* of --knobs */
};

/* Chooses the knobs and their values. -1 after a sentence: --knobs names something else. */
int tune_init(struct tune *tune, struct run_conf *conf);
void tune_done(struct tune *tune);
/* 0, or -1 after a sentence. Sets usual and best. */
int tune_search(struct tune *tune);
/* Measures every combination of the knobs' values, then the best ones and what tune found afresh, side by side; the
 * trials and the best of `sweep` are its own. ret_found: that of what tune found. 0, or -1 after a sentence. */
int tune_sweep(const struct tune *tune, struct tune *sweep, const struct tune_trial **ret_found);

/* ---- what a trial is worth: the median of its rounds ---- */

/* The aim: messages a second, or with --rate the 99th percentile of end to end in milliseconds. */
double tune_score(const struct tune *tune, const struct tune_trial *trial);
double tune_spread(const struct tune *tune, const struct tune_trial *trial); /* half of lowest to highest */
const char *tune_unit(const struct tune *tune);                              /* "messages/s", "ms p99" */
/* How good it is as a share of the other's score: 1.1 is a tenth better. */
double tune_ratio(const struct tune *tune, double score, double other);
double tune_memory(const struct tune_trial *trial); /* the highest of its rounds, bytes */
/* NULL: the proxy takes it, it keeps within --memory, and up with --rate; else why not. */
const char *tune_fault(const struct tune *tune, const struct tune_trial *trial);
/* What is set in the workers' code and not in the configuration. */
bool tune_is_code(const struct tune_knob *knob);
/* How many workers there are. */
bool tune_is_workers(const struct tune_knob *knob);
/* "4MiB", the value of a knob in a trial. */
const char *tune_value(const struct tune *tune, const struct tune_trial *trial, size_t knob);
/* Trials, the best first, those with a fault last. Returns how many have none. */
size_t tune_rank(const struct tune *tune, const struct tune_trial **trials, size_t n);

/* ---- measuring ---- */

/* Asks the proxy whether it takes this configuration, and sets is_refused. -1 after a sentence. */
int tune_check(const struct tune *tune, struct tune_trial *trial);
/* All in turns, up to so many rounds, so that a slow moment of the machine does not hit one of them alone. */
int tune_measure(struct tune *tune, struct tune_trial *const *trials, size_t n, size_t n_rounds);

#endif
