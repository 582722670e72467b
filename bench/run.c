/* SPDX-License-Identifier: MIT */
/* `qbus-bench run`: real processes read the same messages in alternating rounds, with the proxy and without. */
#include "run.h"

#include "command.h"
#include "number.h"
#include "pace.h"
#include "round.h"
#include "sizes.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RATE_SECONDS = 10, COUNTED_PART = 4, READ_FROM = 1 << 20 };

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

static const char usage_options[] =
	"  --topic TOPIC        made and filled if need be (default qbus-bench-SIZE)\n"
	"  --queue QUEUE        a quorum queue, made if need be and EMPTIED (default qbus-bench-SIZE)\n"
	"  --messages N         to be handled in a round (default 1000000; with --rate those of ten seconds)\n"
	"  --size BYTES         of a body (default and least 192); 200,10%:100000 makes a tenth of them larger\n"
	"  --partitions N       of a topic that is made (default 12)\n"
	"  --keys N             different keys of the messages (default 1000)\n"
	"  --workers N          PHP processes (default 1; tune begins with N, by default with one for each processor)\n"
	"  --ordering MODE      none, partition or key (default none)\n"
	"  --credit N           messages that a worker may hold, or auto (default auto)\n"
	"  --work MICROSECONDS  of each message in the handler, by turning the processor (default 0)\n"
	"  --sleep MICROSECONDS of each message in the handler, by sleeping, as one that asks a service (default 0)\n"
	"  --batch N            messages that a handler takes together, within 20 ms (default: one at a time)\n"
	"  --read whole|stream  how handlers read a body (default: whole if there are some above 1 MiB, else not at all)\n"
	"  --seconds N          a round ends after so many, or with the last message (default: with the last message)\n"
	"  --rate N             messages a second that are sent while they are read, each timed from when it was due: the\n"
	"                       load does not wait for a slow consumer (default: all are there before; as fast as it goes)\n"
	"  --plain              also let a plain C consumer read the same, in the same rounds\n"
	"  --rounds N           (default 3)\n"
	"  --no-syscalls        no extra round in which system calls are counted (which takes root)\n"
	"  --json FILE          run, compare: write the result as JSON; - for stdout instead of the table\n"
	"  --html FILE          run, compare: write it as a page with plots that needs nothing from elsewhere\n"
	"  --proxy FILE         the proxy (default: next to this program)\n"
	"  --worker FILE        the worker, a PHP file that counts as bench/worker.php does\n"
	"  --proxy-option SECTION.KEY=VALUE    of its configuration, as in fetch.max_bytes=4MiB; may be repeated\n"
	"  --plain-option NAME=VALUE           a property of librdkafka for the plain consumer; may be repeated\n"
	"  --php-option NAME=VALUE             of php.ini, for the workers and for what they are compared with; may be repeated\n";

enum {
	OPT_HELP = 256,
	OPT_KAFKA,
	OPT_TOPIC,
	OPT_AMQP,
	OPT_QUEUE,
	OPT_ORDERING,
	OPT_CREDIT,
	OPT_SIZE,
	OPT_JSON,
	OPT_HTML,
	OPT_KNOBS,
	OPT_WORKER,
	OPT_READ,
	OPT_PROXY,
	OPT_MESSAGES,
	OPT_PARTITIONS,
	OPT_KEYS,
	OPT_WORKERS,
	OPT_ROUNDS,
	OPT_WORK,
	OPT_SLEEP,
	OPT_BATCH,
	OPT_SECONDS,
	OPT_RATE,
	OPT_MAX_WORKERS,
	OPT_MEMORY,
	OPT_PLAIN,
	OPT_PROXY_OPTION,
	OPT_PLAIN_OPTION,
	OPT_PHP_OPTION,
	OPT_GENERATED,
	OPT_NO_SYSCALLS,
	OPT_SWEEP,
};

static const struct option options[] = {
	{"help", no_argument, NULL, OPT_HELP},
	{"kafka", required_argument, NULL, OPT_KAFKA},
	{"topic", required_argument, NULL, OPT_TOPIC},
	{"amqp", required_argument, NULL, OPT_AMQP},
	{"queue", required_argument, NULL, OPT_QUEUE},
	{"ordering", required_argument, NULL, OPT_ORDERING},
	{"credit", required_argument, NULL, OPT_CREDIT},
	{"json", required_argument, NULL, OPT_JSON},
	{"knobs", required_argument, NULL, OPT_KNOBS},
	{"html", required_argument, NULL, OPT_HTML},
	{"worker", required_argument, NULL, OPT_WORKER},
	{"read", required_argument, NULL, OPT_READ},
	{"proxy", required_argument, NULL, OPT_PROXY},
	{"generated", no_argument, NULL, OPT_GENERATED},
	{"sweep", no_argument, NULL, OPT_SWEEP},
	{"no-syscalls", no_argument, NULL, OPT_NO_SYSCALLS},
	{"messages", required_argument, NULL, OPT_MESSAGES},
	{"size", required_argument, NULL, OPT_SIZE},
	{"keys", required_argument, NULL, OPT_KEYS},
	{"partitions", required_argument, NULL, OPT_PARTITIONS},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"rounds", required_argument, NULL, OPT_ROUNDS},
	{"work", required_argument, NULL, OPT_WORK},
	{"sleep", required_argument, NULL, OPT_SLEEP},
	{"batch", required_argument, NULL, OPT_BATCH},
	{"rate", required_argument, NULL, OPT_RATE},
	{"seconds", required_argument, NULL, OPT_SECONDS},
	{"max-workers", required_argument, NULL, OPT_MAX_WORKERS},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"plain", no_argument, NULL, OPT_PLAIN},
	{"proxy-option", required_argument, NULL, OPT_PROXY_OPTION},
	{"plain-option", required_argument, NULL, OPT_PLAIN_OPTION},
	{"php-option", required_argument, NULL, OPT_PHP_OPTION},
	{NULL, 0, NULL, 0},
};

/* ---- the command line ---- */

static bool take_text(struct run_conf *conf, int option)
{
	const char **const places[] = {&conf->bootstrap, &conf->topic, &conf->url, &conf->queue, &conf->ordering,
		&conf->credit, &conf->size, &conf->json, &conf->html, &conf->knobs, &conf->worker, &conf->read};

	*places[option - OPT_KAFKA] = optarg;
	return true;
}

static bool take_count(struct run_conf *conf, int option)
{
	const struct {
		uint64_t *place, min, max;
	} counts[] = {
		{&conf->n_messages, 1, INT64_MAX / 2},
		{&conf->n_partitions, 1, 1000},
		{&conf->n_keys, 1, INT64_MAX},
		{&conf->n_workers, 1, MEASURE_MAX_COUNTERS - 1},
		{&conf->n_rounds, 1, RUN_MAX_ROUNDS},
		{&conf->work_us, 0, 60000000},
		{&conf->sleep_us, 0, 60000000},
		{&conf->batch, 1, 100000},
		{&conf->seconds, 1, 3600},
		{&conf->rate, 1, PACE_MAX_RATE},
		{&conf->max_workers, 1, 64},
		{&conf->max_mebibytes, 1, 1 << 20},
	};
	size_t i = (size_t)(option - OPT_MESSAGES);

	return number_read(optarg, counts[i].min, counts[i].max, counts[i].place);
}

static bool take_pair(const char **list, size_t *n)
{
	if (*n == RUN_MAX_OPTIONS) {
		fprintf(stderr, "qbus-bench: '%s' is more than the %d options that there can be\n", optarg, RUN_MAX_OPTIONS);
		return false;
	}
	list[(*n)++] = optarg;
	return true;
}

static bool take_option(struct run_conf *conf, int option)
{
	if (option >= OPT_KAFKA && option <= OPT_READ)
		return take_text(conf, option);
	if (option >= OPT_MESSAGES && option <= OPT_MEMORY)
		return take_count(conf, option);
	switch (option) {
	case OPT_PROXY:
		return snprintf(conf->proxy, sizeof(conf->proxy), "%s", optarg) < RUN_MAX_PATH;
	case OPT_PLAIN:
		conf->n_sides = 2;
		return true;
	case OPT_GENERATED:
		return conf->is_generated = true;
	case OPT_SWEEP:
		return conf->has_sweep = true;
	case OPT_NO_SYSCALLS:
		return conf->skips_calls = true;
	case OPT_PROXY_OPTION:
		return take_pair(conf->proxy_options, &conf->n_proxy_options);
	case OPT_PLAIN_OPTION:
		return take_pair(conf->plain_options, &conf->n_plain_options);
	case OPT_PHP_OPTION:
		return take_pair(conf->php_options, &conf->n_php_options);
	default:
		return false;
	}
}

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

bool run_ask(struct run_conf *conf, const char *help, int *ret_exit)
{
	struct sizes sizes;
	int option, index = 0;

	*ret_exit = EXIT_USAGE;
	while ((option = getopt_long(conf->argc, conf->argv, "", options, &index)) != -1) {
		if (option == OPT_HELP) {
			fputs(help, stdout);
			fputs(usage_options, stdout);
			*ret_exit = EXIT_CLEAN;
			return false;
		}
		if (!take_option(conf, option)) {
			if (option != '?')
				fprintf(stderr, "qbus-bench: that was --%s\n", options[index].name);
			return false;
		}
	}
	if (optind != conf->argc || !!conf->bootstrap + !!conf->url + conf->is_generated != 1) {
		fputs(help, stderr);
		fputs(usage_options, stderr);
		if (optind != conf->argc)
			fprintf(stderr, "\nqbus-bench: nothing is done with '%s'\n", conf->argv[optind]);
		else
			fputs("\nqbus-bench: one of --kafka, --amqp and --generated says where messages come from\n", stderr);
		return false;
	}
	if (!sizes_read(conf->size, &sizes))
		return false;
	conf->largest = sizes.largest;
	if (!conf->read && sizes.largest > READ_FROM)
		conf->read = "whole";
	if (conf->read && strcmp(conf->read, "whole") != 0 && strcmp(conf->read, "stream") != 0) {
		fprintf(stderr, "qbus-bench: --read is whole or stream, not '%s'\n", conf->read);
		return false;
	}
	if (conf->is_generated && (sizes.n_shares || (conf->n_sides > 1 && !conf->is_compare))) {
		fputs(
			"qbus-bench: generated messages have one size, and only the proxy has them: no shares in --size, no --plain\n",
			stderr);
		return false;
	}
	if (!conf->n_messages)
		conf->n_messages = conf->rate ? conf->rate * (conf->seconds ? conf->seconds : RATE_SECONDS) : 1000000;
	return true;
}

bool run_rate_fits(const struct run_conf *conf)
{
	if (!conf->rate || !conf->is_generated)
		return true;
	fputs("qbus-bench: no generated message tells when it was due: only `run` takes --generated with --rate\n", stderr);
	return false;
}

static const struct run_conf run_defaults = {.size = "192",
	.n_workers = 1,
	.n_rounds = 3,
	.n_partitions = 12,
	.n_keys = 1000,
	.ordering = "none",
	.credit = "auto",
	.sides = {SIDE_PROXY, SIDE_PLAIN},
	.n_sides = 1};

struct run_conf run_conf_default(int argc, char **argv)
{
	struct run_conf conf = run_defaults;

	conf.argc = argc;
	conf.argv = argv;
	return conf;
}

int run_command(int argc, char **argv)
{
	struct run_conf conf = run_conf_default(argc, argv);
	int status;

	return run_ask(&conf, usage_run, &status) ? run_all(&conf) : status;
}

int compare_command(int argc, char **argv)
{
	struct run_conf conf = run_conf_default(argc, argv);
	int status;

	conf.is_compare = true;
	if (!run_ask(&conf, usage_compare, &status))
		return status;
	return run_rate_fits(&conf) ? run_all(&conf) : EXIT_USAGE;
}
