/* SPDX-License-Identifier: MIT */
/* Pipelines that get in each other's way, or in their own. */
#ifndef QBUS_HOST_CONF_OVERLAP_H
#define QBUS_HOST_CONF_OVERLAP_H

#include "host/conf_check.h"

/* Complains of what two pipelines share that they had better not, and of dead letters that would come back. Needs the
 * structs filled and names resolved. */
void conf_overlap_check(struct conf_draft *draft);

#endif
