/* SPDX-License-Identifier: MIT */
/* Fills snapshots. */
#ifndef QBUS_HOST_GLANCE_TAKE_H
#define QBUS_HOST_GLANCE_TAKE_H

#include "admin/snapshot.h"
#include "host/runtime_inside.h"

/* What never changes. */
struct glance_origin {
	struct runtime *runtime;
	int64_t opened_us, opened_unix_ms;
	struct snapshot_library *libraries;
	size_t n_libraries;
};

/* ret_snapshot is good until the loop goes on; deliveries are left out unless they are wanted. only: the one pipeline
 * that is wanted, NULL: all. False: there is none of that name, and no snapshot. */
bool glance_take(const struct glance_origin *origin, const char *only, bool wants_deliveries, int64_t now_us,
	struct snapshot *ret_snapshot);
void glance_drop(struct snapshot *snapshot);

/* glance_process.c: what the kernel knows. */
void glance_process(struct snapshot_process *ret_process); /* all but start_seconds */

#endif
