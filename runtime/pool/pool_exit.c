/* SPDX-License-Identifier: MIT */
/* The reasons in words. */
#include "pool/pool_exit.h"

#include <stddef.h>

const char *pool_exit_name(enum pool_exit why)
{
	static const char *const names[N_POOL_EXITS] = {
		[POOL_EXIT_EXIT] = "exit",
		[POOL_EXIT_SIGNAL] = "signal",
		[POOL_EXIT_START] = "start",
		[POOL_EXIT_TTL] = "ttl",
		[POOL_EXIT_JOBS] = "jobs",
		[POOL_EXIT_IDLE] = "idle",
		[POOL_EXIT_MEMORY] = "memory",
		[POOL_EXIT_BREAKS] = "breaks",
		[POOL_EXIT_RESET] = "reset",
		[POOL_EXIT_MEMORY_HARD] = "memory_hard",
		[POOL_EXIT_OOM] = "oom",
		[POOL_EXIT_DEADLINE] = "deadline",
		[POOL_EXIT_PROTOCOL] = "protocol",
		[POOL_EXIT_STOP] = "stop",
	};

	return why < N_POOL_EXITS ? names[why] : NULL;
}

bool pool_exit_is_renewal(enum pool_exit why)
{
	return why >= POOL_EXIT_TTL && why <= POOL_EXIT_RESET;
}
