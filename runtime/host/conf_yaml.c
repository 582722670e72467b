/* SPDX-License-Identifier: MIT */
/* YAML text into a tree of nodes. Built from libyaml's events, not from its documents: only the events still show where
 * an anchor stands, and a text that is too deep is given up before it is held. */
#include "host/conf_yaml.h"

#include <assert.h>
#include <string.h>
#include <yaml.h>

#include "host/conf_env.h"

struct reading {
	struct conf_report *report;
	yaml_parser_t parser;
	yaml_event_t event; /* the one that is looked at */
	size_t n_nodes;
	bool is_dead; /* nothing more can be read */
};

static struct conf_node *read_node(struct reading *reading, int depth);

const char *conf_yaml_kind_name(enum conf_node_kind kind)
{
	static const char *const names[] = {
		[NODE_BROKEN] = "something broken",
		[NODE_NULL] = "no value",
		[NODE_SCALAR] = "a single value",
		[NODE_LIST] = "a list",
		[NODE_MAP] = "a mapping",
	};
	return names[kind];
}

struct conf_node *conf_yaml_find(const struct conf_node *map, const char *name)
{
	for (struct conf_node *child = map ? map->children : NULL; child; child = child->next)
		if (child->name && strcmp(child->name, name) == 0)
			return child;
	return NULL;
}

static struct conf_at mark_at(const yaml_mark_t *mark)
{
	return (struct conf_at){.line = (int)mark->line + 1, .column = (int)mark->column + 1};
}

static void reading_die(struct reading *reading, struct conf_at at, const char *sentence)
{
	if (!reading->is_dead)
		conf_report_error(reading->report, at, "%s", sentence);
	reading->is_dead = true;
}

/* Where libyaml puts its finger: at the problem, or where it began to read what is wrong. */
static void reading_explain(struct reading *reading)
{
	const yaml_parser_t *parser = &reading->parser;
	struct conf_at at = mark_at(&parser->problem_mark);
	const char *problem = parser->problem ? parser->problem : "it cannot be read";
	if (parser->error == YAML_READER_ERROR)
		at = mark_at(&parser->mark);
	conf_report_error(reading->report, at, "not valid YAML: %s%s%s", problem, parser->context ? " " : "",
		parser->context ? parser->context : "");
	reading->is_dead = true;
}

static bool reading_next(struct reading *reading)
{
	yaml_event_delete(&reading->event);
	memset(&reading->event, 0, sizeof reading->event);
	if (reading->is_dead)
		return false;
	if (!yaml_parser_parse(&reading->parser, &reading->event))
		reading_explain(reading);
	return !reading->is_dead;
}

static struct conf_node *node_new(struct reading *reading, enum conf_node_kind kind)
{
	struct conf_node *node = conf_arena_take(reading->report->arena, sizeof *node);
	node->kind = kind;
	node->at = mark_at(&reading->event.start_mark);
	if (++reading->n_nodes > CONF_YAML_MAX_NODES)
		reading_die(reading, node->at, "too many values for a configuration");
	return node;
}

static void refuse_decoration(
	struct reading *reading, const struct conf_node *node, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		conf_report_error(reading->report, node->at, "anchors (&%.40s) are not used here; write the value out", anchor);
	if (tag)
		conf_report_error(reading->report, node->at, "tags (%.40s) are not used here; the key decides the type", tag);
}

static bool text_is_null(const char *text)
{
	return !*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

static struct conf_node *read_scalar(struct reading *reading, int depth)
{
	(void)depth;
	struct conf_node *node = node_new(reading, NODE_SCALAR);
	const char *text = (const char *)reading->event.data.scalar.value;
	size_t len = reading->event.data.scalar.length;
	refuse_decoration(reading, node, reading->event.data.scalar.anchor, reading->event.data.scalar.tag);
	node->is_plain = reading->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->text = conf_arena_copy(reading->report->arena, text, len);
	if (strlen(node->text) != len) {
		conf_report_error(reading->report, node->at, "the value holds a zero byte");
		node->kind = NODE_BROKEN;
	} else if (node->is_plain && text_is_null(node->text)) {
		node->kind = NODE_NULL;
	}
	return node;
}

static void child_add(struct conf_node *parent, struct conf_node **tail, struct conf_node *child)
{
	if (*tail)
		(*tail)->next = child;
	else
		parent->children = child;
	*tail = child;
	parent->n_children++;
}

static struct conf_node *read_list(struct reading *reading, int depth)
{
	struct conf_node *node = node_new(reading, NODE_LIST), *tail = NULL;
	refuse_decoration(reading, node, reading->event.data.sequence_start.anchor, reading->event.data.sequence_start.tag);
	while (reading_next(reading) && reading->event.type != YAML_SEQUENCE_END_EVENT) {
		struct conf_node *child = read_node(reading, depth + 1);
		child_add(node, &tail, child);
	}
	return node;
}

/* A mapping's key is a scalar that variables do not touch. NULL: it is not; what stands there was passed over. */
static struct conf_node *read_key(struct reading *reading, int depth)
{
	struct conf_node *key = read_node(reading, depth);
	if (reading->is_dead || key->kind == NODE_BROKEN)
		return NULL;
	if (key->kind == NODE_SCALAR)
		return key;
	conf_report_error(reading->report, key->at, "expected the name of a key, found %s", conf_yaml_kind_name(key->kind));
	return NULL;
}

static struct conf_node *read_map(struct reading *reading, int depth)
{
	struct conf_node *node = node_new(reading, NODE_MAP), *tail = NULL;
	refuse_decoration(reading, node, reading->event.data.mapping_start.anchor, reading->event.data.mapping_start.tag);
	while (reading_next(reading) && reading->event.type != YAML_MAPPING_END_EVENT) {
		struct conf_node *key = read_key(reading, depth + 1);
		if (!reading_next(reading))
			break;
		struct conf_node *child = read_node(reading, depth + 1);
		if (!key)
			continue;
		child->name = key->text;
		child->name_at = key->at;
		const struct conf_node *first = conf_yaml_find(node, child->name);
		if (first)
			conf_report_error(reading->report, child->name_at, "duplicate key \"%.60s\" (it stands on line %d already)",
				child->name, first->name_at.line);
		else
			child_add(node, &tail, child);
	}
	return node;
}

static struct conf_node *read_alias(struct reading *reading, int depth)
{
	(void)depth;
	struct conf_node *node = node_new(reading, NODE_BROKEN);
	conf_report_error(reading->report, node->at, "aliases (*%.40s) are not used here; write the value out",
		reading->event.data.alias.anchor);
	return node;
}

/* The node that begins with the present event; at the return its last event is the present one. Never NULL. */
static struct conf_node *read_node(struct reading *reading, int depth)
{
	static struct conf_node *(*const readers[])(struct reading *, int) = {
		[YAML_ALIAS_EVENT] = read_alias,
		[YAML_SCALAR_EVENT] = read_scalar,
		[YAML_SEQUENCE_START_EVENT] = read_list,
		[YAML_MAPPING_START_EVENT] = read_map,
	};
	yaml_event_type_t type = reading->event.type;
	if (depth > CONF_YAML_MAX_DEPTH)
		reading_die(reading, mark_at(&reading->event.start_mark), "nested too deeply for a configuration");
	if (reading->is_dead || type >= sizeof readers / sizeof *readers || !readers[type])
		return node_new(reading, NODE_BROKEN);
	return readers[type](reading, depth);
}

/* Only values, and only after the whole text was read: a syntax error is not to be hidden by a missing variable. */
static void expand_tree(struct conf_report *report, struct conf_node *node)
{
	if (node->kind == NODE_SCALAR) {
		node->raw = node->text;
		node->text = conf_env_expand(report, node->at, node->raw);
		node->kind = node->text ? NODE_SCALAR : NODE_BROKEN;
	}
	for (struct conf_node *child = node->children; child; child = child->next)
		expand_tree(report, child);
}

static struct conf_node *read_stream(struct reading *reading)
{
	struct conf_node *root = NULL;
	while (reading_next(reading) && reading->event.type != YAML_STREAM_END_EVENT) {
		if (reading->event.type == YAML_DOCUMENT_START_EVENT && root)
			reading_die(
				reading, mark_at(&reading->event.start_mark), "a second document begins here; only one is read");
		else if (reading->event.type != YAML_STREAM_START_EVENT && reading->event.type != YAML_DOCUMENT_START_EVENT &&
				 reading->event.type != YAML_DOCUMENT_END_EVENT)
			root = read_node(reading, 0);
	}
	return reading->is_dead ? NULL : root;
}

static struct conf_node *read_text(struct conf_report *report, const char *text, size_t len)
{
	struct reading reading = {.report = report};
	int is_ready = yaml_parser_initialize(&reading.parser);
	assert(is_ready);
	(void)is_ready;
	yaml_parser_set_encoding(&reading.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reading.parser, (const unsigned char *)text, len);
	struct conf_node *root = read_stream(&reading);
	yaml_event_delete(&reading.event);
	yaml_parser_delete(&reading.parser);
	if (root)
		expand_tree(report, root);
	return root;
}

struct conf_node *conf_yaml_read(struct conf_report *report, const char *text, size_t len)
{
	struct conf_at start = {1, 1};
	size_t n_errors = report->n_errors;
	if (len > CONF_YAML_MAX_BYTES) {
		conf_report_error(report, start, "the file has %zu bytes; at most 1MiB is read", len);
		return NULL;
	}
	struct conf_node *root = read_text(report, text, len);
	if (root && root->kind == NODE_MAP)
		return root;
	if (root && root->kind != NODE_BROKEN && root->kind != NODE_NULL)
		conf_report_error(report, root->at, "expected a mapping, found %s", conf_yaml_kind_name(root->kind));
	else if (report->n_errors == n_errors)
		conf_report_error(report, start, "the file is empty");
	return NULL;
}

static void mark_fallback(struct conf_node *node, struct conf_at at)
{
	node->is_fallback = true;
	node->at = at;
	for (struct conf_node *child = node->children; child; child = child->next)
		mark_fallback(child, at);
}

struct conf_node *conf_yaml_fallback(struct conf_report *report, const char *text, struct conf_at at)
{
	struct conf_node *node = NULL;
	if (*text == '[' || *text == '{')
		node = read_text(report, text, strlen(text));
	if (!node) {
		node = conf_arena_take(report->arena, sizeof *node);
		node->kind = NODE_SCALAR;
		node->text = text;
		node->is_plain = true;
	}
	mark_fallback(node, at);
	return node;
}
