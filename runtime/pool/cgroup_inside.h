/* SPDX-License-Identifier: MIT */
/* What all cgroups of this proxy share. Only cgroup.c (one worker's) and cgroups.c (all of them) include this. */
#ifndef QBUS_POOL_CGROUP_INSIDE_H
#define QBUS_POOL_CGROUP_INSIDE_H

#include "base/list.h"
#include "pool/cgroup.h"

#include <limits.h>

enum cgroup_controller { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_N_CONTROLLERS };

struct cgroups {
	char own[PATH_MAX], workers[PATH_MAX], proxy[PATH_MAX]; /* proxy: "" as long as we are in our own */
	bool has[CGROUP_N_CONTROLLERS];                         /* handed down to the workers' */
	uint64_t n_made;
	struct list dying;
};

/* One line into, or all of, one of the kernel's files. 0 or -errno; false: it cannot be read. */
int cgroup_write(const char *folder, const char *file, const char *text);
bool cgroup_read(const char *folder, const char *file, char *text, size_t size);
/* Those that cgroups_tidy would try again. */
void cgroup_forget_dying(struct cgroups *all);

#endif
