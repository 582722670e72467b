/* SPDX-License-Identifier: MIT */
/* One value: from a node of the file into what its key's kind says, with the kind's own complaints. */
#ifndef QBUS_HOST_CONF_VALUE_H
#define QBUS_HOST_CONF_VALUE_H

#include "host/conf_schema.h"
#include "host/conf_yaml.h"

struct conf_value {
	struct qb_value plain; /* what a plugin gets; number also for MODE, WORD and what is off */
	double ratio;          /* of CONF_RATIO */
};

/* false after a complaint, *ret_value being untouched then. The node is not NODE_BROKEN, the key not a CONF_PART. */
bool conf_value_read(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value);
/* The same for a secret, the node naming the file that holds it. One newline at its end does not belong to it. */
bool conf_value_read_secret_file(
	struct conf_report *report, const struct conf_node *node, struct conf_value *ret_value);

/* Puts the value into the key's field of target, and gets it back. */
void conf_value_store(const struct conf_key *key, const struct conf_value *value, void *target);
void conf_value_fetch(const struct conf_key *key, const void *target, struct conf_value *ret_value);

#endif
