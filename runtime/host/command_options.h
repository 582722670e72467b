/* SPDX-License-Identifier: MIT */
/* What the options of any command can say, and the commands that have a file of their own. Only command*.c include
 * this. Each command returns an exit code of command.h and has said on stderr why it is not EXIT_CLEAN. */
#ifndef QBUS_HOST_COMMAND_OPTIONS_H
#define QBUS_HOST_COMMAND_OPTIONS_H

#include "host/conf.h"

#include <stdbool.h>
#include <stdint.h>

/* Texts as they were given, NULL: not given. */
struct command_options {
	const char *command;
	char **words; /* what follows the command and is no option */
	int n_words;
	const char *file, *socket, *wait, *pipeline, *source, *partition, *offset, *queue, *limit;
	bool print, json, watch, all, leaks;
};

typedef int command_run_fn(const struct command_options *options);

/* command_view.c: status, pipelines, workers, inflight, which show; pipelines, cancel and reset, which act. */
command_run_fn command_view, command_pipelines, command_cancel, command_reset;

/* command_dlq.c */
command_run_fn command_dlq;

/* command.c: NULL after the complaints were printed, with the exit code; else to be freed. */
struct loader;
struct conf *command_load(const struct command_options *options, struct loader *loader, int *ret_status);

#endif
