/* SPDX-License-Identifier: MIT */
/* `qbus-bench tune`: the command, and what it tells of the search. */
#include "tune.h"

#include "command.h"
#include "doubt.h"
#include "explain.h"
#include "round.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"Usage: qbus-bench tune --kafka BOOTSTRAP [OPTION]...\n"
	"       qbus-bench tune --amqp URL [OPTION]...\n"
	"       qbus-bench tune --explain -c FILE [OPTION]...    (says what a configuration's numbers mean;\n"
	"                                                      see tune --explain --help)\n"
	"\n"
	"Looks for the settings with which this work goes fastest through qbus-proxy, or with --rate for those with which\n"
	"the 99th percentile from due to done is lowest at that rate: workers, fetch sizes, prefetch, credit, commit\n"
	"interval, and how many messages a handler takes together (worker.batch, which is set in the workers' code).\n"
	"Measures each value, the better half of them again, and takes a change only when it wins by more than the\n"
	"measurements vary (the +- of its table). Prints what it tried, why it chose what it chose, and the settings as YAML.\n"
	"Describe the work with --size, --work, --sleep, --partitions.\n"
	"\n";

enum { BAR = 40, PERCENT = 100 };

/* ---- what was tried ---- */

static const char *mark_of(const struct tune *tune, const struct tune_trial *trial)
{
	const char *fault = tune_fault(tune, trial);

	if (trial == tune->found)
		return trial == tune->best ? "  <- taken, best" : "  <- taken";
	if (trial == tune->best)
		return tune->found ? "  <- best" : "  <- taken";
	if (trial == tune->usual)
		return "  <- default";
	return fault ? fault : "";
}

/* The best first, as numbers and as bars; a full bar is the best score. */
static void print_trials(const struct tune *tune)
{
	static const struct tune_trial *ranked[TUNE_MAX_TRIALS];
	int decimals = tune->conf->rate ? 3 : 0;

	for (size_t i = 0; i < tune->n_trials; i++)
		ranked[i] = &tune->trials[i];
	tune_rank(tune, ranked, tune->n_trials);
	printf("\n%12s %9s %6s %8s  ", tune_unit(tune), "+-", "rounds", "MiB");
	for (size_t i = 0; i < tune->n_knobs; i++)
		printf(" %s", tune->knobs[i].option);
	putchar('\n');
	for (size_t i = 0; i < tune->n_trials; i++) {
		const struct tune_trial *trial = ranked[i];
		double share = tune_ratio(tune, tune_score(tune, trial), tune_score(tune, ranked[0]));
		int bar = trial->n_rounds == 0 ? 0 : share >= 0 && share <= 1 ? (int)(BAR * share) : BAR;

		if (trial->n_rounds)
			printf("%12.*f %9.*f %6zu %8.0f  ", decimals, tune_score(tune, trial), decimals, tune_spread(tune, trial),
				trial->n_rounds, tune_memory(trial) / 1048576);
		else
			printf("%12s %9s %6s %8s  ", "-", "-", "-", "-");
		for (size_t k = 0; k < tune->n_knobs; k++)
			printf(" %*s", (int)strlen(tune->knobs[k].option), tune_value(tune, trial, k));
		printf("  %.*s%s\n", bar, "########################################", mark_of(tune, trial));
	}
}

/* ---- why ---- */

struct load {
	bool has_most_workers;                      /* of all values that were tried */
	double processors, proxy, worker, handlers; /* shares of all processors, of one, of one, of the workers' time */
};

static bool has_most_workers(const struct tune *tune)
{
	for (size_t i = 0; i < tune->n_knobs; i++) {
		const struct tune_knob *knob = &tune->knobs[i];
		unsigned long long n = strtoull(tune_value(tune, tune->best, i), NULL, 10), most = 0;

		if (!tune_is_workers(knob))
			continue;
		for (size_t k = 0; k < knob->n_values; k++) {
			unsigned long long value = strtoull(knob->values[k], NULL, 10);

			most = value > most ? value : most;
		}
		return n == most;
	}
	return false;
}

static struct load load_of(const struct tune *tune)
{
	const struct tune_round *round = &tune->best->rounds[tune->best->n_rounds - 1];
	double each_s = (double)(tune->conf->work_us + tune->conf->sleep_us) / 1e6;

	return (struct load){
		.has_most_workers = has_most_workers(tune),
		.processors = round->cpus / (double)sysconf(_SC_NPROCESSORS_ONLN),
		.proxy = round->proxy,
		.worker = round->worker,
		.handlers = round->n_workers > 0 ? round->rate * each_s / round->n_workers : 0,
	};
}

/* The first that is used up holds the rest. */
static const char *bound_of(const struct load *load)
{
	const double full = 0.85;

	if (load->processors > full)
		return "The processors are used up: a faster handler or more processors help, settings do not.";
	if (load->handlers > full)
		return "The handlers take the workers' whole time: more workers are more speed until processors or memory end it.";
	if (load->worker > full)
		return "Each worker keeps its processor busy: more workers help while processors are left.";
	if (load->proxy > full)
		return "The proxy keeps a processor busy: nothing but fewer bytes or larger messages helps.";
	if (load->has_most_workers)
		return "Nothing here is used up, and no more workers were tried: see whether a higher --max-workers goes faster.";
	return "Nothing on this side is used up: the broker, the network or what else runs here holds it.";
}

/* One paragraph. */
static void print_reasons(const struct tune *tune)
{
	struct load load = load_of(tune);
	const char *unit = tune_unit(tune);
	int decimals = tune->conf->rate ? 3 : 0;

	printf("\nWhy: %.*f %s against %.*f with the defaults.", decimals, tune_score(tune, tune->best), unit, decimals,
		tune_score(tune, tune->usual));
	for (size_t i = 0; i < tune->n_steps; i++) {
		const struct tune_step *step = &tune->steps[i];
		const struct tune_knob *knob = &tune->knobs[step->knob];

		printf(" %s %s instead of %s made %.*f of %.*f.", knob->option, knob->values[step->to],
			knob->values[step->from], decimals, step->after, decimals, step->before);
	}
	printf(
		" Proxy and workers use %.0f %% of all processors (the proxy %.0f %% of one, each worker %.0f %%) and %.0f MiB.",
		load.processors * PERCENT, load.proxy * PERCENT, load.worker * PERCENT, tune_memory(tune->best) / 1048576);
	if (load.handlers > 0)
		printf(" The handlers' own work is %.0f %% of the workers' time.", load.handlers * PERCENT);
	if (!tune->conf->rate)
		printf(" %s", bound_of(&load));
	if (tune_fault(tune, tune->best))
		printf(" NOTHING THAT WAS TRIED FITS: this one has %s.", tune_fault(tune, tune->best));
	putchar('\n');
}

/* ---- the settings ---- */

static void print_settings(const struct tune *tune)
{
	char options[TUNE_MAX_KNOBS][96];
	const char *list[TUNE_MAX_KNOBS];
	const char *code = NULL;
	size_t n = 0;

	for (size_t i = 0; i < tune->n_knobs; i++) {
		if (tune->best->choice[i] == tune->usual->choice[i])
			continue;
		if (tune_is_code(&tune->knobs[i])) {
			code = tune_value(tune, tune->best, i);
			continue;
		}
		snprintf(options[n], sizeof(options[n]), "%s=%s", tune->knobs[i].option, tune_value(tune, tune->best, i));
		list[n] = options[n];
		n++;
	}
	if (code)
		printf("\n# in the workers: ->onBatch(PIPELINE, %s, 0.02, HANDLER)\n", code);
	if (n == 0 && code)
		return;
	if (n == 0) {
		puts("\nNothing beats the defaults by more than the measurements vary: leave them.");
		return;
	}
	puts("\n# what is better than the defaults, for this work on this machine");
	run_write_options(stdout, list, n);
}

/* ---- the sweep ---- */

static int sweep_command(const struct tune *tune)
{
	static struct tune sweep;
	const struct tune_trial *found;

	puts("\nThe sweep: every combination, those that lead and what tune found measured afresh, side by side.");
	fflush(stdout);
	if (tune_sweep(tune, &sweep, &found))
		return -1;
	print_trials(&sweep);
	printf("\nWhat tune found reaches %.1f %% of the best of the sweep (%.3f against %.3f %s, +- %.3f).\n",
		PERCENT * tune_ratio(&sweep, tune_score(&sweep, found), tune_score(&sweep, sweep.best)),
		tune_score(&sweep, found), tune_score(&sweep, sweep.best), tune_unit(&sweep), tune_spread(&sweep, found));
	return 0;
}

/* ---- what is doubtful ---- */

static void print_doubts(const struct tune *tune)
{
	double shortest_s = INFINITY;
	uint64_t fewest = UINT64_MAX;

	for (size_t i = 0; i < tune->n_trials; i++) {
		const struct tune_trial *trial = &tune->trials[i];

		for (size_t k = 0; k < trial->n_rounds; k++) {
			shortest_s = fmin(shortest_s, trial->rounds[k].seconds);
			fewest = trial->rounds[k].n_timed < fewest ? trial->rounds[k].n_timed : fewest;
		}
	}
	if (doubt_is_short(shortest_s))
		printf("\nTOO SHORT: one of the rounds took %.2f s; give --messages and --seconds for more than a second.\n",
			shortest_s);
	if (tune->conf->rate && doubt_quantile(fewest) <= TIMES_P99)
		printf("\nTOO FEW MESSAGES: p99 of %" PRIu64
			   " in one of the rounds; give --rate and --seconds for a thousand.\n",
			fewest);
}

static void print_all(const struct tune *tune)
{
	print_trials(tune);
	print_reasons(tune);
	print_doubts(tune);
	print_settings(tune);
}

int tune_command(int argc, char **argv)
{
	static struct tune tune;
	struct run_conf conf = run_conf_default(argc, argv);
	int status;

	if (argc > 1 && strcmp(argv[1], "--explain") == 0)
		return explain_command(argc - 1, argv + 1);
	conf.seconds = 2;
	conf.n_workers = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN); /* as the product itself */
	conf.max_workers = 4 * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (!run_ask(&conf, RUN_TUNE, usage, &status))
		return status;
	if (!run_rate_fits(&conf) || tune_init(&tune, &conf))
		return EXIT_USAGE;

	uint64_t n_workers = conf.n_workers;

	if (conf.n_workers < conf.max_workers)
		conf.n_workers = conf.max_workers; /* the load is made for as many */
	if (round_prepare(&conf)) {
		tune_done(&tune);
		round_clean_up(&conf, false);
		return EXIT_ERROR;
	}

	int err = conf.rate ? 0 : run_load(&conf, true);

	conf.n_workers = n_workers;

	if (!err)
		err = tune_search(&tune);
	if (!err)
		print_all(&tune);
	if (!err && conf.has_sweep)
		err = sweep_command(&tune);
	tune_done(&tune);
	round_clean_up(&conf, err != 0);
	return err ? EXIT_ERROR : EXIT_CLEAN;
}
