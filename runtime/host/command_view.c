/* SPDX-License-Identifier: MIT */
/* Commands that ask a running qbus-proxy at its admin socket. */
#include "host/command.h"
#include "host/command_options.h"

#include "base/clock.h"
#include "host/glance_ask.h"
#include "host/glance_show.h"
#include "host/loader.h"
#include "host/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* VIEW_WAIT_US: how long `drain --wait` waits, VIEW_SKIP_US: how long `skip` does, where nothing else is said. */
enum { VIEW_TARGET = 1024, VIEW_WAIT_US = 30000000, VIEW_SKIP_US = 10000000, VIEW_LOOK_MS = 100, VIEW_WATCH_MS = 1000 };

/* ---- asking ---- */

/* The path of the admin socket, to be freed; NULL after a complaint, with the exit code. */
static char *view_find_socket(const struct command_options *options, int *ret_status)
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

static int usage(const char *sentence)
{
	fprintf(stderr, "qbus-proxy: %s\n", sentence);
	return EXIT_USAGE;
}

/* What goes into a query as it stands: names of ours need no other letters. */
static bool is_plain(const char *value)
{
	return !value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")];
}

/* PAGE?NAME=VALUE; with a NULL value: PAGE. False after a complaint. */
static bool target_add(char *target, const char *name, const char *value)
{
	size_t len = strlen(target);
	if (!value)
		return true;
	if (!is_plain(value) || len + strlen(name) + strlen(value) + 3 > VIEW_TARGET) {
		fprintf(stderr, "qbus-proxy: \"%.80s\" is no %s\n", value, name);
		return false;
	}
	snprintf(target + len, VIEW_TARGET - len, "%c%s=%s", strchr(target, '?') ? '&' : '?', name, value);
	return true;
}

/* The body of a page that was shown; NULL after a complaint. */
static char *view_ask(const char *socket, const char *method, const char *target)
{
	char error[GLANCE_ASK_ERROR_BYTES];
	int code;
	char *answer = glance_ask(socket, method, target, &code, error);
	if (answer && code == GLANCE_ASK_DONE)
		return answer;
	if (answer && glance_outcome_read(answer, error, sizeof error) < 0)
		snprintf(error, sizeof error, "what listens at %s is no qbus-proxy of this version", socket);
	fprintf(stderr, "qbus-proxy: %s\n", error);
	free(answer);
	return NULL;
}

static void view_pause(int ms)
{
	const struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
	nanosleep(&span, NULL);
}

/* ---- views ---- */

static int view_show(const struct command_options *options, const char *socket, const char *target)
{
	const struct glance_view *view = glance_view_find(options->leaks ? "leaks" : options->command);
	int status = EXIT_ERROR;
	char *answer = view_ask(socket, "GET", target);
	if (answer && options->watch && !options->json)
		fputs("\033[H\033[J", stdout); /* the terminal begins anew */
	if (answer && options->json)
		status = fputs(answer, stdout) < 0 ? EXIT_ERROR : EXIT_CLEAN;
	else if (answer)
		status = glance_view_show(view, answer, stdout) ? EXIT_CLEAN : EXIT_ERROR;
	free(answer);
	return fflush(stdout) == 0 ? status : EXIT_ERROR;
}

static int view_of(const struct command_options *options, const char *pipeline)
{
	char target[VIEW_TARGET];
	int status = EXIT_ERROR;
	snprintf(target, sizeof target, "%s", glance_view_page(glance_view_find(options->command)));
	if (!target_add(target, "pipeline", pipeline))
		return EXIT_USAGE;
	char *socket = view_find_socket(options, &status);
	if (!socket)
		return status;
	while ((status = view_show(options, socket, target)) == EXIT_CLEAN && options->watch)
		view_pause(VIEW_WATCH_MS);
	free(socket);
	return status;
}

int command_view(const struct command_options *options)
{
	return view_of(options, options->pipeline);
}

/* ---- actions ---- */

/* Has something done and says what came of it. */
static int act(const struct command_options *options, const char *socket, const char *target)
{
	char sentence[GLANCE_ASK_ERROR_BYTES];
	char *answer = view_ask(socket, "POST", target);
	if (!answer)
		return EXIT_ERROR;
	if (options->json)
		fputs(answer, stdout);
	else if (glance_outcome_read(answer, sentence, sizeof sentence) == 0)
		printf("%s\n", sentence);
	free(answer);
	return EXIT_CLEAN;
}

static int act_alone(const struct command_options *options, const char *page, const char *name, const char *value)
{
	char target[VIEW_TARGET];
	int status = EXIT_ERROR;
	snprintf(target, sizeof target, "%s", page);
	if (!target_add(target, name, value))
		return EXIT_USAGE;
	char *socket = view_find_socket(options, &status);
	if (!socket)
		return status;
	status = act(options, socket, target);
	free(socket);
	return status;
}

int command_cancel(const struct command_options *options)
{
	if (options->n_words != 1)
		return usage("which delivery? `inflight` tells the ids");
	return act_alone(options, "/cancel", "id", options->words[0]);
}

int command_reset(const struct command_options *options)
{
	if (options->n_words > 1)
		return usage("reset takes the name of one pool, or none for all");
	return act_alone(options, "/reset", "pool", options->n_words ? options->words[0] : NULL);
}

static int pipelines_list(const struct command_options *options)
{
	return view_of(options, options->n_words > 1 ? options->words[1] : NULL);
}

static int pipelines_pause(const struct command_options *options)
{
	return act_alone(options, "/pause", "pipeline", options->words[1]);
}

static int pipelines_resume(const struct command_options *options)
{
	return act_alone(options, "/resume", "pipeline", options->words[1]);
}

/* Looks at the pipeline until `is_over` says so; EXIT_CUT_SHORT when the time ends first. */
static int pipeline_await(const char *socket, const char *name, int64_t for_us,
	bool (*is_over)(const char *answer, const void *ctx), const void *ctx)
{
	char target[VIEW_TARGET] = "/status";
	int64_t until_us = clock_now_us() + for_us;
	target_add(target, "pipeline", name);
	for (;;) {
		char *answer = view_ask(socket, "GET", target);
		if (!answer)
			return EXIT_ERROR;
		bool is_done = is_over(answer, ctx);
		free(answer);
		if (is_done || clock_now_us() >= until_us)
			return is_done ? EXIT_CLEAN : EXIT_CUT_SHORT;
		view_pause(VIEW_LOOK_MS);
	}
}

static bool is_drained(const char *answer, const void *ctx)
{
	(void)ctx;
	return glance_pipeline_number(answer, "in_flight") == 0 && glance_pipeline_number(answer, "parked") == 0;
}

/* Paused, and nothing of it runs any more. */
static int pipelines_drain(const struct command_options *options)
{
	char target[VIEW_TARGET] = "/pause";
	int64_t wait_us = VIEW_WAIT_US;
	int status = EXIT_USAGE;
	if (options->wait && units_read_duration(options->wait, &wait_us) < 0)
		return usage("--wait takes a duration like 30s");
	if (!target_add(target, "pipeline", options->words[1]))
		return EXIT_USAGE;
	char *socket = view_find_socket(options, &status);
	if (!socket)
		return status;
	status = act(options, socket, target);
	if (status == EXIT_CLEAN)
		status = pipeline_await(socket, options->words[1], wait_us, is_drained, NULL);
	if (status == EXIT_CLEAN && !options->json)
		puts("nothing of it is in flight");
	else if (status == EXIT_CUT_SHORT)
		fputs("qbus-proxy: some of it is in flight still; `inflight` tells what\n", stderr);
	free(socket);
	return status;
}

/* The lane, by what names it on the command line. */
struct skip {
	const char *source;
	int64_t partition, offset;
};

static bool is_skipped(const char *answer, const void *ctx)
{
	const struct skip *skip = ctx;
	return glance_lane_newest(answer, skip->source, skip->partition) >= skip->offset;
}

static int pipelines_skip(const struct command_options *options)
{
	struct skip skip = {.source = options->source};
	char target[VIEW_TARGET] = "/skip";
	int status = EXIT_USAGE;
	if (!options->source || !options->partition || !options->offset ||
		units_read_integer(options->partition, &skip.partition) < 0 ||
		units_read_integer(options->offset, &skip.offset) < 0)
		return usage(
			"skip takes --source TOPIC --partition N --offset N; what cannot be read, up to there, is given up");
	if (!target_add(target, "pipeline", options->words[1]) || !target_add(target, "source", options->source) ||
		!target_add(target, "partition", options->partition) || !target_add(target, "offset", options->offset))
		return EXIT_USAGE;
	char *socket = view_find_socket(options, &status);
	if (!socket)
		return status;
	status = act(options, socket, target);
	if (status == EXIT_CLEAN)
		status = pipeline_await(socket, options->words[1], VIEW_SKIP_US, is_skipped, &skip);
	if (status == EXIT_CLEAN && !options->json)
		puts("it has gone on");
	else if (status == EXIT_CUT_SHORT)
		fputs("qbus-proxy: it has not gone on; its log tells why\n", stderr);
	free(socket);
	return status == EXIT_CUT_SHORT ? EXIT_ERROR : status;
}

int command_pipelines(const struct command_options *options)
{
	static const struct {
		const char *word;
		command_run_fn *run;
		bool needs_name;
	} verbs[] = {
		{"list", pipelines_list, false},
		{"pause", pipelines_pause, true},
		{"resume", pipelines_resume, true},
		{"drain", pipelines_drain, true},
		{"skip", pipelines_skip, true},
	};
	const char *word = options->n_words ? options->words[0] : "list";
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(word, verbs[i].word) != 0)
			continue;
		if (options->n_words > 2 || (verbs[i].needs_name && options->n_words != 2))
			return usage("which pipeline? Name one");
		return verbs[i].run(options);
	}
	fprintf(stderr, "qbus-proxy: pipelines can list, pause, resume, drain and skip, not \"%s\"\n", word);
	return EXIT_USAGE;
}
