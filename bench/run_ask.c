/* SPDX-License-Identifier: MIT */
/* The command line of run, compare and tune: one table of options, each with the commands that know it. */
#include "command.h"
#include "number.h"
#include "pace.h"
#include "run.h"
#include "sizes.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { RATE_SECONDS = 10, READ_FROM = 1 << 20 };

enum { MEASURED = RUN_RUN | RUN_COMPARE, ALL = MEASURED | RUN_TUNE };

static const struct {
	const char *name;
	unsigned command;
} commands[] = {{"run", RUN_RUN}, {"compare", RUN_COMPARE}, {"tune", RUN_TUNE}};

/* Those of one kind in one piece: take_option looks at the borders. */
enum option_id {
	OPT_HELP,
	OPT_KAFKA,
	OPT_AMQP,
	OPT_TOPIC,
	OPT_QUEUE,
	OPT_ORDERING,
	OPT_CREDIT,
	OPT_SIZE,
	OPT_READ,
	OPT_KNOBS,
	OPT_JSON,
	OPT_HTML,
	OPT_WORKER,
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
	OPT_PROXY,
	OPT_GENERATED,
	OPT_SWEEP,
	OPT_PLAIN,
	OPT_NO_SYSCALLS,
	OPT_PROXY_OPTION,
	OPT_PLAIN_OPTION,
	OPT_PHP_OPTION,
	N_OPTIONS,
};

enum { INDENT = 23 };

#define MORE "\n                       "

/* In the order of the help. The first four stand in each command's own lines above it. */
static const struct {
	const char *name, *value; /* value: NULL: takes none */
	enum option_id id;
	unsigned commands; /* that know it */
	const char *help;  /* NULL: not in the list */
} rows[] = {
	{"help", NULL, OPT_HELP, ALL, NULL},
	{"kafka", "BOOTSTRAP", OPT_KAFKA, ALL, NULL},
	{"amqp", "URL", OPT_AMQP, ALL, NULL},
	{"generated", NULL, OPT_GENERATED, ALL, NULL},
	{"topic", "TOPIC", OPT_TOPIC, ALL, "made and filled if need be (default qbus-bench-SIZE)"},
	{"queue", "QUEUE", OPT_QUEUE, ALL, "a quorum queue, made if need be and EMPTIED (default qbus-bench-SIZE)"},
	{"messages", "N", OPT_MESSAGES, ALL,
		"to be handled in a round (default 1000000; with --rate those of ten seconds)"},
	{"size", "BYTES", OPT_SIZE, ALL, "of a body (default and least 192); 200,10%:100000 makes a tenth of them larger"},
	{"partitions", "N", OPT_PARTITIONS, ALL, "of a topic that is made (default 12)"},
	{"keys", "N", OPT_KEYS, ALL, "different keys of the messages (default 1000)"},
	{"workers", "N", OPT_WORKERS, MEASURED, "PHP processes (default 1)"},
	{"workers", "N", OPT_WORKERS, RUN_TUNE, "PHP processes to begin with (default: one for each processor)"},
	{"max-workers", "N", OPT_MAX_WORKERS, RUN_TUNE, "(default: 4 for each processor)"},
	{"knobs", "KEY,KEY...", OPT_KNOBS, RUN_TUNE,
		"what to turn, as in pool.num_workers,fetch.max_bytes (default: all that it knows);" MORE
		"KEY=VALUE:VALUE... says which values to try beside the default"},
	{"sweep", NULL, OPT_SWEEP, RUN_TUNE,
		"then measure every combination of the values, and tell how near the best one tune came"},
	{"memory", "MEBIBYTES", OPT_MEMORY, RUN_TUNE, "that proxy and workers may use together at most"},
	{"ordering", "MODE", OPT_ORDERING, ALL, "none, partition or key (default none)"},
	{"credit", "N", OPT_CREDIT, ALL, "messages that a worker may hold, or auto (default auto)"},
	{"work", "MICROSECONDS", OPT_WORK, ALL, "of each message in the handler, by turning the processor (default 0)"},
	{"sleep", "MICROSECONDS", OPT_SLEEP, ALL,
		"of each message in the handler, by sleeping, as one that asks a service (default 0)"},
	{"batch", "N", OPT_BATCH, ALL, "messages that a handler takes together, within 20 ms (default: one at a time)"},
	{"read", "whole|stream", OPT_READ, ALL,
		"how handlers read a body (default: whole if there are some above 1 MiB, else not at all)"},
	{"seconds", "N", OPT_SECONDS, MEASURED,
		"a round ends after so many, or with the last message (default: with the last message)"},
	{"seconds", "N", OPT_SECONDS, RUN_TUNE, "a round ends after so many, or with the last message (default 2)"},
	{"rate", "N", OPT_RATE, ALL,
		"messages a second that are sent while they are read, each timed from when it was due: the" MORE
		"load does not wait for a slow consumer (default: all are there before; as fast as it goes)"},
	{"plain", NULL, OPT_PLAIN, RUN_RUN, "also let a plain C consumer read the same, in the same rounds"},
	{"rounds", "N", OPT_ROUNDS, MEASURED, "(default 3)"},
	{"no-syscalls", NULL, OPT_NO_SYSCALLS, MEASURED,
		"no extra round in which system calls are counted (which takes root)"},
	{"json", "FILE", OPT_JSON, MEASURED, "write the result as JSON; - for stdout instead of the table"},
	{"html", "FILE", OPT_HTML, MEASURED, "write it as a page with plots that needs nothing from elsewhere"},
	{"proxy", "FILE", OPT_PROXY, ALL, "the proxy (default: next to this program)"},
	{"worker", "FILE", OPT_WORKER, ALL, "the worker, a PHP file that counts as bench/worker.php does"},
	{"proxy-option", "SECTION.KEY=VALUE", OPT_PROXY_OPTION, ALL,
		"of its configuration, as in fetch.max_bytes=4MiB; may be repeated"},
	{"plain-option", "NAME=VALUE", OPT_PLAIN_OPTION, MEASURED,
		"a property of librdkafka for the plain consumer; may be repeated"},
	{"php-option", "NAME=VALUE", OPT_PHP_OPTION, ALL,
		"of php.ini, for the workers and for what they are compared with; may be repeated"},
};

enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

/* ---- what there is ---- */

static void print_options(FILE *out, unsigned command)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		if (!rows[i].help || !(rows[i].commands & command))
			continue;

		int width =
			fprintf(out, "  --%s%s%s", rows[i].name, rows[i].value ? " " : "", rows[i].value ? rows[i].value : "");

		fprintf(out, "%*s%s\n", width < INDENT ? INDENT - width : 2, "", rows[i].help);
	}
}

static unsigned known_to(int id)
{
	unsigned known = 0;

	for (size_t i = 0; i < N_ROWS; i++)
		known |= (int)rows[i].id == id ? rows[i].commands : 0;
	return known;
}

/* False after a sentence. */
static bool is_for(int id, const char *name, unsigned command)
{
	unsigned known = known_to(id);
	const char *comma = "";

	if (known & command)
		return true;
	fprintf(stderr, "qbus-bench: --%s is an option of ", name);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!(known & commands[i].command))
			continue;
		fprintf(stderr, "%s%s", comma, commands[i].name);
		comma = " and ";
	}
	fputs(" only\n", stderr);
	return false;
}

/* ---- what was said ---- */

static bool take_text(struct run_conf *conf, int option)
{
	const char **const places[] = {&conf->bootstrap, &conf->url, &conf->topic, &conf->queue, &conf->ordering,
		&conf->credit, &conf->size, &conf->read, &conf->knobs, &conf->json, &conf->html, &conf->worker};

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
	if (option >= OPT_KAFKA && option <= OPT_WORKER)
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

/* What the options say together. False after a sentence. */
static bool is_consistent(struct run_conf *conf)
{
	struct sizes sizes;

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

/* Every option one after the other. ret_wants_help: there is nothing more to read. False after a sentence. */
static bool read_options(struct run_conf *conf, unsigned command, bool *ret_wants_help)
{
	struct option options[N_ROWS + 1] = {{NULL, 0, NULL, 0}};
	int option, index = 0;

	for (size_t i = 0; i < N_ROWS; i++)
		options[i] =
			(struct option){rows[i].name, rows[i].value ? required_argument : no_argument, NULL, (int)rows[i].id};
	*ret_wants_help = false;
	while ((option = getopt_long(conf->argc, conf->argv, "", options, &index)) != -1) {
		if (option == OPT_HELP)
			return *ret_wants_help = true;
		if (option == '?' || !is_for(option, options[index].name, command))
			return false;
		if (!take_option(conf, option)) {
			fprintf(stderr, "qbus-bench: that was --%s\n", options[index].name);
			return false;
		}
	}
	return true;
}

bool run_ask(struct run_conf *conf, enum run_command command, const char *help, int *ret_exit)
{
	static_assert(N_OPTIONS < '?', "what getopt says of an unknown one is none of them");
	bool wants_help;

	*ret_exit = EXIT_USAGE;
	if (!read_options(conf, command, &wants_help))
		return false;
	if (wants_help) {
		fputs(help, stdout);
		print_options(stdout, command);
		*ret_exit = EXIT_CLEAN;
		return false;
	}
	if (optind != conf->argc || !!conf->bootstrap + !!conf->url + conf->is_generated != 1) {
		fputs(help, stderr);
		print_options(stderr, command);
		if (optind != conf->argc)
			fprintf(stderr, "\nqbus-bench: nothing is done with '%s'\n", conf->argv[optind]);
		else
			fputs("\nqbus-bench: one of --kafka, --amqp and --generated says where messages come from\n", stderr);
		return false;
	}
	return is_consistent(conf);
}

bool run_rate_fits(const struct run_conf *conf)
{
	if (!conf->rate || !conf->is_generated)
		return true;
	fputs("qbus-bench: no generated message tells when it was due: only `run` takes --generated with --rate\n", stderr);
	return false;
}

struct run_conf run_conf_default(int argc, char **argv)
{
	return (struct run_conf){.size = "192",
		.n_workers = 1,
		.n_rounds = 3,
		.n_partitions = 12,
		.n_keys = 1000,
		.ordering = "none",
		.credit = "auto",
		.sides = {SIDE_PROXY, SIDE_PLAIN},
		.n_sides = 1,
		.argc = argc,
		.argv = argv};
}
