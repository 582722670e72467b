/* SPDX-License-Identifier: MIT */
/* Knobs, and the way from the defaults to something better. */
#include "tune.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* First a look at each value, then rounds for those that may win, then enough to tell a winner from noise, and more
 * where that is not enough. PASSES: one setting may change what another one is worth, so all are looked at again. */
enum { LOOK_ROUNDS = 1, HALF_ROUNDS = 3, FINAL_ROUNDS = 5, CLOSE_ROUNDS = 9, PASSES = 2 };

/* A gain below this is not worth a line of configuration. */
static const double least_gain = 1.02;

static const struct tune_knob known[] = {
	{"pool.num_workers", true, true, {"1", "2", "4", "8", "16", "32", "64"}, 7, 0},
	{"fetch.max_bytes", true, false, {"1MiB", "4MiB", "8MiB", "16MiB", "32MiB", "64MiB"}, 6, 2},
	{"fetch.max_partition_bytes", true, false, {"256KiB", "1MiB", "4MiB", "8MiB"}, 4, 1},
	{"fetch.max_wait", true, false, {"5ms", "20ms", "100ms", "500ms"}, 4, 2},
	{"source.prefetch", false, true, {"10", "30", "100", "300", "1000", "3000"}, 6, 2},
	{"pipeline.credit", true, true, {"auto", "1", "16", "256"}, 4, 0},
	{"worker.batch", true, true, {"0", "16", "256"}, 3, 0},
	{"pipeline.max_outstanding_messages", true, false, {"2000", "5000", "20000", "50000"}, 4, 2},
	{"pipeline.commit_interval", true, false, {"200ms", "1s", "5s"}, 3, 1},
};

enum { N_KNOWN = sizeof(known) / sizeof(known[0]) };

/* ---- the knobs ---- */

/* The bounds leave no more workers. */
static void cut_workers(struct tune_knob *knob, uint64_t max_workers)
{
	const char *usual = knob->values[knob->usual];
	size_t n = 0;

	for (size_t i = 0; i < knob->n_values; i++) {
		const char *value = knob->values[i];

		if (tune_is_workers(knob) && value != usual && strtoull(value, NULL, 10) > max_workers)
			continue;
		if (value == usual)
			knob->usual = n;
		knob->values[n++] = value;
	}
	knob->n_values = n;
}

/* words: "VALUE:VALUE...", cut into words here. The default is always one of them, so that there is something to
 * beat. */
static bool set_values(struct tune_knob *knob, char *words)
{
	const char *usual = knob->values[knob->usual];
	char *rest = NULL;

	knob->n_values = 0;
	knob->usual = TUNE_MAX_VALUES;
	for (char *word = strtok_r(words, ":", &rest); word; word = strtok_r(NULL, ":", &rest)) {
		bool is_nothing = tune_is_workers(knob) && strtoull(word, NULL, 10) == 0;

		if (knob->n_values == TUNE_MAX_VALUES || is_nothing)
			return false;
		if (strcmp(word, usual) == 0)
			knob->usual = knob->n_values;
		knob->values[knob->n_values++] = word;
	}
	if (knob->usual != TUNE_MAX_VALUES)
		return true;
	if (knob->n_values == TUNE_MAX_VALUES)
		return false;
	memmove(knob->values + 1, knob->values, knob->n_values * sizeof(knob->values[0]));
	knob->values[0] = usual;
	knob->usual = 0;
	knob->n_values++;
	return true;
}

/* As many workers as the search begins with: one of the values, or one more, in its place. */
static void begin_workers(struct tune_knob *knob, const char *begin)
{
	unsigned long long n = strtoull(begin, NULL, 10);
	size_t i = 0;

	while (i < knob->n_values && strtoull(knob->values[i], NULL, 10) < n)
		i++;
	knob->usual = i;
	if (i < knob->n_values && strtoull(knob->values[i], NULL, 10) == n)
		return;
	memmove(knob->values + i + 1, knob->values + i, (knob->n_values++ - i) * sizeof(knob->values[0]));
	knob->values[i] = begin;
}

static void add_knob(struct tune *tune, const struct tune_knob *knob)
{
	struct tune_knob *added = &tune->knobs[tune->n_knobs++];

	*added = *knob;
	if (tune_is_workers(added))
		begin_workers(added, tune->begin);
}

static bool is_for(const struct tune_knob *knob, const struct run_conf *conf)
{
	if (tune_is_code(knob) && conf->batch) /* --batch has said it */
		return false;
	return conf->bootstrap ? knob->for_kafka : conf->is_generated ? knob->for_kafka && knob->for_amqp : knob->for_amqp;
}

/* word: KEY or KEY=VALUE:VALUE... */
static bool add_named(struct tune *tune, char *word)
{
	char *equals = strchr(word, '=');

	if (equals)
		*equals = '\0';
	for (size_t i = 0; i < N_KNOWN; i++) {
		if (strcmp(known[i].option, word) != 0 || !is_for(&known[i], tune->conf) || tune->n_knobs == TUNE_MAX_KNOBS)
			continue;
		add_knob(tune, &known[i]);
		return !equals || set_values(&tune->knobs[tune->n_knobs - 1], equals + 1);
	}
	return false;
}

static int fail(const struct tune *tune)
{
	fprintf(stderr, "qbus-bench: '%s' is not KEY[=VALUE:VALUE...],... with at most %d values; the keys are",
		tune->conf->knobs, TUNE_MAX_VALUES);
	for (size_t i = 0; i < N_KNOWN; i++) {
		if (is_for(&known[i], tune->conf))
			fprintf(stderr, " %s", known[i].option);
	}
	fputc('\n', stderr);
	return -1;
}

int tune_init(struct tune *tune, struct run_conf *conf)
{
	char *rest = NULL;

	*tune = (struct tune){.conf = conf, .words = strdup(conf->knobs ? conf->knobs : "")};
	snprintf(tune->begin, sizeof(tune->begin), "%" PRIu64, conf->n_workers);
	for (size_t i = 0; i < N_KNOWN && !conf->knobs; i++) {
		if (is_for(&known[i], conf))
			add_knob(tune, &known[i]);
	}
	for (char *word = strtok_r(tune->words, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		if (!add_named(tune, word))
			return fail(tune);
	}
	for (size_t i = 0; i < tune->n_knobs; i++) {
		cut_workers(&tune->knobs[i], conf->max_workers);
		tune->trials[0].choice[i] = tune->knobs[i].usual;
	}
	tune->n_trials = 1;
	tune->usual = tune->best = &tune->trials[0];
	return tune->n_knobs ? 0 : fail(tune);
}

void tune_done(struct tune *tune)
{
	free(tune->words);
	tune->words = NULL;
}

/* ---- the search ---- */

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
	return tune_check(tune, trial) ? NULL : trial;
}

/* Worth more, and not by chance. */
static bool beats(const struct tune *tune, const struct tune_trial *trial, const struct tune_trial *other)
{
	double score = tune_score(tune, trial), than = tune_score(tune, other);
	double spread = fmax(tune_spread(tune, trial), tune_spread(tune, other));

	if (!tune_fault(tune, trial) != !tune_fault(tune, other))
		return !tune_fault(tune, trial);
	return tune_ratio(tune, score, than) >= least_gain && fabs(score - than) > spread;
}

static bool seems_better(const struct tune *tune, const struct tune_trial *found, const struct tune_trial *current)
{
	return tune_ratio(tune, tune_score(tune, found), tune_score(tune, current)) >= least_gain ||
	       (tune_fault(tune, current) && !tune_fault(tune, found));
}

/* The one that was found against what there was, side by side. It was the best of several, which takes some luck, so
 * what was measured so far does not count. When noise hides a gain, more rounds may show it. */
static int decide(struct tune *tune, struct tune_trial *found, struct tune_trial *current, size_t knob)
{
	struct tune_trial *const both[] = {found, current};

	if (found == current || !seems_better(tune, found, current))
		return 0;
	found->n_rounds = current->n_rounds = 0;

	int err = tune_measure(tune, both, 2, FINAL_ROUNDS);

	if (!err && !beats(tune, found, current) && seems_better(tune, found, current))
		err = tune_measure(tune, both, 2, CLOSE_ROUNDS);
	if (err || !beats(tune, found, current))
		return err;
	if (tune->n_steps < TUNE_MAX_STEPS)
		tune->steps[tune->n_steps++] = (struct tune_step){
			knob, tune_score(tune, current), tune_score(tune, found), current->choice[knob], found->choice[knob]};
	tune->best = found;
	return 0;
}

/* Every value of one knob, everything else as it is in the best so far. */
static int turn_knob(struct tune *tune, size_t knob)
{
	struct tune_trial *trials[TUNE_MAX_VALUES], *current = trial_of(tune, tune->best->choice);
	size_t choice[TUNE_MAX_KNOBS], n = 0;

	memcpy(choice, tune->best->choice, sizeof(choice));
	for (size_t i = 0; i < tune->knobs[knob].n_values; i++) {
		choice[knob] = i;
		if ((trials[n] = trial_of(tune, choice)))
			n++;
	}
	if (tune_measure(tune, trials, n, LOOK_ROUNDS))
		return -1;

	size_t n_fit = tune_rank(tune, (const struct tune_trial **)trials, n), n_half = (n_fit + 1) / 2;

	if (!n_fit)
		return 0;
	if (tune_measure(tune, trials, n_half, HALF_ROUNDS))
		return -1;
	tune_rank(tune, (const struct tune_trial **)trials, n_half);
	return decide(tune, trials[0], current, knob);
}

/* What was found step by step against the defaults, afresh and side by side: chance may have made each step. */
static int confirm(struct tune *tune)
{
	struct tune_trial *found = trial_of(tune, tune->best->choice), *usual = &tune->trials[0];
	struct tune_trial *const both[] = {found, usual};

	if (found == usual)
		return 0;
	found->n_rounds = usual->n_rounds = 0;

	int err = tune_measure(tune, both, 2, CLOSE_ROUNDS);

	if (!err && !beats(tune, found, usual)) {
		tune->best = usual;
		tune->n_steps = 0;
	}
	return err;
}

int tune_search(struct tune *tune)
{
	struct tune_trial *first = &tune->trials[0];
	int err = tune_measure(tune, &first, 1, FINAL_ROUNDS);

	for (size_t pass = 0; pass < PASSES && !err; pass++) {
		const struct tune_trial *before = tune->best;

		for (size_t knob = 0; knob < tune->n_knobs && !err; knob++)
			err = turn_knob(tune, knob);
		if (tune->best == before)
			break;
	}
	return err ? err : confirm(tune);
}
