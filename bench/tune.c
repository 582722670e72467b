/* SPDX-License-Identifier: MIT */
/* `qbus-bench tune`: the command, and what it tells of the search. */
#include "tune.h"

#include "command.h"
#include "explain.h"
#include "round.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"Usage: qbus-bench tune --kafka BOOTSTRAP [OPTION]...\n"
	"       qbus-bench tune --amqp URL [OPTION]...\n"
	"       qbus-bench tune --explain -c FILE [OPTION]...    (says what a configuration's numbers mean)\n"
	"\n"
	"Looks for the settings with which this work goes fastest through qbus-proxy: workers, fetch sizes, prefetch, credit,\n"
	"commit interval. Measures each value, the better half of them again, and takes a change only when it wins by more\n"
	"than the measurements vary. Prints what it tried, the settings as YAML, and what holds the speed.\n"
	"Describe the work with --size, --work, --sleep, --partitions.\n"
	"\n"
	"  --max-workers N      (default: 4 for each processor)\n"
	"  --knobs KEY,KEY...   what to turn, as in pool.num_workers,fetch.max_bytes (default: all that it knows)\n"
	"  --memory MEBIBYTES   that proxy and workers may use together at most\n"
	"\n";

enum { BAR = 40, PERCENT = 100 };

static int order_by_rate(const void *a, const void *b)
{
	const struct tune_trial *const *x = a, *const *y = b;
	double rate_x = tune_rate(*x), rate_y = tune_rate(*y);

	return (rate_x < rate_y) - (rate_x > rate_y);
}

/* The fastest first, as numbers and as bars. */
static void print_trials(const struct tune *tune)
{
	const struct tune_trial *sorted[TUNE_MAX_TRIALS];

	for (size_t i = 0; i < tune->n_trials; i++)
		sorted[i] = &tune->trials[i];
	qsort(sorted, tune->n_trials, sizeof(sorted[0]), order_by_rate);
	printf("\n%12s %9s %6s %8s  ", "messages/s", "+-", "rounds", "MiB");
	for (size_t i = 0; i < tune->n_knobs; i++)
		printf(" %s", tune->knobs[i]->option);
	putchar('\n');
	for (size_t i = 0; i < tune->n_trials; i++) {
		const struct tune_trial *trial = sorted[i];
		int bar = (int)(BAR * tune_rate(trial) / tune_rate(sorted[0]));

		printf("%12.0f %9.0f %6zu %8.0f  ", tune_rate(trial), tune_spread(trial), trial->n_rounds,
			(double)tune_memory(tune, trial) / 1048576);
		for (size_t k = 0; k < tune->n_knobs; k++)
			printf(" %s", tune_value(tune, trial, k));
		printf("  %.*s%s%s\n", bar, "########################################", trial == tune->best ? "  <- taken" : "",
			trial == tune->usual     ? "  <- default"
			: tune_fits(tune, trial) ? ""
									 : "  too much memory");
	}
}

/* ---- why ---- */

struct load {
	double processors, proxy, worker, handlers; /* shares of all processors, of one, of one, of the workers' time */
};

static struct load load_of(const struct tune *tune)
{
	const struct measure_result *round = &tune->best->rounds[0];
	double n_workers = round->n_workers ? (double)round->n_workers : 1;
	double each_s = (double)(tune->conf->work_us + tune->conf->sleep_us) / 1e6;

	return (struct load){
		.processors =
			(round->main.cpu_s + round->workers.cpu_s) / round->seconds / (double)sysconf(_SC_NPROCESSORS_ONLN),
		.proxy = round->main.cpu_s / round->seconds,
		.worker = round->workers.cpu_s / round->seconds / n_workers,
		.handlers = (double)round->n_messages * each_s / round->seconds / n_workers,
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
	return "Nothing on this side is used up: the broker, the network or what else runs here holds it.";
}

static void print_reasons(const struct tune *tune)
{
	struct load load = load_of(tune);

	printf(
		"\n%.0f messages/s against %.0f with the defaults. Proxy and workers use %.0f %% of all processors (the proxy %.0f %% of "
		"one, each worker %.0f %%),\nand %.0f MiB.",
		tune_rate(tune->best), tune_rate(tune->usual), load.processors * PERCENT, load.proxy * PERCENT,
		load.worker * PERCENT, (double)tune_memory(tune, tune->best) / 1048576);
	if (load.handlers > 0)
		printf(" The handlers' own work is %.0f %% of the workers' time.", load.handlers * PERCENT);
	printf("\n%s\n", bound_of(&load));
}

/* ---- the settings ---- */

static void print_settings(const struct tune *tune)
{
	char options[TUNE_MAX_KNOBS][96];
	const char *list[TUNE_MAX_KNOBS];
	size_t n = 0;

	for (size_t i = 0; i < tune->n_knobs; i++) {
		if (tune->best->choice[i] == tune->usual->choice[i])
			continue;
		snprintf(options[n], sizeof(options[n]), "%s=%s", tune->knobs[i]->option, tune_value(tune, tune->best, i));
		list[n] = options[n];
		n++;
	}
	if (n == 0) {
		puts("\nNothing beats the defaults by more than the measurements vary: leave them.");
		return;
	}
	puts("\n# what is better than the defaults, for this work on this machine");
	run_write_options(stdout, list, n);
}

int tune_command(int argc, char **argv)
{
	static struct tune tune;
	struct run_conf conf = run_conf_default(argc, argv);
	int status;

	if (argc > 1 && strcmp(argv[1], "--explain") == 0)
		return explain_command(argc - 1, argv + 1);
	conf.seconds = 2;
	conf.max_workers = 4 * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (!run_ask(&conf, usage, &status))
		return status;
	conf.n_workers = conf.max_workers; /* the load is made for as many */
	if (conf.rate) {
		fputs("qbus-bench: tune looks for the highest rate; it takes no --rate\n", stderr);
		return EXIT_USAGE;
	}
	if (tune_init(&tune, &conf))
		return EXIT_USAGE;
	if (round_prepare(&conf))
		return EXIT_ERROR;

	int err = run_load(&conf, true);

	if (!err)
		err = tune_search(&tune);
	if (!err) {
		print_trials(&tune);
		print_reasons(&tune);
		print_settings(&tune);
	}
	round_clean_up(&conf, err != 0);
	return err ? EXIT_ERROR : EXIT_CLEAN;
}
