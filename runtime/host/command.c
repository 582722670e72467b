/* SPDX-License-Identifier: MIT */
/* The command line. */
#include "host/command.h"

#include "host/conf.h"
#include "host/glance_ask.h"
#include "host/glance_show.h"
#include "host/loader.h"
#include "host/runtime.h"
#include "host/version.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the options of any command can say. */
struct command_options {
	const char *command; /* its name */
	const char *file, *socket;
	bool print, json;
};

struct command {
	const char *name;
	const char *synopsis;
	const char *help;
	int (*run)(const struct command_options *options);
	const char *takes; /* the letters of its options, -h aside */
	const char *word;  /* that may follow the name; NULL: none */
};

static int command_serve(const struct command_options *options);
static int command_check_config(const struct command_options *options);
static int command_view(const struct command_options *options);
static int command_version(const struct command_options *options);
static int command_help(const struct command_options *options);

static const struct command commands[] = {
	{"serve", "serve -c FILE", "runs the pipelines of FILE until SIGTERM or SIGINT", command_serve, "c"},
	{"check-config", "check-config -c FILE [--print]",
		"tells every mistake in FILE; --print: the effective configuration, secrets masked", command_check_config,
		"cp"},
	{"status", "status -c FILE [--json]", "tells how the qbus-proxy that runs with FILE is doing", command_view, "csj"},
	{"pipelines", "pipelines [list] -c FILE [--json]", "tells of its pipelines and their lanes", command_view, "csj",
		"list"},
	{"workers", "workers -c FILE [--json]", "tells of its pools and workers", command_view, "csj"},
	{"inflight", "inflight -c FILE [--json]", "tells which messages its workers hold, the longest running first",
		command_view, "csj"},
	{"version", "version [--json]", "prints the versions of qbus-proxy and of every library", command_version, "j"},
	{"help", "help", "prints this page", command_help, ""},
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void command_print_usage(FILE *out)
{
	fputs("Usage: qbus-proxy COMMAND [OPTION]...\n\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-34s %s\n", commands[i].synopsis, commands[i].help);
	fputs("\nstatus, pipelines, workers and inflight ask at the admin.socket of FILE, or at --socket PATH.\n", out);
	fputs("\nExit codes: 0 clean, 1 error, 3 drain cut short, 64 usage, 78 configuration.\n", out);
}

static int command_help(const struct command_options *options)
{
	(void)options;
	command_print_usage(stdout);
	return EXIT_CLEAN;
}

/* NULL after the complaints were printed. */
static struct conf *command_load(const struct command_options *options, struct loader *loader)
{
	struct conf *conf = conf_load(options->file, loader_find, loader);
	conf_complain(conf, stderr);
	if (!conf->n_errors)
		return conf;
	conf_free(conf);
	return NULL;
}

static int command_with_conf(const struct command_options *options, int (*run)(struct conf *, bool print))
{
	if (!options->file) {
		fputs("qbus-proxy: which configuration? Say -c FILE\n", stderr);
		return EXIT_USAGE;
	}
	struct loader *loader = loader_new(NULL);
	struct conf *conf = command_load(options, loader);
	int status = conf ? run(conf, options->print) : EXIT_CONFIG;
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
	return command_with_conf(options, serve_conf);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static int check_conf(struct conf *conf, bool print)
{
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

/* The path of the admin socket, to be freed; NULL after a complaint, with the exit code. */
static char *command_find_socket(const struct command_options *options, int *ret_status)
{
	char *path = NULL;
	if (options->socket)
		return strdup(options->socket);
	*ret_status = EXIT_USAGE;
	if (!options->file) {
		fputs("qbus-proxy: which qbus-proxy? Say -c FILE or --socket PATH\n", stderr);
		return NULL;
	}
	struct loader *loader = loader_new(NULL);
	struct conf *conf = conf_load(options->file, loader_find, loader);
	*ret_status = conf->n_errors ? EXIT_CONFIG : EXIT_ERROR;
	if (conf->n_errors)
		conf_complain(conf, stderr);
	else if (conf->admin.socket)
		path = strdup(conf->admin.socket);
	else
		fprintf(stderr, "qbus-proxy: %s names no admin.socket, so nobody can be asked\n", options->file);
	conf_free(conf);
	loader_free(loader);
	return path;
}

static int command_view(const struct command_options *options)
{
	const struct glance_view *view = glance_view_find(options->command);
	char error[GLANCE_ASK_ERROR_BYTES];
	int status = EXIT_ERROR;
	char *path = command_find_socket(options, &status);
	if (!path)
		return status;
	char *answer = glance_ask(path, glance_view_page(view), error);
	if (!answer)
		fprintf(stderr, "qbus-proxy: %s\n", error);
	else if (options->json)
		status = fputs(answer, stdout) < 0 ? EXIT_ERROR : EXIT_CLEAN;
	else
		status = glance_view_show(view, answer, stdout) ? EXIT_CLEAN : EXIT_ERROR;
	free(answer);
	free(path);
	return status;
}

static int command_version(const struct command_options *options)
{
	struct loader *loader = loader_new(NULL);
	version_print(stdout, loader, options->json);
	loader_free(loader);
	return EXIT_CLEAN;
}

static const struct option option_names[] = {
	{"config", required_argument, NULL, 'c'},
	{"socket", required_argument, NULL, 's'},
	{"print", no_argument, NULL, 'p'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static const char *option_name(int letter)
{
	const struct option *option = option_names;
	while (option->val != letter)
		option++;
	return option->name;
}

/* -1 after a complaint. */
static int command_take(const struct command *command, int letter, struct command_options *options)
{
	const char **text = letter == 'c' ? &options->file : letter == 's' ? &options->socket : NULL;
	if (!strchr(command->takes, letter)) {
		fprintf(stderr, "qbus-proxy: %s has no option --%s\n", command->name, option_name(letter));
		return -1;
	}
	if (text && *text) {
		fprintf(stderr, "qbus-proxy: --%s is given twice\n", option_name(letter));
		return -1;
	}
	if (text)
		*text = optarg;
	options->print = options->print || letter == 'p';
	options->json = options->json || letter == 'j';
	return 0;
}

static int command_parse(const struct command *command, int argc, char **argv, struct command_options *ret_options)
{
	for (int letter; (letter = getopt_long(argc, argv, "c:h", option_names, NULL)) != -1;) {
		if (letter == 'h') {
			command_print_usage(stdout);
			return 1;
		}
		if (letter == '?' || command_take(command, letter, ret_options) < 0) /* getopt has said what is wrong */
			return -1;
	}
	if (optind < argc && command->word && strcmp(argv[optind], command->word) == 0)
		optind++;
	if (optind < argc) {
		fprintf(stderr, "qbus-proxy: what is \"%s\" for?\n", argv[optind]);
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
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		options.command = name;
		int parsed = command_parse(&commands[i], argc - 1, argv + 1, &options);
		if (parsed)
			return parsed > 0 ? EXIT_CLEAN : EXIT_USAGE;
		return commands[i].run(&options);
	}
	if (*name)
		fprintf(stderr, "qbus-proxy: there is no command \"%s\"\n", name);
	command_print_usage(stderr);
	return EXIT_USAGE;
}
