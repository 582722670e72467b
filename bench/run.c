/* SPDX-License-Identifier: MIT */
/* `qbus-bench run`: real processes read the same messages in alternating rounds, with the proxy and without. */
#include "run.h"

#include "command.h"
#include "round.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNTED_PART = 4 };

static const char usage_run[] =
	"Usage: qbus-bench run --kafka BOOTSTRAP [OPTION]...\n"
	"       qbus-bench run --amqp URL [OPTION]...\n"
	"       qbus-bench run --kafka embedded [OPTION]...    (a small Kafka of its own, in memory)\n"
	"       qbus-bench run --generated [OPTION]...         (no broker: the proxy's `memory` makes the messages)\n"
	"\n"
	"Fills a topic or a queue, then measures how fast qbus-proxy and PHP workers with an empty handler read it.\n"
	"\n";

static const char usage_compare[] =
	"Usage: qbus-bench compare --kafka BOOTSTRAP [OPTION]...\n"
	"       qbus-bench compare --amqp URL [OPTION]...\n"
	"       qbus-bench compare --generated --credit 1 [OPTION]...    (with a bare PHP echo loop)\n"
	"\n"
	"The same messages through qbus-proxy and through what one would run otherwise, in alternating rounds: ext-amqp,\n"
	"php-amqplib, php-rdkafka, each where it is installed, with its defaults and with a wide prefetch, one PHP\n"
	"process each; and a plain C consumer. Prints how many times faster qbus-proxy is than each.\n"
	"\n";

/* Who was last begins the next round, so that what warms up or tires helps or harms both. */
static int run_rounds(const struct run_conf *conf, struct run_results *results)
{
	int err = run_is_live(conf) ? 0 : run_load(conf, true);

	for (size_t round = 0; round < conf->n_rounds && !err; round++) {
		for (size_t i = 0; i < conf->n_sides && !err; i++) {
			enum side_id side = conf->sides[(round + i) % conf->n_sides];

			err = round_measure(conf, side, round, &results->rounds[side][round]);
		}
		results->n_rounds += !err;
	}
	return err;
}

/* Counting slows down what it counts, so it has a round of its own, a short one. */
static int run_counted_round(const struct run_conf *conf, struct run_results *results)
{
	struct run_conf shorter = *conf;
	int err = 0;

	if (conf->skips_calls)
		return 0;
	if (!syscalls_can()) {
		fputs("qbus-bench: system calls are not counted: that takes root or CAP_PERFMON, and tracefs\n", stderr);
		return 0;
	}
	shorter.n_messages =
		conf->n_messages / COUNTED_PART > conf->every ? conf->n_messages / COUNTED_PART : conf->n_messages;
	shorter.counts_calls = true;
	for (size_t i = 0; i < conf->n_sides && !err; i++)
		err = round_measure(&shorter, conf->sides[i], results->n_rounds, &results->counted[conf->sides[i]]);
	return err;
}

/* Everything that reads this broker and is installed. */
static void choose_sides(struct run_conf *conf)
{
	conf->n_sides = 0;
	for (enum side_id side = 0; side < N_SIDES; side++) {
		if (run_is_there(conf, side))
			conf->sides[conf->n_sides++] = side;
	}
}

/* A result that has no place is better known before it is measured. */
static bool has_folder(const char *file)
{
	const char *slash = file ? strrchr(file, '/') : NULL;
	char folder[RUN_MAX_PATH];

	if (!slash)
		return true;
	snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - file), file);
	if (access(folder, W_OK) == 0)
		return true;
	fprintf(stderr, "qbus-bench: cannot write %s: %s\n", file, strerror(errno));
	return false;
}

static int run_all(struct run_conf *conf)
{
	static struct run_results results;

	if (!has_folder(conf->json) || !has_folder(conf->html))
		return EXIT_ERROR;
	if (round_prepare(conf)) {
		round_clean_up(conf, false);
		return EXIT_ERROR;
	}
	if (conf->is_compare)
		choose_sides(conf);

	int err = run_rounds(conf, &results);

	if (!err)
		err = run_counted_round(conf, &results);
	if (!err)
		err = run_report(conf, &results);
	for (size_t side = 0; side < N_SIDES; side++) {
		for (size_t round = 0; round < RUN_MAX_ROUNDS; round++)
			measure_result_done(&results.rounds[side][round]);
		measure_result_done(&results.counted[side]);
	}
	round_clean_up(conf, err != 0);
	return err ? EXIT_ERROR : EXIT_CLEAN;
}

int run_command(int argc, char **argv)
{
	struct run_conf conf = run_conf_default(argc, argv);
	int status;

	return run_ask(&conf, RUN_RUN, usage_run, &status) ? run_all(&conf) : status;
}

int compare_command(int argc, char **argv)
{
	struct run_conf conf = run_conf_default(argc, argv);
	int status;

	conf.is_compare = true;
	if (!run_ask(&conf, RUN_COMPARE, usage_compare, &status))
		return status;
	return run_rate_fits(&conf) ? run_all(&conf) : EXIT_USAGE;
}
