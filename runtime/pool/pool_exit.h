/* SPDX-License-Identifier: MIT */
/* Why the process of a worker ended. */
#ifndef QBUS_POOL_POOL_EXIT_H
#define QBUS_POOL_POOL_EXIT_H

#include <stdbool.h>

enum pool_exit {
	POOL_EXIT_NONE,
	POOL_EXIT_EXIT,   /* by itself */
	POOL_EXIT_SIGNAL, /* by a signal that was not ours */
	POOL_EXIT_START,  /* it was not ready in time */
	/* Renewed in peace, between messages: */
	POOL_EXIT_TTL,
	POOL_EXIT_JOBS,
	POOL_EXIT_IDLE,
	POOL_EXIT_MEMORY,
	POOL_EXIT_BREAKS,
	POOL_EXIT_RESET,
	/* Ended: */
	POOL_EXIT_MEMORY_HARD,
	POOL_EXIT_OOM, /* by SIGKILL, and the kernel has killed in its cgroup for memory: it, or a child before */
	POOL_EXIT_DEADLINE,
	POOL_EXIT_PROTOCOL,
	POOL_EXIT_STOP,
	N_POOL_EXITS,
};

const char *pool_exit_name(enum pool_exit why); /* as in metrics; NULL: POOL_EXIT_NONE, or there is no such */
bool pool_exit_is_renewal(enum pool_exit why);  /* in peace, by our own wish */

#endif
