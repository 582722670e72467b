/* SPDX-License-Identifier: MIT */
/* The command line. */
#include "host/command.h"

#include "host/conf.h"
#include "host/loader.h"
#include "host/runtime.h"
#include "host/version.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* What the options of any command can say. */
struct command_options {
	const char *file;
	bool print, json, reference;
};

struct command {
	const char *name;
	const char *synopsis;
	const char *help;
	int (*run)(const struct command_options *options);
};

static int command_serve(const struct command_options *options);
static int command_check_config(const struct command_options *options);
static int command_version(const struct command_options *options);
static int command_help(const struct command_options *options);

static const struct command commands[] = {
	{"serve", "serve -c FILE", "runs the pipelines of FILE until SIGTERM or SIGINT", command_serve},
	{"check-config", "check-config -c FILE [--print]",
		"tells every mistake in FILE; --print: the effective configuration, secrets masked", command_check_config},
	{"version", "version [--json]", "prints the versions of qbus-proxy and of every library", command_version},
	{"help", "help", "prints this page", command_help},
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void command_print_usage(FILE *out)
{
	fputs("Usage: qbus-proxy COMMAND [OPTION]...\n\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-32s %s\n", commands[i].synopsis, commands[i].help);
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

static int check_conf(struct conf *conf, bool print)
{
	if (print)
		conf_print(conf, stdout);
	else
		printf("%s: good: %zu brokers, %zu pipelines, %zu pools\n", conf->file, conf->n_brokers, conf->n_pipelines,
			conf->n_pools);
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

static int command_parse(int argc, char **argv, struct command_options *ret_options)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"print", no_argument, NULL, 'p'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	for (int option; (option = getopt_long(argc, argv, "c:h", longs, NULL)) != -1;) {
		switch (option) {
		case 'c':
			ret_options->file = optarg;
			break;
		case 'p':
			ret_options->print = true;
			break;
		case 'j':
			ret_options->json = true;
			break;
		case 'h':
			command_print_usage(stdout);
			return 1;
		default: /* getopt has said what is wrong */
			return -1;
		}
	}
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
		int parsed = command_parse(argc - 1, argv + 1, &options);
		if (parsed)
			return parsed > 0 ? EXIT_CLEAN : EXIT_USAGE;
		return commands[i].run(&options);
	}
	if (*name)
		fprintf(stderr, "qbus-proxy: there is no command \"%s\"\n", name);
	command_print_usage(stderr);
	return EXIT_USAGE;
}
