/* SPDX-License-Identifier: MIT */
/* The command line of qbus-bench: finds the command's row and calls it. */
#include "command.h"

#include <stdio.h>
#include <string.h>

struct command {
	const char *name;
	const char *help;
	int (*run)(int argc, char **argv);
};

static int help_command(int argc, char **argv);
static int version_command(int argc, char **argv);

static const struct command commands[] = {
	{"produce", "fills a topic or a queue with order records and waits until all are confirmed", produce_command},
	{"run", "measures qbus-proxy, and plain C consumers next to it", run_command},
	{"compare", "measures what PHP programs would run otherwise, side by side with qbus-proxy", compare_command},
	{"tune", "looks for the settings with which qbus-proxy is fastest", tune_command},
	{"plain", "reads a topic or a queue without qbus-proxy, for run", plain_command},
	{"echo", "sends frames to a bare PHP loop, for compare", echo_command},
	{"version", "prints the version", version_command},
	{"help", "prints this page", help_command},
};

static const size_t n_commands = sizeof(commands) / sizeof(commands[0]);

static void print_usage(FILE *out)
{
	fputs("Usage: qbus-bench COMMAND [OPTION]...    (qbus-bench COMMAND --help tells its options)\n\n", out);
	for (size_t i = 0; i < n_commands; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
}

static int help_command(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	print_usage(stdout);
	return EXIT_CLEAN;
}

static int version_command(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("qbus-bench " QBUS_VERSION);
	return EXIT_CLEAN;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0)
		name = "version";
	for (size_t i = 0; i < n_commands; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	if (*name)
		fprintf(stderr, "qbus-bench: unknown command '%s'\n", name);
	print_usage(stderr);
	return EXIT_USAGE;
}
