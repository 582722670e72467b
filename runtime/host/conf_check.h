/* SPDX-License-Identifier: MIT */
/* What is wrong between keys: names that lead nowhere, limits that contradict each other. */
#ifndef QBUS_HOST_CONF_CHECK_H
#define QBUS_HOST_CONF_CHECK_H

#include "host/conf_section.h"

/* A configuration while it is read: its structs, and where in the file each of them was found. The arrays of sections
 * stand parallel to those of conf. */
struct conf_draft {
	struct conf *conf;
	struct conf_report report;
	struct conf_section root;
	struct conf_section *brokers, *pipelines, *sources, *fetches, *pools;
};

/* Every check that needs more than one key of the runtime's own. Needs the structs filled and names resolved. */
void conf_check(struct conf_draft *draft);

#endif
