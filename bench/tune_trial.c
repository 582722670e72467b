/* SPDX-License-Identifier: MIT */
/* Measures trials and says what they are worth. */
#include "child.h"
#include "round.h"
#include "tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *tune_value(const struct tune *tune, const struct tune_trial *trial, size_t knob)
{
	return tune->knobs[knob].values[trial->choice[knob]];
}

/* ---- what it is worth ---- */

static bool is_about_time(const struct tune *tune)
{
	return tune->conf->rate > 0;
}

const char *tune_unit(const struct tune *tune)
{
	return is_about_time(tune) ? "ms p99" : "messages/s";
}

static struct summary score_summary(const struct tune *tune, const struct tune_trial *trial)
{
	double values[TUNE_MAX_ROUNDS];

	if (trial->n_rounds == 0)
		return (struct summary){NAN, NAN, NAN};
	for (size_t i = 0; i < trial->n_rounds; i++)
		values[i] = is_about_time(tune) ? trial->rounds[i].p99_ms : trial->rounds[i].rate;
	return summary_of(values, trial->n_rounds);
}

double tune_score(const struct tune *tune, const struct tune_trial *trial)
{
	return score_summary(tune, trial).median;
}

double tune_spread(const struct tune *tune, const struct tune_trial *trial)
{
	struct summary summary = score_summary(tune, trial);

	return (summary.high - summary.low) / 2;
}

double tune_ratio(const struct tune *tune, double score, double other)
{
	return is_about_time(tune) ? other / score : score / other;
}

double tune_memory(const struct tune_trial *trial)
{
	double most = 0;

	for (size_t i = 0; i < trial->n_rounds; i++)
		most = fmax(most, trial->rounds[i].memory);
	return most;
}

static double rate_of(const struct tune_trial *trial)
{
	double rates[TUNE_MAX_ROUNDS];

	for (size_t i = 0; i < trial->n_rounds; i++)
		rates[i] = trial->rounds[i].rate;
	return trial->n_rounds ? summary_of(rates, trial->n_rounds).median : 0;
}

const char *tune_fault(const struct tune *tune, const struct tune_trial *trial)
{
	double limit = (double)tune->conf->max_mebibytes * 1048576;

	if (trial->is_refused)
		return "refused by the proxy, see check-config";
	if (limit > 0 && tune_memory(trial) > limit)
		return "too much memory";
	if (is_about_time(tune) && !run_keeps_up(tune->conf, rate_of(trial)))
		return "falls behind";
	return NULL;
}

size_t tune_rank(const struct tune *tune, const struct tune_trial **trials, size_t n)
{
	size_t n_fit = 0;

	for (size_t i = 1; i < n; i++) { /* there are few, and qsort has no room for `tune` */
		const struct tune_trial *it = trials[i];
		size_t place = i;

		for (; place > 0; place--) {
			const struct tune_trial *other = trials[place - 1];
			bool is_faulty = tune_fault(tune, it), other_is_faulty = tune_fault(tune, other);
			double ratio = tune_ratio(tune, tune_score(tune, it), tune_score(tune, other));

			if (is_faulty > other_is_faulty || (is_faulty == other_is_faulty && ratio <= 1))
				break;
			trials[place] = other;
		}
		trials[place] = it;
	}
	while (n_fit < n && !tune_fault(tune, trials[n_fit]))
		n_fit++;
	return n_fit;
}

/* ---- measuring ---- */

bool tune_is_code(const struct tune_knob *knob)
{
	return strcmp(knob->option, "worker.batch") == 0;
}

bool tune_is_workers(const struct tune_knob *knob)
{
	return strcmp(knob->option, "pool.num_workers") == 0;
}

/* What goes beside the configuration. */
static void set_number(struct run_conf *conf, const struct tune_knob *knob, const char *value)
{
	if (tune_is_code(knob))
		conf->batch = strtoull(value, NULL, 10);
	if (tune_is_workers(knob))
		conf->n_workers = strtoull(value, NULL, 10); /* so many are waited for */
}

static struct tune_round round_of(const struct tune *tune, const struct measure_result *result)
{
	struct tune_round round = {
		.rate = column_value(COLUMN_RATE, result),
		.p99_ms = result->end_to_end.n ? result->end_to_end.ms[TIMES_P99] : INFINITY,
		.memory = (double)result->main.peak_bytes,
		.proxy = result->main.cpu_s / result->seconds,
		.worker = result->workers.cpu_s / result->seconds / (result->n_workers ? (double)result->n_workers : 1),
		.cpus = (result->main.cpu_s + result->workers.cpu_s) / result->seconds,
		.n_workers = (double)result->n_workers,
		.seconds = result->seconds,
		.n_timed = is_about_time(tune) ? result->end_to_end.n : 0,
	};

	for (size_t i = 0; i < result->n_each; i++) /* old and new ones that met were not there all the time */
		round.memory += (double)result->each[i].peak_bytes * round.n_workers / (double)result->n_each;
	return round;
}

/* What is run: --proxy-option and the trial's choice behind it, written into options. */
static int conf_of(
	const struct tune *tune, const struct tune_trial *trial, char options[][96], struct run_conf *ret_conf)
{
	*ret_conf = *tune->conf;
	for (size_t i = 0; i < tune->n_knobs; i++) {
		snprintf(options[i], sizeof(options[i]), "%s=%s", tune->knobs[i].option, tune_value(tune, trial, i));
		set_number(ret_conf, &tune->knobs[i], tune_value(tune, trial, i));
		if (tune_is_code(&tune->knobs[i]))
			continue;
		if (ret_conf->n_proxy_options == RUN_MAX_OPTIONS) {
			fprintf(stderr, "qbus-bench: knobs and --proxy-option together are more than %d\n", RUN_MAX_OPTIONS);
			return -1;
		}
		ret_conf->proxy_options[ret_conf->n_proxy_options++] = options[i];
	}
	return 0;
}

int tune_check(const struct tune *tune, struct tune_trial *trial)
{
	struct run_conf conf;
	char options[TUNE_MAX_KNOBS][96];

	if (conf_of(tune, trial, options, &conf))
		return -1;
	trial->is_refused = !run_is_taken(&conf);
	return 0;
}

/* What is tried, for the progress: what differs from the defaults. */
static void name_trial(const struct tune *tune, const struct tune_trial *trial, char *ret_text, size_t size)
{
	size_t len = 0;

	snprintf(ret_text, size, "the defaults");
	for (size_t i = 0; i < tune->n_knobs && len < size; i++) {
		if (trial->choice[i] != tune->knobs[i].usual)
			len += (size_t)snprintf(ret_text + len, size - len, "%s%s=%s", len ? " " : "", tune->knobs[i].option,
				tune_value(tune, trial, i));
	}
}

static int measure_once(struct tune *tune, struct tune_trial *trial)
{
	static struct measure_result result;
	struct run_conf conf;
	char options[TUNE_MAX_KNOBS][96], name[TUNE_MAX_KNOBS * 96];
	int err = conf_of(tune, trial, options, &conf);

	name_trial(tune, trial, name, sizeof(name));
	conf.trial = name;

	if (!err)
		err = round_measure(&conf, SIDE_PROXY, tune->n_measured++, &result);
	if (!err) {
		trial->rounds[trial->n_rounds++] = round_of(tune, &result);
		measure_result_done(&result);
	}
	return err;
}

int tune_measure(struct tune *tune, struct tune_trial *const *trials, size_t n, size_t n_rounds)
{
	int err = child_is_interrupted() ? -1 : 0; /* a check that was cut short has said nothing of its trial */

	for (size_t round = 1; round <= n_rounds; round++) {
		for (size_t i = 0; i < n && !err; i++) {
			if (trials[i]->n_rounds < round && !trials[i]->is_refused)
				err = measure_once(tune, trials[i]);
		}
	}
	return err;
}
