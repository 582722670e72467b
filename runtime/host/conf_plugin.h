/* SPDX-License-Identifier: MIT */
/* A plugin's own options as a table of keys, and the plugin's own judgement of what was read by it. */
#ifndef QBUS_HOST_CONF_PLUGIN_H
#define QBUS_HOST_CONF_PLUGIN_H

#include "host/conf_section.h"

/* The runtime's keys of that part, then the plugin's options of it (none when plugin is NULL). Lives in the arena. */
struct conf_table conf_plugin_table(struct conf_arena *arena, enum conf_part part, const struct qb_plugin *plugin);

/* Asks the plugin's check and puts each complaint where the option stands; else at the place given. sections may be
 * where an option was read. */
void conf_plugin_check(struct conf_report *report, const struct qb_plugin *plugin, const struct qb_source_conf *source,
	const struct conf_section *const *sections, size_t n_sections, struct conf_at at);

/* The number that a pipeline has for an option of its plugin; -1: the plugin has no such option, or is not
 * known. */
int64_t conf_plugin_number(const struct conf_pipeline *pipeline, enum qb_scope scope, const char *path);

#endif
