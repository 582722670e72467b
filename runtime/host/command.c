/* SPDX-License-Identifier: MIT */
/* The command line. */
#include "host/command.h"

#include "host/command_options.h"
#include "host/loader.h"
#include "host/reload.h"
#include "host/runtime.h"
#include "host/version.h"

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct command {
	const char *name;
	const char *synopsis;
	const char *help;
	command_run_fn *run;
	const char *takes; /* the letters of its options, -h aside */
	bool has_words;    /* takes words beside options */
};

static command_run_fn command_serve, command_check_config, command_version, command_help;

static const struct command commands[] = {
	{"serve", "serve -c FILE", "runs the pipelines of FILE until SIGTERM or SIGINT", command_serve, "c", false},
	{"check-config", "check-config -c FILE [--print]",
		"tells every mistake in FILE; --print: the effective configuration, secrets masked", command_check_config, "cp",
		false},
	{"status", "status", "tells how the qbus-proxy that runs with FILE is doing", command_view, "csj", false},
	{"pipelines", "pipelines [list [NAME]]", "tells of its pipelines and their lanes", command_pipelines, "csjWSNO",
		true},
	{NULL, "pipelines pause|resume NAME", "stops delivery, or lets it go on; running handlers finish"},
	{NULL, "pipelines drain NAME [--wait 30s]", "stops delivery and waits until nothing is in flight"},
	{NULL, "pipelines skip NAME LANE", "gives up what a wedged lane cannot read; LANE: --source TOPIC"},
	{NULL, "", "--partition N --offset N, which is the last offset given up"},
	{"workers", "workers [--watch]", "tells of its pools and workers; --watch: again every second", command_view,
		"csjwl", false},
	{NULL, "workers --leaks", "tells what keeps growing in them, by path (leak_check of their pool)"},
	{"inflight", "inflight [--pipeline NAME]", "tells which messages workers hold, the longest running first",
		command_view, "csjP", false},
	{"cancel", "cancel ID", "the delivery is past its deadline now; ID as inflight tells it", command_cancel, "csj",
		true},
	{"reset", "reset [POOL]", "renews the workers of a pool, or of all, each when a successor is ready", command_reset,
		"csj", true},
	{"dlq", "dlq [show] PIPELINE -c FILE",
		"shows its dead letters; --json, --limit N, --queue NAME where RabbitMQ has them", command_dlq, "cjaQL", true},
	{NULL, "dlq retry PIPELINE ID...|--all", "publishes them to where they came from, then removes them"},
	{NULL, "dlq remove PIPELINE ID...|--all", "removes them"},
	{"version", "version [--json]", "prints the versions of qbus-proxy and of every library", command_version, "j",
		false},
	{"help", "help [COMMAND]", "prints this page, or what COMMAND does and its options", command_help, "", true},
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

#define FIELD(name) offsetof(struct command_options, name)

static const struct flag {
	int letter; /* that the command's `takes` names it by */
	const char *name;
	const char *argument; /* what is written behind it, NULL: nothing */
	const char *help;
	size_t field; /* of struct command_options: a text with an argument, a bool without */
} flags[] = {
	{'c', "config", "FILE", "the configuration", FIELD(file)},
	{'s', "socket", "PATH", "the admin socket to ask at, instead of the one that FILE names", FIELD(socket)},
	{'p', "print", NULL, "prints the effective configuration, with the ceiling of memory", FIELD(print)},
	{'j', "json", NULL, "prints JSON", FIELD(json)},
	{'w', "watch", NULL, "looks again every second until Ctrl-C", FIELD(watch)},
	{'l', "leaks", NULL, "tells what keeps growing in the workers, by path", FIELD(leaks)},
	{'W', "wait", "TIME", "drain: how long to wait until nothing is in flight; 30s", FIELD(wait)},
	{'P', "pipeline", "NAME", "of this pipeline only", FIELD(pipeline)},
	{'S', "source", "TOPIC", "skip: the topic of the lane", FIELD(source)},
	{'N', "partition", "N", "skip: the partition of the lane", FIELD(partition)},
	{'O', "offset", "N", "skip: the last offset given up", FIELD(offset)},
	{'Q', "queue", "NAME", "the queue that has them, on RabbitMQ", FIELD(queue)},
	{'L', "limit", "N", "shows the first N", FIELD(limit)},
	{'a', "all", NULL, "retry, remove: every letter", FIELD(all)},
	{'h', "help", NULL, "prints this page"},
};

enum { N_FLAGS = sizeof flags / sizeof *flags };

static const char brief_flags[] = "c:h"; /* as getopt has it: those that can be written with one letter */

/* The rows of one command, which has a name, and of those without a name that follow it. Returns the row behind. */
static size_t command_print_rows(FILE *out, size_t row)
{
	do
		fprintf(out, "  %-34s %s\n", commands[row].synopsis, commands[row].help);
	while (++row < N_COMMANDS && !commands[row].name);
	return row;
}

static void command_print_help(FILE *out, const struct command *command)
{
	fprintf(out, "Usage: qbus-proxy %s [OPTION]...\n\n", command->name);
	command_print_rows(out, (size_t)(command - commands));
	fputs("\nOptions:\n", out);
	for (const struct flag *flag = flags; flag < flags + N_FLAGS; flag++) {
		if (flag->letter != 'h' && !strchr(command->takes, flag->letter))
			continue;
		if (strchr(brief_flags, flag->letter))
			fprintf(out, "  -%c, ", flag->letter);
		else
			fputs("      ", out);
		fprintf(out, "--%-9s %-5s  %s\n", flag->name, flag->argument ? flag->argument : "", flag->help);
	}
}

static void command_print_usage(FILE *out)
{
	fputs("Usage: qbus-proxy COMMAND [OPTION]...    (qbus-proxy COMMAND --help tells its options)\n\n", out);
	for (size_t row = 0; row < N_COMMANDS;)
		row = command_print_rows(out, row);
	fputs("\nFrom status to reset: -c FILE, which names the admin.socket to ask at, or --socket PATH; --json.\n", out);
	fputs("\nExit codes: 0 clean, 1 error, 3 drain cut short or last acks not confirmed, 64 usage, 78 configuration.\n",
		out);
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (commands[i].name && strcmp(name, commands[i].name) == 0)
			return &commands[i];
	fprintf(stderr, "qbus-proxy: there is no command \"%s\"\n", name);
	return NULL;
}

static int command_help(const struct command_options *options)
{
	const struct command *command = options->n_words ? command_find(options->words[0]) : NULL;
	if (command)
		command_print_help(stdout, command);
	else
		command_print_usage(options->n_words ? stderr : stdout);
	return command || !options->n_words ? EXIT_CLEAN : EXIT_USAGE;
}

struct conf *command_load(const struct command_options *options, struct loader *loader, int *ret_status)
{
	if (!options->file) {
		fputs("qbus-proxy: which configuration? Say -c FILE\n", stderr);
		*ret_status = EXIT_USAGE;
		return NULL;
	}
	struct conf *conf = conf_load(options->file, loader_find, loader);
	if (!conf->n_errors)
		return conf;
	conf_complain(conf, stderr);
	conf_free(conf);
	*ret_status = EXIT_CONFIG;
	return NULL;
}

static int command_with_conf(const struct command_options *options, int (*run)(struct conf *, bool print))
{
	int status = EXIT_ERROR;
	struct loader *loader = loader_new(NULL);
	struct conf *conf = command_load(options, loader, &status);
	if (conf)
		status = run(conf, options->print);
	conf_free(conf);
	loader_free(loader);
	return status;
}

static int serve_conf(struct conf *conf, bool print)
{
	(void)print;
	return runtime_serve(conf);
}

static int command_serve(const struct command_options *options)
{
	reload_hold_hangup();
	return command_with_conf(options, serve_conf);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static int check_conf(struct conf *conf, bool print)
{
	conf_complain(conf, stderr);
	if (print)
		conf_print(conf, stdout);
	else
		printf("%s: good: %zu broker%s, %zu pipeline%s, %zu pool%s\n", conf->file, conf->n_brokers,
			plural(conf->n_brokers), conf->n_pipelines, plural(conf->n_pipelines), conf->n_pools,
			plural(conf->n_pools));
	return EXIT_CLEAN;
}

static int command_check_config(const struct command_options *options)
{
	return command_with_conf(options, check_conf);
}

static int command_version(const struct command_options *options)
{
	struct loader *loader = loader_new(NULL);
	version_print(stdout, loader, options->json);
	loader_free(loader);
	return EXIT_CLEAN;
}

/* -1 after a complaint. */
static int command_take(const struct command *command, int letter, struct command_options *options)
{
	const struct flag *flag = flags;
	while (flag->letter != letter)
		flag++;
	if (!strchr(command->takes, letter)) {
		fprintf(stderr, "qbus-proxy: %s has no option --%s\n", command->name, flag->name);
		return -1;
	}
	void *field = (char *)options + flag->field;
	if (!flag->argument) {
		*(bool *)field = true;
		return 0;
	}
	const char **text = field;
	if (*text) {
		fprintf(stderr, "qbus-proxy: --%s is given twice\n", flag->name);
		return -1;
	}
	*text = optarg;
	return 0;
}

static int command_parse(const struct command *command, int argc, char **argv, struct command_options *ret_options)
{
	struct option names[N_FLAGS + 1] = {0};
	for (size_t i = 0; i < N_FLAGS; i++)
		names[i] =
			(struct option){flags[i].name, flags[i].argument ? required_argument : no_argument, NULL, flags[i].letter};
	for (int letter; (letter = getopt_long(argc, argv, brief_flags, names, NULL)) != -1;) {
		if (letter == 'h') {
			command_print_help(stdout, command);
			return 1;
		}
		if (letter == '?' || command_take(command, letter, ret_options) < 0) /* getopt has said what is wrong */
			return -1;
	}
	ret_options->words = argv + optind;
	ret_options->n_words = argc - optind;
	if (optind < argc && !command->has_words) {
		bool may_be_file = strchr(command->takes, 'c') && !ret_options->file;
		fprintf(stderr, "qbus-proxy: what is \"%s\" for?%s\n", argv[optind],
			may_be_file ? " The configuration is said with -c FILE" : "");
		return -1;
	}
	return 0;
}

int command_run(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	struct command_options options = {0};
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0)
		name = "version";
	const struct command *command = *name ? command_find(name) : NULL;
	if (!command) {
		command_print_usage(stderr);
		return EXIT_USAGE;
	}
	options.command = name;
	int parsed = command_parse(command, argc - 1, argv + 1, &options);
	if (parsed)
		return parsed > 0 ? EXIT_CLEAN : EXIT_USAGE;
	return command->run(&options);
}
