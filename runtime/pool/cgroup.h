/* SPDX-License-Identifier: MIT */
/* Control groups (version 2): each worker in one of its own, where the proxy's own is ours to divide.
 *
 * What is in a cgroup cannot leave it by a new session, a double fork or an empty environment, so all of a worker can
 * be ended at once. Where the controllers are there as well, the kernel bounds its memory and the number of its
 * processes. Below the cgroup in which the proxy was started (OWN):
 *
 *     OWN/qbus-workers.MARKER/NAME   one for each worker; MARKER: strays_marker
 *     OWN/qbus-proxy.MARKER          the proxy, when limits need it: a cgroup that hands controllers down holds nobody
 *
 * Main thread. Nothing here waits but cgroups_open, two seconds at most, and cgroups_end and cgroups_close, half a
 * second each. */
#ifndef QBUS_POOL_CGROUP_H
#define QBUS_POOL_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cgroups;

/* 0: no limit. */
struct cgroup_limits {
	uint64_t memory_bytes; /* of all its processes, the files that they read and write included; nothing is swapped */
	uint64_t n_processes;  /* threads count as well */
};

/* One worker's; all zero: there is none. */
struct cgroup {
	struct cgroups *all;
	char name[80];
	int entry; /* whoever writes a 0 into it is inside */
};

/* Finds our own cgroup, ends and removes what dead proxies have left in it, and tries on a child what is to be done
 * with workers. NULL: it cannot be, and *ret_why (static) says why. For the start: before keeper and threads. */
struct cgroups *cgroups_open(const char **ret_why);
/* Kills whatever is in there and removes it; also in a fork of the process that has opened it. */
void cgroups_end(const struct cgroups *all);
/* The same; the proxy goes back to where it was. Takes NULL. */
void cgroups_close(struct cgroups *all);
/* Removes those of ended workers that are empty now. Returns how many are not. Takes NULL. */
size_t cgroups_tidy(struct cgroups *all);
/* Writes "kill memory pids", what there is. Returns text. */
const char *cgroups_describe(const struct cgroups *all, char *text, size_t size);

/* Makes one; name: any, a number is added. 0 or -errno with none. */
int cgroup_open(struct cgroup *cgroup, struct cgroups *all, const char *name, const struct cgroup_limits *limits);
/* In the child, async-signal-safe: enters it. 0 or -1. */
int cgroup_enter(const struct cgroup *cgroup);
void cgroup_kill(const struct cgroup *cgroup); /* all of it, with SIGKILL */
/* Has the kernel ever killed something in it for its memory? Not only the worker itself. */
bool cgroup_is_out_of_memory(const struct cgroup *cgroup);
/* Kills what is left and removes it, now or in cgroups_tidy. All of these take a cgroup that is none. */
void cgroup_close(struct cgroup *cgroup);

/* ---- the parts of cgroups_open ---- */

/* Where we are, from the texts of /proc/self/cgroup and /proc/self/mountinfo. False: in no hierarchy of version 2. */
bool cgroups_find(const char *self, const char *mounts, char *path, size_t size);
/* Why the cgroup at that path is not ours to divide (static). NULL: it is. */
const char *cgroups_obstacle(const char *own);
/* Ends and removes what is there of proxies that were killed together with their keepers, or whose keeper could not
 * remove its own cgroup. Half a second at most. */
void cgroups_remove_left(const char *own);
/* Divides it and hands the controllers down. NULL, with errno. */
struct cgroups *cgroups_new(const char *own, const char *marker);
/* Is what enters a cgroup of ours killed with it? Forks, reaps its child. */
bool cgroups_try(struct cgroups *all);

#endif
