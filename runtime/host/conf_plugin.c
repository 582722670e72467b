/* SPDX-License-Identifier: MIT */
/* A plugin's own options as a table of keys, and the plugin's own judgement. */
#include "host/conf_plugin.h"

#include <string.h>

static bool option_is_of(const struct qb_option *option, enum conf_part part)
{
	return (option->scope == QB_BROKER && part == CONF_BROKER) || (option->scope == QB_SOURCE && part == CONF_SOURCE) ||
	       (option->scope == QB_FETCH && part == CONF_FETCH);
}

struct conf_table conf_plugin_table(struct conf_arena *arena, enum conf_part part, const struct qb_plugin *plugin)
{
	const struct conf_table *own = conf_schema_table(part);
	size_t n_options = plugin ? plugin->n_options : 0;
	struct conf_key *keys = conf_arena_take_array(arena, own->n_keys + n_options + 1, sizeof *keys);
	struct conf_table table = {.keys = keys, .n_keys = own->n_keys};
	if (own->n_keys)
		memcpy(keys, own->keys, own->n_keys * sizeof *keys);
	for (size_t i = 0; i < n_options; i++) {
		const struct qb_option *option = &plugin->options[i];
		if (!option_is_of(option, part))
			continue;
		keys[table.n_keys++] = (struct conf_key){
			.path = option->path,
			.kind = (enum conf_kind)option->kind,
			.offset = i,
			.fallback = option->fallback,
			.min = option->min,
			.max = option->max,
			.alias = option->alias,
			.is_required = option->required,
			.is_option = true,
			.help = option->help,
		};
	}
	return table;
}

struct judging {
	struct conf_report *report;
	const struct conf_section *const *sections;
	size_t n_sections;
	struct conf_at at;
};

static void judging_complain(void *ctx, int option, bool is_error, const char *sentence)
{
	const struct judging *judging = ctx;
	struct conf_at at = judging->at;
	for (size_t i = 0; option >= 0 && i < judging->n_sections; i++) {
		const struct conf_node *node = conf_section_find_option(judging->sections[i], (size_t)option);
		if (node)
			at = node->at;
	}
	if (is_error)
		conf_report_error(judging->report, at, "%s", sentence);
	else
		conf_report_warn(judging->report, at, "%s", sentence);
}

void conf_plugin_check(struct conf_report *report, const struct qb_plugin *plugin, const struct qb_source_conf *source,
	const struct conf_section *const *sections, size_t n_sections, struct conf_at at)
{
	struct judging judging = {report, sections, n_sections, at};
	if (plugin->check)
		plugin->check(source, judging_complain, &judging);
}

int64_t conf_plugin_number(const struct conf_pipeline *pipeline, enum qb_scope scope, const char *path)
{
	const struct qb_plugin *plugin = pipeline->broker ? pipeline->broker->plugin : NULL;
	for (size_t i = 0; plugin && i < plugin->n_options; i++)
		if (plugin->options[i].scope == scope && strcmp(plugin->options[i].path, path) == 0)
			return pipeline->source.values[i].number;
	return -1;
}
