/* SPDX-License-Identifier: MIT */
/* One mapping of the file, read by one table: every key checked, every field filled, what is not given with its
 * default. */
#ifndef QBUS_HOST_CONF_SECTION_H
#define QBUS_HOST_CONF_SECTION_H

#include "host/conf_schema.h"
#include "host/conf_yaml.h"

struct conf_section {
	struct conf_table table;
	void *target;             /* the struct that the runtime's own keys fill; may be NULL when there are none */
	struct qb_value *options; /* what the keys that are a plugin's options fill, by their index */
	bool is_open;             /* keys without a row pass: their plugin is not known */
	struct conf_at at;        /* where a missing key is complained about */
	/* Set by reading: */
	const struct conf_node **nodes; /* what stands in the file for each key of the table, or NULL */
	bool has_errors;                /* of its own or found while the text was read: its values cannot be judged */
};

/* node NULL: the section is not in the file. A value that is wrong is complained about and replaced by its default, so
 * that later checks find something sane. */
void conf_section_read(struct conf_report *report, struct conf_section *section, const struct conf_node *node);
/* What the file says for this path; NULL: nothing. */
const struct conf_node *conf_section_find(const struct conf_section *section, const char *path);
/* Where the path's value stands; where the section does when it is not given. */
struct conf_at conf_section_at(const struct conf_section *section, const char *path);
/* The same for a plugin's option. NULL: this section has no such option, or the file does not give it. */
const struct conf_node *conf_section_find_option(const struct conf_section *section, size_t option);

#endif
