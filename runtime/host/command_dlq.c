/* SPDX-License-Identifier: MIT */
/* The dead letters of a pipeline: shown, published again, removed. A process of its own, from the configuration file;
 * no qbus-proxy need run. */
#include "host/command.h"
#include "host/command_options.h"

#include "base/alloc.h"
#include "host/dlq_show.h"
#include "host/loader.h"
#include "host/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum dlq_verb { DLQ_SHOW, DLQ_RETRY, DLQ_REMOVE };

enum { DLQ_ORIGIN_MAX = 2048, DLQ_DELIVERIES_LOW = 10 };

struct dlq {
	const struct command_options *options;
	const struct conf_pipeline *pipeline;
	const struct qb_graveyard *yard;
	void *opened;
	enum dlq_verb verb;
	char **ids; /* that are wanted; each is NULL once it was found */
	int n_ids;
	int64_t limit, n_shown, n_done;
	uint32_t deliveries; /* the most that a letter was looked at before */
	struct dlq_list *list;
	char error[QB_GRAVE_ERROR];
};

/* ---- single letters ---- */

/* A topic may take the letters of several pipelines. What the broker has moved itself tells no pipeline. */
static bool letter_is_ours(const struct dlq *dlq, const struct qb_message *letter)
{
	const char *name = dlq->pipeline->conf.name;
	struct qb_bytes header;
	return !dlq_header_find(letter, "x-qbus-pipeline", &header) ||
	       (header.len == strlen(name) && memcmp(header.data, name, header.len) == 0);
}

static bool letter_is_wanted(struct dlq *dlq, const char *id)
{
	if (!dlq->n_ids)
		return true;
	for (int i = 0; i < dlq->n_ids; i++) {
		if (!dlq->ids[i] || strcmp(dlq->ids[i], id) != 0)
			continue;
		dlq->ids[i] = NULL;
		return true;
	}
	return false;
}

/* The copy has the headers that the message had before it became a dead letter. */
static int letter_again(struct dlq *dlq, const struct qb_message *letter)
{
	static const char ours[] = "x-qbus-";
	struct qb_header *headers = alloc_new((letter->n_headers + 1) * sizeof *headers);
	struct qb_outgoing copy = {.key = letter->key, .body = letter->body, .headers = headers};
	struct qb_bytes header;
	char origin[DLQ_ORIGIN_MAX];
	bool has_origin = dlq_header_find(letter, "x-qbus-origin", &header) && header.len < sizeof origin;
	for (size_t i = 0; i < letter->n_headers; i++) {
		struct qb_bytes name = letter->headers[i].name;
		if (name.len < sizeof ours - 1 || memcmp(name.data, ours, sizeof ours - 1) != 0)
			headers[copy.n_headers++] = letter->headers[i];
	}
	if (has_origin)
		snprintf(origin, sizeof origin, "%.*s", (int)header.len, (const char *)header.data);
	int status = dlq->yard->again(dlq->opened, &copy, has_origin ? origin : NULL, dlq->error);
	free(headers);
	return status;
}

static int letter_do(struct dlq *dlq, const struct qb_message *letter, const char *id)
{
	int status = dlq->verb == DLQ_RETRY ? letter_again(dlq, letter) : 0;
	if (status == 0 && dlq->verb != DLQ_SHOW)
		status = dlq->yard->remove(dlq->opened, dlq->error);
	if (status < 0)
		fprintf(stderr, "qbus-proxy: %s: %s\n", id, dlq->error);
	return status;
}

/* ---- all letters ---- */

static bool is_over(const struct dlq *dlq)
{
	bool has_all = dlq->n_ids > 0;
	for (int i = 0; i < dlq->n_ids; i++)
		has_all = has_all && !dlq->ids[i];
	return has_all || (dlq->limit && dlq->n_shown == dlq->limit);
}

/* 0, or -errno after a complaint: what was done before that stays done. */
static int letters_walk(struct dlq *dlq)
{
	struct qb_message letter;
	char id[DLQ_ID_MAX];
	int status = 0;
	while (!is_over(dlq) && (status = dlq->yard->next(dlq->opened, &letter, dlq->error)) > 0) {
		dlq_id_write(&letter, id);
		if (!letter_is_ours(dlq, &letter) || !letter_is_wanted(dlq, id))
			continue;
		dlq->n_shown++;
		dlq->deliveries = letter.deliveries > dlq->deliveries ? letter.deliveries : dlq->deliveries;
		if (letter_do(dlq, &letter, id) < 0)
			return -1;
		dlq->n_done++;
		dlq_list_add(dlq->list, &letter, id);
	}
	if (status < 0)
		fprintf(stderr, "qbus-proxy: %s\n", dlq->error);
	return status < 0 ? status : 0;
}

static int letters_close(struct dlq *dlq)
{
	int n_stay = dlq->yard->close(dlq->opened, dlq->error);
	if (n_stay < 0)
		fprintf(stderr, "qbus-proxy: %s\n", dlq->error);
	if (n_stay > 0)
		fprintf(stderr,
			"qbus-proxy: %d of these stay in the topic: Kafka removes from the front only, and older ones stay%s\n",
			n_stay, dlq->verb == DLQ_RETRY ? "; do not publish them once more" : "");
	return n_stay;
}

static void dlq_warn(const struct dlq *dlq)
{
	if (dlq->pipeline->broker->plugin->traits & QB_SETTLE_EACH && dlq->deliveries >= DLQ_DELIVERIES_LOW)
		fprintf(stderr,
			"qbus-proxy: the broker has counted %" PRIu32 " deliveries of a letter, each look is one: "
			"past its delivery limit a quorum queue drops it\n",
			dlq->deliveries);
}

static int dlq_run(struct dlq *dlq)
{
	static const char *const words[] = {
		[DLQ_SHOW] = "shown", [DLQ_RETRY] = "published again", [DLQ_REMOVE] = "removed"};
	int walked = letters_walk(dlq), n_stay = letters_close(dlq), n_missing = 0;
	dlq_warn(dlq);
	for (int i = 0; i < dlq->n_ids; i++) {
		if (!dlq->ids[i])
			continue;
		fprintf(stderr, "qbus-proxy: there is no letter %s\n", dlq->ids[i]);
		n_missing++;
	}
	bool is_done = dlq->verb == DLQ_REMOVE ? n_stay == 0 : n_stay >= 0;
	int64_t n_kept = dlq->verb != DLQ_REMOVE ? 0 : n_stay < 0 ? dlq->n_done : n_stay;
	if (!dlq->options->json)
		printf("%" PRId64 " %s\n", dlq->n_done - n_kept, words[dlq->verb]);
	return walked < 0 || !is_done || n_missing ? EXIT_ERROR : EXIT_CLEAN;
}

/* ---- the command line ---- */

static const struct conf_pipeline *dlq_find_pipeline(const struct conf *conf, const char *name, bool is_first)
{
	for (size_t i = 0; i < conf->n_pipelines; i++)
		if (strcmp(conf->pipelines[i].conf.name, name) == 0)
			return &conf->pipelines[i];
	fprintf(stderr, "qbus-proxy: there is no pipeline %s in %s%s\n", name, conf->file,
		is_first ? "; what dlq can do is show, retry and remove" : "");
	return NULL;
}

static int dlq_open(struct dlq *dlq)
{
	const struct conf_pipeline *pipeline = dlq->pipeline;
	const struct qb_plugin *plugin = pipeline->broker->plugin;
	const struct qb_grave_conf conf = {&pipeline->source, pipeline->conf.dead_letter.target, dlq->options->queue};
	dlq->yard = QB_HAS(plugin, graveyard) ? plugin->graveyard : NULL;
	if (!dlq->yard) {
		fprintf(stderr, "qbus-proxy: brokers of the type %s keep no dead letters to look at\n", plugin->name);
		return EXIT_ERROR;
	}
	if (dlq->yard->open(&conf, &dlq->opened, dlq->error) == 0)
		return EXIT_CLEAN;
	fprintf(stderr, "qbus-proxy: %s\n", dlq->error);
	return EXIT_ERROR;
}

static int dlq_with_conf(struct dlq *dlq, const char *name)
{
	int status = EXIT_ERROR;
	struct loader *loader = loader_new(NULL);
	struct conf *conf = command_load(dlq->options, loader, &status);
	dlq->pipeline = conf ? dlq_find_pipeline(conf, name, name == dlq->options->words[0]) : NULL;
	if (dlq->pipeline && (status = dlq_open(dlq)) == EXIT_CLEAN) {
		dlq->list = dlq_list_new(stdout, dlq->options->json);
		status = dlq_run(dlq);
		dlq_list_free(dlq->list);
	} else if (conf && !dlq->pipeline) {
		status = EXIT_ERROR;
	}
	conf_free(conf);
	loader_free(loader);
	return status;
}

static int usage(const char *sentence)
{
	fprintf(stderr, "qbus-proxy: %s\n", sentence);
	return EXIT_USAGE;
}

int command_dlq(const struct command_options *options)
{
	static const char *const verbs[] = {[DLQ_SHOW] = "show", [DLQ_RETRY] = "retry", [DLQ_REMOVE] = "remove"};
	struct dlq dlq = {.options = options, .verb = DLQ_SHOW};
	int at = 0;
	for (int verb = DLQ_SHOW; options->n_words && verb <= DLQ_REMOVE; verb++) {
		if (strcmp(options->words[0], verbs[verb]) == 0) {
			dlq.verb = (enum dlq_verb)verb;
			at = 1;
		}
	}
	if (options->n_words <= at)
		return usage("whose dead letters? Name a pipeline");
	dlq.ids = options->words + at + 1;
	dlq.n_ids = options->n_words - at - 1;
	if (dlq.verb != DLQ_SHOW && options->all == (dlq.n_ids > 0))
		return usage("which letters? Name their IDs, as `dlq show` tells them, or say --all");
	if (options->limit && (units_read_integer(options->limit, &dlq.limit) < 0 || dlq.limit < 1))
		return usage("--limit takes a number");
	return dlq_with_conf(&dlq, options->words[at]);
}
