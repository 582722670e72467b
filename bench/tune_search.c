/* SPDX-License-Identifier: MIT */
/* Knobs, trials, and the way from the defaults to something better. */
#include "tune.h"

#include "number.h"
#include "round.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* First a look at each value, then rounds for those that may win, then enough to tell a winner from noise. PASSES: one
 * setting may change what another one is worth, so all are looked at again. */
enum { LOOK_ROUNDS = 1, HALF_ROUNDS = 3, FINAL_ROUNDS = 5, PASSES = 2 };

static const struct tune_knob knobs[] = {
	{"pool.num_workers", true, true, {"1", "2", "4", "8", "16", "32", "64"}, 7, 0},
	{"fetch.max_bytes", true, false, {"1MiB", "4MiB", "8MiB", "16MiB", "32MiB", "64MiB"}, 6, 2},
	{"fetch.max_partition_bytes", true, false, {"256KiB", "1MiB", "4MiB", "8MiB"}, 4, 1},
	{"source.prefetch", false, true, {"10", "30", "100", "300", "1000", "3000"}, 6, 2},
	{"pipeline.credit", true, true, {"auto", "1", "16", "256"}, 4, 0},
	{"pipeline.max_outstanding_messages", true, false, {"2000", "5000", "20000", "50000"}, 4, 2},
	{"pipeline.commit_interval", true, false, {"200ms", "1s", "5s"}, 3, 1},
};

enum { N_KNOBS = sizeof(knobs) / sizeof(knobs[0]) };

static bool is_workers(const struct tune_knob *knob)
{
	return strcmp(knob->option, "pool.num_workers") == 0;
}

static uint64_t n_workers_of(const struct tune *tune, const struct tune_trial *trial)
{
	for (size_t i = 0; i < tune->n_knobs; i++) {
		if (is_workers(tune->knobs[i]))
			return strtoull(tune_value(tune, trial, i), NULL, 10);
	}
	return 1;
}

/* How many of its values the bounds leave. */
static size_t n_values_of(const struct tune *tune, size_t knob)
{
	const struct tune_knob *it = tune->knobs[knob];
	size_t n = it->n_values;

	while (is_workers(it) && n > 1 && strtoull(it->values[n - 1], NULL, 10) > tune->conf->max_workers)
		n--;
	return n;
}

/* list: "KEY,KEY..."; NULL: all. */
static bool is_listed(const char *list, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = list; at && (at = strstr(at, key)); at += len) {
		if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return true;
	}
	return !list;
}

int tune_init(struct tune *tune, struct run_conf *conf)
{
	*tune = (struct tune){.conf = conf};
	for (size_t i = 0; i < N_KNOBS; i++) {
		if ((conf->bootstrap ? knobs[i].for_kafka : knobs[i].for_amqp) && is_listed(conf->knobs, knobs[i].option))
			tune->knobs[tune->n_knobs++] = &knobs[i];
	}
	for (size_t i = 0; i < tune->n_knobs; i++)
		tune->trials[0].choice[i] = tune->knobs[i]->usual;
	tune->n_trials = 1;
	tune->usual = tune->best = &tune->trials[0];
	if (tune->n_knobs)
		return 0;
	fprintf(stderr, "qbus-bench: none of '%s' can be tuned with this broker; there are", conf->knobs);
	for (size_t i = 0; i < N_KNOBS; i++)
		fprintf(stderr, " %s", knobs[i].option);
	fputc('\n', stderr);
	return -1;
}

/* ---- what a trial is worth ---- */

const char *tune_value(const struct tune *tune, const struct tune_trial *trial, size_t knob)
{
	return tune->knobs[knob]->values[trial->choice[knob]];
}

static int order_numbers(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static size_t sorted_rates(const struct tune_trial *trial, double *ret_rates)
{
	for (size_t i = 0; i < trial->n_rounds; i++)
		ret_rates[i] = (double)trial->rounds[i].n_messages / trial->rounds[i].seconds;
	qsort(ret_rates, trial->n_rounds, sizeof(ret_rates[0]), order_numbers);
	return trial->n_rounds;
}

double tune_rate(const struct tune_trial *trial)
{
	double rates[TUNE_MAX_ROUNDS];
	size_t n = sorted_rates(trial, rates);

	return n ? (rates[(n - 1) / 2] + rates[n / 2]) / 2 : 0;
}

double tune_spread(const struct tune_trial *trial)
{
	double rates[TUNE_MAX_ROUNDS];
	size_t n = sorted_rates(trial, rates);

	return n ? (rates[n - 1] - rates[0]) / 2 : 0;
}

uint64_t tune_memory(const struct tune *tune, const struct tune_trial *trial)
{
	uint64_t most = 0;

	for (size_t i = 0; i < trial->n_rounds; i++) {
		const struct measure_result *round = &trial->rounds[i];
		uint64_t bytes = round->main.peak_bytes + n_workers_of(tune, trial) * round->workers.peak_bytes;

		most = bytes > most ? bytes : most;
	}
	return most;
}

bool tune_fits(const struct tune *tune, const struct tune_trial *trial)
{
	uint64_t limit = tune->conf->max_mebibytes * 1048576;

	return !limit || tune_memory(tune, trial) <= limit;
}

/* Worth more, and not by chance. */
static bool beats(const struct tune *tune, const struct tune_trial *trial, const struct tune_trial *other)
{
	double spread = tune_spread(trial) > tune_spread(other) ? tune_spread(trial) : tune_spread(other);

	if (tune_fits(tune, trial) != tune_fits(tune, other))
		return tune_fits(tune, trial);
	return tune_rate(trial) - tune_rate(other) > spread;
}

/* ---- measuring ---- */

static struct tune_trial *trial_of(struct tune *tune, const size_t *choice)
{
	for (size_t i = 0; i < tune->n_trials; i++) {
		if (memcmp(tune->trials[i].choice, choice, sizeof(tune->trials[i].choice)) == 0)
			return &tune->trials[i];
	}
	if (tune->n_trials == TUNE_MAX_TRIALS)
		return NULL;

	struct tune_trial *trial = &tune->trials[tune->n_trials++];

	memcpy(trial->choice, choice, sizeof(trial->choice));
	return trial;
}

static int measure_once(struct tune *tune, struct tune_trial *trial)
{
	struct run_conf conf = *tune->conf;
	char options[TUNE_MAX_KNOBS][96];

	for (size_t i = 0; i < tune->n_knobs; i++) {
		snprintf(options[i], sizeof(options[i]), "%s=%s", tune->knobs[i]->option, tune_value(tune, trial, i));
		conf.proxy_options[conf.n_proxy_options++] = options[i];
	}

	int err = round_measure(&conf, SIDE_PROXY, tune->n_measured++, &trial->rounds[trial->n_rounds]);

	if (!err)
		measure_result_done(&trial->rounds[trial->n_rounds++]); /* its numbers stay */
	return err;
}

/* In turns, so that a slow moment of the machine does not hit one of them alone. */
static int measure_up_to(struct tune *tune, struct tune_trial **trials, size_t n, size_t n_rounds)
{
	int err = 0;

	for (size_t round = 1; round <= n_rounds; round++) {
		for (size_t i = 0; i < n && !err; i++) {
			if (trials[i]->n_rounds < round)
				err = measure_once(tune, trials[i]);
		}
	}
	return err;
}

/* ---- the search ---- */

static int order_trials(const void *a, const void *b)
{
	const struct tune_trial *const *x = a, *const *y = b;
	double rate_x = tune_rate(*x), rate_y = tune_rate(*y);

	return (rate_x < rate_y) - (rate_x > rate_y);
}

/* Fastest first, what does not fit last. Returns how many fit. */
static size_t rank(const struct tune *tune, struct tune_trial **trials, size_t n)
{
	size_t n_fit = 0;

	for (size_t i = 0; i < n; i++) {
		struct tune_trial *trial = trials[i];

		if (tune_fits(tune, trial)) {
			trials[i] = trials[n_fit];
			trials[n_fit++] = trial;
		}
	}
	qsort(trials, n_fit, sizeof(trials[0]), order_trials);
	return n_fit;
}

/* Every value of one knob, everything else as it is in the best so far. */
static int turn_knob(struct tune *tune, size_t knob)
{
	struct tune_trial *trials[TUNE_MAX_VALUES], *current = trial_of(tune, tune->best->choice);
	size_t choice[TUNE_MAX_KNOBS], n = 0;

	memcpy(choice, tune->best->choice, sizeof(choice));
	for (size_t i = 0; i < n_values_of(tune, knob); i++) {
		choice[knob] = i;
		if ((trials[n] = trial_of(tune, choice)))
			n++;
	}
	if (measure_up_to(tune, trials, n, LOOK_ROUNDS))
		return -1;

	size_t n_fit = rank(tune, trials, n), n_half = (n_fit + 1) / 2;

	if (!n_fit)
		return 0;
	if (measure_up_to(tune, trials, n_half, HALF_ROUNDS))
		return -1;
	rank(tune, trials, n_half);

	struct tune_trial *finalists[] = {trials[0], current};

	if (measure_up_to(tune, finalists, 2, FINAL_ROUNDS))
		return -1;
	if (beats(tune, trials[0], current))
		tune->best = trials[0];
	return 0;
}

int tune_search(struct tune *tune)
{
	struct tune_trial *first = &tune->trials[0];
	int err = measure_up_to(tune, &first, 1, FINAL_ROUNDS);

	for (size_t pass = 0; pass < PASSES && !err; pass++) {
		const struct tune_trial *before = tune->best;

		for (size_t knob = 0; knob < tune->n_knobs && !err; knob++)
			err = turn_knob(tune, knob);
		if (tune->best == before)
			break;
	}
	return err;
}
