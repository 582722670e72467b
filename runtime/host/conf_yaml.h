/* SPDX-License-Identifier: MIT */
/* YAML text into a tree of nodes, each with its place in the file, variables of the environment filled in.
 *
 * Less than YAML on purpose: one document, no anchors, no tags, bounded depth and size. A key that stands twice in one
 * mapping is an error here, so whoever reads the tree finds each name once. Nodes live in the report's arena. */
#ifndef QBUS_HOST_CONF_YAML_H
#define QBUS_HOST_CONF_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "host/conf_report.h"

#define CONF_YAML_MAX_BYTES (1024 * 1024)
#define CONF_YAML_MAX_DEPTH 16
#define CONF_YAML_MAX_NODES 10000

enum conf_node_kind {
	NODE_BROKEN, /* was complained about: to be passed over in silence */
	NODE_NULL,   /* nothing, ~ or null */
	NODE_SCALAR,
	NODE_LIST,
	NODE_MAP,
};

struct conf_node {
	enum conf_node_kind kind;
	struct conf_at at;
	const char *name; /* of a mapping's child, else NULL */
	struct conf_at name_at;
	const char *text; /* scalar, variables filled in; NULL otherwise */
	const char *raw;  /* scalar as it stands in the file */
	bool is_plain;    /* scalar without quotes */
	bool is_fallback; /* does not stand in the file */
	struct conf_node *children, *next;
	size_t n_children;
};

/* NULL when the text is not YAML or has no mapping at its root; the report says why. */
struct conf_node *conf_yaml_read(struct conf_report *report, const char *text, size_t len);
/* A default as it would stand in the file; at is what complaints about it would name. */
struct conf_node *conf_yaml_fallback(struct conf_report *report, const char *text, struct conf_at at);
/* The child of a mapping that has this name, or NULL. */
struct conf_node *conf_yaml_find(const struct conf_node *map, const char *name);
/* "a list", "a mapping", ... for complaints. */
const char *conf_yaml_kind_name(enum conf_node_kind kind);

#endif
