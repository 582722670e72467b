/* SPDX-License-Identifier: MIT */
/* The keeper: a small process that outlives a killed proxy for a moment, to end what that leaves.
 *
 * Workers die with the proxy by themselves; what they have started and let go does not. The keeper waits for the end of
 * the proxy, however it comes, kills what is in the workers' cgroups and what
 * carries its mark (strays_kill_of), and goes. Where both are killed at once the
 * next start does it (strays_kill_left). */
#ifndef QBUS_POOL_KEEPER_H
#define QBUS_POOL_KEEPER_H

#include <sys/types.h>

struct cgroups;

struct keeper {
	pid_t pid; /* 0: there is none */
	int fd;    /* open as long as this process lives */
};

/* Forks: before there are threads. cgroups: ended as well; NULL: there are none. 0 or -errno with no keeper. */
int keeper_start(struct keeper *keeper, const struct cgroups *cgroups);
/* Lets it do its work and waits for its end. One that was never started is left alone. */
void keeper_stop(struct keeper *keeper);

#endif
