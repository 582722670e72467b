/* SPDX-License-Identifier: MIT */
/* One mapping of the file, read by one table. */
#include "host/conf_section.h"

#include <string.h>

#include "host/conf_value.h"

/* Whether path is the key's name of the file that holds the secret. */
static bool key_is_file_twin(const struct conf_key *key, const char *path)
{
	size_t len = strlen(key->path);
	return key->kind == CONF_SECRET && strncmp(path, key->path, len) == 0 && strcmp(path + len, "_file") == 0;
}

static bool key_is(const struct conf_key *key, const char *path)
{
	return strcmp(key->path, path) == 0 || (key->alias && strcmp(key->alias, path) == 0) || key_is_file_twin(key, path);
}

static size_t table_find(const struct conf_table *table, const char *path)
{
	size_t i = 0;
	while (i < table->n_keys && !key_is(&table->keys[i], path))
		i++;
	return i;
}

/* Whether path is a mapping that holds keys. */
static bool table_has_below(const struct conf_table *table, const char *path)
{
	size_t len = strlen(path);
	for (size_t i = 0; i < table->n_keys; i++)
		if (strncmp(table->keys[i].path, path, len) == 0 && table->keys[i].path[len] == '.')
			return true;
	return false;
}

static void value_keep(struct conf_section *section, const struct conf_key *key, const struct conf_value *value)
{
	if (key->is_option)
		section->options[key->offset] = value->plain;
	else
		conf_value_store(key, value, section->target);
}

static void key_fall_back(
	struct conf_report *report, struct conf_section *section, const struct conf_key *key, struct conf_at at)
{
	struct conf_value value;
	if (key->fallback && conf_value_read(report, key, conf_yaml_fallback(report, key->fallback, at), &value))
		value_keep(section, key, &value);
}

static bool value_is_empty(const struct conf_key *key, const struct conf_value *value)
{
	bool is_text = key->kind == CONF_STRING || key->kind == CONF_SECRET || key->kind == CONF_FILE;
	return is_text ? !*value->plain.text : key->kind == CONF_LIST && !value->plain.n_items;
}

static void key_take(struct conf_report *report, struct conf_section *section, size_t index, const char *path,
	const struct conf_node *node)
{
	const struct conf_key *key = &section->table.keys[index];
	struct conf_value value;
	bool is_good = false;
	if (section->nodes[index]) {
		conf_report_error(report, node->name_at, "\"%s\" and \"%s\" are two names of one key; write one of them",
			section->nodes[index]->name, node->name);
		return;
	}
	section->nodes[index] = node;
	if (key->kind == CONF_PART)
		return;
	if (node->kind != NODE_BROKEN)
		is_good = key_is_file_twin(key, path) ? conf_value_read_secret_file(report, node, &value)
		                                      : conf_value_read(report, key, node, &value);
	if (is_good && key->is_required && value_is_empty(key, &value)) {
		conf_report_error(report, node->at, "\"%s\" must not be empty", key->path);
		is_good = false;
	}
	if (is_good)
		value_keep(section, key, &value);
	else
		key_fall_back(report, section, key, node->at);
	section->has_errors = section->has_errors || !is_good;
}

/* What could have stood in the mapping whose path begins with prefix, of a path that may lie deeper. */
static const char *name_below(struct conf_arena *arena, const char *path, const char *prefix)
{
	size_t len = strlen(prefix);
	if (!path || strncmp(path, prefix, len) != 0)
		return NULL;
	return conf_arena_copy(arena, path + len, strcspn(path + len, "."));
}

static void complain_unknown(
	struct conf_report *report, const struct conf_section *section, const char *prefix, const struct conf_node *node)
{
	struct conf_guess guess = {.word = node->name};
	if (report->n_complaints == CONF_REPORT_MAX) { /* it is only counted; guessing costs */
		conf_report_error(report, node->name_at, "unknown key");
		return;
	}
	for (size_t i = 0; i < section->table.n_keys; i++) {
		const struct conf_key *key = &section->table.keys[i];
		const char *name = name_below(report->arena, key->path, prefix);
		const char *alias = name_below(report->arena, key->alias, prefix);
		if (name)
			conf_guess_offer(&guess, name);
		if (name && key->kind == CONF_SECRET)
			conf_guess_offer(&guess, conf_arena_print(report->arena, "%s_file", name));
		if (alias)
			conf_guess_offer(&guess, alias);
	}
	conf_report_error(
		report, node->name_at, "unknown key \"%.60s\"%s", node->name, conf_guess_hint(&guess, report->arena));
}

static void map_read(
	struct conf_report *report, struct conf_section *section, const char *prefix, const struct conf_node *map)
{
	for (const struct conf_node *child = map->children; child; child = child->next) {
		const char *path = conf_arena_print(report->arena, "%s%s", prefix, child->name);
		size_t index = strchr(child->name, '.') ? section->table.n_keys : table_find(&section->table, path);
		bool is_map = !strchr(child->name, '.') && table_has_below(&section->table, path);
		if (index < section->table.n_keys)
			key_take(report, section, index, path, child);
		else if (is_map && child->kind == NODE_MAP && !child->n_children)
			conf_report_error(report, child->at, "\"%s\" holds nothing; write its keys or remove it", path);
		else if (is_map && child->kind == NODE_MAP)
			map_read(report, section, conf_arena_print(report->arena, "%s.", path), child);
		else if (is_map && child->kind != NODE_BROKEN)
			conf_report_error(
				report, child->at, "\"%s\" must be a mapping, but this is %s", path, conf_yaml_kind_name(child->kind));
		else if (is_map)
			section->has_errors = true;
		else if (!section->is_open)
			complain_unknown(report, section, prefix, child);
	}
}

void conf_section_read(struct conf_report *report, struct conf_section *section, const struct conf_node *node)
{
	size_t n_errors = report->n_errors;
	section->nodes = conf_arena_take_array(report->arena, section->table.n_keys + 1, sizeof *section->nodes);
	if (node && node->kind == NODE_MAP)
		map_read(report, section, "", node);
	else if (node && node->kind == NODE_BROKEN)
		section->has_errors = true;
	else if (node)
		conf_report_error(report, node->at, "\"%.60s\" must be a mapping, but this is %s", node->name,
			conf_yaml_kind_name(node->kind));
	for (size_t i = 0; i < section->table.n_keys; i++) {
		const struct conf_key *key = &section->table.keys[i];
		if (section->nodes[i])
			continue;
		if (key->is_required && (!node || node->kind == NODE_MAP))
			conf_report_error(report, section->at, "missing required key \"%s\"", key->path);
		key_fall_back(report, section, key, section->at);
	}
	section->has_errors = section->has_errors || report->n_errors > n_errors;
}

const struct conf_node *conf_section_find(const struct conf_section *section, const char *path)
{
	size_t i = table_find(&section->table, path);
	return i < section->table.n_keys && section->nodes ? section->nodes[i] : NULL;
}

struct conf_at conf_section_at(const struct conf_section *section, const char *path)
{
	const struct conf_node *node = conf_section_find(section, path);
	return node ? node->at : section->at;
}

const struct conf_node *conf_section_find_option(const struct conf_section *section, size_t option)
{
	for (size_t i = 0; section->nodes && i < section->table.n_keys; i++)
		if (section->table.keys[i].is_option && section->table.keys[i].offset == option)
			return section->nodes[i];
	return NULL;
}
