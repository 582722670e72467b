/* SPDX-License-Identifier: MIT */
/* The exhaustive sweep that tune is judged by. */
#include "tune.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The best of many numbers that vary is the luckiest one: those that lead after SWEEP_ROUNDS are measured afresh, and
 * longer while the first two differ by less than their rounds. */
enum { SWEEP_ROUNDS = 2, N_LEADERS = 4, FINAL_ROUNDS = 5, CLOSE_ROUNDS = TUNE_MAX_ROUNDS };

/* Every combination of values is a trial. -1: they are too many. */
static int combine(struct tune *sweep)
{
	size_t n = 1;

	for (size_t i = 0; i < sweep->n_knobs; i++)
		n *= sweep->knobs[i].n_values;
	if (n > TUNE_MAX_TRIALS) {
		fprintf(stderr, "qbus-bench: %zu combinations are too many for a sweep, %d can be; see --knobs\n", n,
			TUNE_MAX_TRIALS);
		return -1;
	}
	sweep->n_trials = n;
	for (size_t i = 0; i < n; i++) {
		size_t rest = i;

		sweep->trials[i] = (struct tune_trial){.n_rounds = 0};
		for (size_t knob = 0; knob < sweep->n_knobs; knob++) {
			sweep->trials[i].choice[knob] = rest % sweep->knobs[knob].n_values;
			rest /= sweep->knobs[knob].n_values;
		}
		if (tune_check(sweep, &sweep->trials[i]))
			return -1;
	}
	return 0;
}

static struct tune_trial *trial_like(struct tune *sweep, const struct tune_trial *trial)
{
	for (size_t i = 0; i < sweep->n_trials; i++) {
		if (memcmp(sweep->trials[i].choice, trial->choice, sizeof(trial->choice)) == 0)
			return &sweep->trials[i];
	}
	return NULL;
}

static bool is_close(const struct tune *sweep, const struct tune_trial *first, const struct tune_trial *second)
{
	double gap = fabs(tune_score(sweep, first) - tune_score(sweep, second));

	return gap < fmax(tune_spread(sweep, first), tune_spread(sweep, second));
}

int tune_sweep(const struct tune *tune, struct tune *sweep, const struct tune_trial **ret_found)
{
	static struct tune_trial *trials[TUNE_MAX_TRIALS];
	const struct tune_trial **ranked = (const struct tune_trial **)trials;

	*sweep = *tune;
	sweep->words = NULL;
	if (combine(sweep))
		return -1;
	for (size_t i = 0; i < sweep->n_trials; i++)
		trials[i] = &sweep->trials[i];
	if (tune_measure(sweep, trials, sweep->n_trials, SWEEP_ROUNDS))
		return -1;

	size_t n_fit = tune_rank(sweep, ranked, sweep->n_trials);
	size_t n = n_fit < N_LEADERS ? n_fit : N_LEADERS;
	struct tune_trial *found = trial_like(sweep, tune->best);
	bool is_leader = false;

	for (size_t i = 0; i < n; i++)
		is_leader = is_leader || trials[i] == found;
	if (!is_leader)
		trials[n++] = found;
	for (size_t i = 0; i < n; i++)
		trials[i]->n_rounds = 0;
	if (tune_measure(sweep, trials, n, FINAL_ROUNDS))
		return -1;
	tune_rank(sweep, ranked, n);
	if (n > 1 && is_close(sweep, trials[0], trials[1]) && tune_measure(sweep, trials, n, CLOSE_ROUNDS))
		return -1;
	tune_rank(sweep, ranked, n);
	sweep->best = trials[0];
	sweep->usual = trial_like(sweep, tune->usual);
	sweep->found = found;
	*ret_found = found;
	return 0;
}
