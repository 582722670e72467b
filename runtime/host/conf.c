/* SPDX-License-Identifier: MIT */
/* The configuration: the walk from the file to the structs. */
#include "host/conf.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "host/conf_check.h"
#include "host/conf_env.h"
#include "host/conf_machine.h"
#include "host/conf_plugin.h"
#include "host/conf_value.h"

#define NAME_MAX_BYTES 64
#define LARGEST_BODY (INT64_C(1) << 30)

static int64_t count_processors(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* Names become metric labels, client ids and words of a command line. */
static void check_name(struct conf_report *report, const struct conf_node *node)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t len = strlen(node->name);
	if (!len || len > NAME_MAX_BYTES || strspn(node->name, allowed) != len)
		conf_report_error(report, node->name_at,
			"the name \"%.70s\" may have at most %d letters, digits, '.', '_' and '-', and no others", node->name,
			NAME_MAX_BYTES);
}

/* The mapping of named things called what: brokers, pipelines or pools. NULL: there is none. */
static const struct conf_node *find_names(struct conf_draft *draft, const char *what, size_t *ret_n)
{
	const struct conf_node *node = conf_section_find(&draft->root, what);
	*ret_n = 0;
	if (!node || node->kind == NODE_BROKEN)
		return NULL;
	if (node->kind != NODE_MAP) {
		conf_report_error(&draft->report, node->at, "\"%s\" must be a mapping of names, but this is %s", what,
			conf_yaml_kind_name(node->kind));
		return NULL;
	}
	if (!node->n_children)
		conf_report_error(&draft->report, node->at, "\"%s\" holds nothing", what);
	for (const struct conf_node *child = node->children; child; child = child->next)
		check_name(&draft->report, child);
	*ret_n = node->n_children;
	return node;
}

/* ---- brokers ---- */

/* The plugin must be known before the section can be read, for its options are the section's keys. */
static const struct qb_plugin *find_plugin(
	struct conf_draft *draft, const struct conf_node *node, conf_lookup *lookup, void *ctx)
{
	const struct conf_node *type = conf_yaml_find(node, "type");
	const char *reason = "there is no such plugin";
	if (!type || type->kind != NODE_SCALAR)
		return NULL;
	const struct qb_plugin *plugin = lookup(ctx, type->text, &reason);
	if (!plugin)
		conf_report_error(&draft->report, type->at, "%s", reason);
	return plugin;
}

static void read_broker(
	struct conf_draft *draft, size_t index, const struct conf_node *node, conf_lookup *lookup, void *ctx)
{
	struct conf_arena *arena = draft->conf->arena;
	struct conf_broker *broker = &draft->conf->brokers[index];
	struct conf_section *section = &draft->brokers[index];
	broker->name = node->name;
	broker->plugin = find_plugin(draft, node, lookup, ctx);
	*section = (struct conf_section){
		.table = conf_plugin_table(arena, CONF_BROKER, broker->plugin),
		.target = broker,
		.is_open = !broker->plugin,
		.at = node->name_at,
	};
	section->options =
		conf_arena_take_array(arena, broker->plugin ? broker->plugin->n_options + 1 : 1, sizeof *section->options);
	broker->values = section->options;
	conf_section_read(&draft->report, section, node);
}

static void hide_variable(void *ctx, const char *name)
{
	struct conf *conf = ctx;
	const char **hidden = conf_arena_take_array(conf->arena, conf->n_hidden + 2, sizeof *hidden);
	if (conf->n_hidden)
		memcpy(hidden, conf->hidden, conf->n_hidden * sizeof *hidden);
	hidden[conf->n_hidden++] = name;
	conf->hidden = hidden;
}

static void hide_variables(struct conf *conf, const struct conf_node *node)
{
	if (node->raw)
		conf_env_each(conf->arena, node->raw, hide_variable, conf);
	for (const struct conf_node *child = node->children; child; child = child->next)
		hide_variables(conf, child);
}

static void read_brokers(struct conf_draft *draft, conf_lookup *lookup, void *ctx)
{
	struct conf *conf = draft->conf;
	const struct conf_node *names = find_names(draft, "brokers", &conf->n_brokers);
	conf->brokers = conf_arena_take_array(conf->arena, conf->n_brokers, sizeof *conf->brokers);
	if (names)
		hide_variables(conf, names);
	draft->brokers = conf_arena_take_array(conf->arena, conf->n_brokers, sizeof *draft->brokers);
	const struct conf_node *node = names ? names->children : NULL;
	for (size_t i = 0; node; i++, node = node->next)
		read_broker(draft, i, node, lookup, ctx);
}

/* ---- pipelines ---- */

/* The index of the broker that this source names; n_brokers after a complaint. */
static size_t find_broker(struct conf_draft *draft, const struct conf_node *source)
{
	const struct conf *conf = draft->conf;
	const struct conf_node *name = conf_yaml_find(source, "broker");
	if (!name || name->kind != NODE_SCALAR)
		return conf->n_brokers;
	struct conf_guess guess = {.word = name->text};
	for (size_t i = 0; i < conf->n_brokers; i++) {
		if (strcmp(conf->brokers[i].name, name->text) == 0)
			return i;
		conf_guess_offer(&guess, conf->brokers[i].name);
	}
	conf_report_error(&draft->report, name->at, "there is no \"%.60s\" under brokers%s", name->text,
		conf_guess_hint(&guess, conf->arena));
	return conf->n_brokers;
}

static void read_part(struct conf_draft *draft, struct conf_section *section, enum conf_part part,
	const struct conf_pipeline *pipeline, struct qb_value *options, const struct conf_node *node, struct conf_at at)
{
	const struct qb_plugin *plugin = pipeline->broker ? pipeline->broker->plugin : NULL;
	*section = (struct conf_section){
		.table = conf_plugin_table(draft->conf->arena, part, plugin),
		.target = (void *)pipeline,
		.options = options,
		.is_open = !plugin,
		.at = node ? node->name_at : at,
	};
	conf_section_read(&draft->report, section, node);
}

/* What the plugin needs to open: the broker's values, and over them those of source and fetch. */
static void read_source(struct conf_draft *draft, size_t index, const struct conf_node *node)
{
	struct conf *conf = draft->conf;
	struct conf_pipeline *pipeline = &conf->pipelines[index];
	const struct conf_node *source = conf_section_find(&draft->pipelines[index], "source");
	if (!source)
		return;
	size_t broker = find_broker(draft, source);
	pipeline->broker = broker < conf->n_brokers ? &conf->brokers[broker] : NULL;
	const struct qb_plugin *plugin = pipeline->broker ? pipeline->broker->plugin : NULL;
	size_t n_options = plugin ? plugin->n_options : 0;
	struct qb_value *values = conf_arena_take_array(conf->arena, n_options + 1, sizeof *values);
	if (n_options)
		memcpy(values, draft->brokers[broker].options, n_options * sizeof *values);
	read_part(draft, &draft->sources[index], CONF_SOURCE, pipeline, values, source, node->name_at);
	read_part(draft, &draft->fetches[index], CONF_FETCH, pipeline, values,
		conf_section_find(&draft->pipelines[index], "fetch"), node->name_at);
	pipeline->source.values = values;
}

/* The largest body that is taken from the broker. One that is streamed, or copied to a dead-letter target, has to be
 * here whole and may fill the whole buffer. */
static int64_t largest_body(const struct pipeline_conf *conf)
{
	int64_t most = conf->max_outstanding_bytes < LARGEST_BODY ? conf->max_outstanding_bytes : LARGEST_BODY;
	bool is_kept =
		conf->oversize == OVERSIZE_STREAM || (conf->oversize == OVERSIZE_DEAD_LETTER && conf->dead_letter.target);
	return is_kept && most > conf->max_message_bytes ? most : conf->max_message_bytes;
}

static void finish_pipeline(struct conf_draft *draft, size_t index, const struct conf_node *node)
{
	struct conf_pipeline *pipeline = &draft->conf->pipelines[index];
	struct pipeline_dead_letter *dead_letter = &pipeline->conf.dead_letter;
	pipeline->conf.name = node->name;
	dead_letter->target = pipeline->dead_letter_topic ? pipeline->dead_letter_topic : pipeline->dead_letter_exchange;
	if (!conf_section_find(&draft->pipelines[index], "max_attempts") && !dead_letter->target && !dead_letter->reject)
		pipeline->conf.max_attempts = 0; /* nowhere to put what is given up: it is not given up */
	if (!conf_section_find(&draft->pipelines[index], "oversize"))
		pipeline->conf.oversize = dead_letter->target || dead_letter->reject ? OVERSIZE_DEAD_LETTER : OVERSIZE_REJECT;
	pipeline->source.pipeline = node->name;
	pipeline->source.broker = pipeline->conf.broker;
	pipeline->source.max_message_bytes = largest_body(&pipeline->conf);
	pipeline->source.max_outstanding_messages = pipeline->conf.max_outstanding_messages;
	pipeline->source.max_outstanding_bytes = pipeline->conf.max_outstanding_bytes;
	pipeline->source.revoke_timeout_us = pipeline->conf.revoke_timeout_us;
	pipeline->source.commit_interval_us = pipeline->conf.commit_interval_us;
}

/* Values that are wrong already are not judged a second time. */
static void judge_pipeline(struct conf_draft *draft, size_t index)
{
	const struct conf_pipeline *pipeline = &draft->conf->pipelines[index];
	if (!pipeline->broker || !pipeline->broker->plugin)
		return;
	const struct conf_section *sections[] = {
		&draft->pipelines[index],
		&draft->brokers[pipeline->broker - draft->conf->brokers],
		&draft->sources[index],
		&draft->fetches[index],
	};
	size_t n_sections = sizeof sections / sizeof *sections;
	for (size_t i = 0; i < n_sections; i++)
		if (sections[i]->has_errors)
			return;
	conf_plugin_check(
		&draft->report, pipeline->broker->plugin, &pipeline->source, sections, n_sections, draft->pipelines[index].at);
}

static void read_pipelines(struct conf_draft *draft)
{
	struct conf *conf = draft->conf;
	const struct conf_node *names = find_names(draft, "pipelines", &conf->n_pipelines);
	conf->pipelines = conf_arena_take_array(conf->arena, conf->n_pipelines, sizeof *conf->pipelines);
	draft->pipelines = conf_arena_take_array(conf->arena, conf->n_pipelines, sizeof *draft->pipelines);
	draft->sources = conf_arena_take_array(conf->arena, conf->n_pipelines, sizeof *draft->sources);
	draft->fetches = conf_arena_take_array(conf->arena, conf->n_pipelines, sizeof *draft->fetches);
	const struct conf_node *node = names ? names->children : NULL;
	for (size_t i = 0; node; i++, node = node->next) {
		draft->pipelines[i] = (struct conf_section){
			.table = *conf_schema_table(CONF_PIPELINE), .target = &conf->pipelines[i], .at = node->name_at};
		conf_section_read(&draft->report, &draft->pipelines[i], node);
		read_source(draft, i, node);
		finish_pipeline(draft, i, node);
		judge_pipeline(draft, i);
	}
}

/* ---- pools and the whole ---- */

static void read_pools(struct conf_draft *draft)
{
	struct conf *conf = draft->conf;
	const struct conf_node *names = find_names(draft, "pools", &conf->n_pools);
	conf->pools = conf_arena_take_array(conf->arena, conf->n_pools, sizeof *conf->pools);
	draft->pools = conf_arena_take_array(conf->arena, conf->n_pools, sizeof *draft->pools);
	const struct conf_node *node = names ? names->children : NULL;
	for (size_t i = 0; node; i++, node = node->next) {
		struct conf_pool *pool = &conf->pools[i];
		draft->pools[i] =
			(struct conf_section){.table = *conf_schema_table(CONF_POOL), .target = pool, .at = node->name_at};
		conf_section_read(&draft->report, &draft->pools[i], node);
		pool->name = node->name;
		if (!pool->num_workers)
			pool->num_workers = count_processors();
	}
}

static struct conf *conf_new(const char *name, struct conf_draft *draft)
{
	struct conf_arena *arena = conf_arena_new();
	struct conf *conf = conf_arena_take(arena, sizeof *conf);
	conf->arena = arena;
	conf->file = conf_arena_copy(arena, name, strlen(name));
	draft->conf = conf;
	draft->report.arena = arena;
	return conf;
}

static void draft_read(struct conf_draft *draft, const char *text, size_t len, conf_lookup *lookup, void *ctx)
{
	struct conf_node *root = conf_yaml_read(&draft->report, text, len);
	if (!root)
		return;
	draft->root = (struct conf_section){.table = *conf_schema_table(CONF_ROOT), .target = draft->conf, .at = {1, 1}};
	conf_section_read(&draft->report, &draft->root, root);
	read_brokers(draft, lookup, ctx);
	read_pipelines(draft);
	read_pools(draft);
	conf_check(draft);
}

static struct conf *conf_read(
	const char *name, const char *text, size_t len, conf_lookup *lookup, void *ctx, bool is_for_here)
{
	struct conf_draft draft = {0};
	struct conf *conf = conf_new(name, &draft);
	draft_read(&draft, text, len, lookup, ctx);
	if (is_for_here)
		conf_machine_check(&draft);
	conf_report_finish(&draft.report, conf);
	return conf;
}

struct conf *conf_parse(const char *name, const char *text, size_t len, conf_lookup *lookup, void *ctx)
{
	return conf_read(name, text, len, lookup, ctx, false);
}

struct conf *conf_load(const char *file, conf_lookup *lookup, void *ctx)
{
	char *text = alloc_new(CONF_YAML_MAX_BYTES + 1); /* one more shows that it is too long */
	FILE *stream = fopen(file, "re");
	size_t len = stream ? fread(text, 1, CONF_YAML_MAX_BYTES + 1, stream) : 0;
	struct conf *conf = NULL;
	if (!stream || ferror(stream)) {
		struct conf_draft draft = {0};
		int error = errno;
		conf = conf_new(file, &draft);
		conf_report_error(&draft.report, (struct conf_at){1, 1}, "cannot be read: %s", strerror(error));
		conf_report_finish(&draft.report, conf);
	} else {
		conf = conf_read(file, text, len, lookup, ctx, true);
	}
	if (stream)
		fclose(stream);
	free(text);
	return conf;
}

void conf_free(struct conf *conf)
{
	if (conf)
		conf_arena_free(conf->arena);
}

void conf_complain(const struct conf *conf, FILE *out)
{
	for (size_t i = 0; i < conf->n_complaints; i++) {
		const struct conf_complaint *complaint = &conf->complaints[i];
		fprintf(out, "%s:%d:%d: %s%s\n", conf->file, complaint->line, complaint->column,
			complaint->is_error ? "" : "warning: ", complaint->sentence);
	}
}
