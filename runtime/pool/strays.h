/* SPDX-License-Identifier: MIT */
/* Children that we did not start: what the descendants of a dead worker become when we adopt them. Main thread only.
 *
 * Without strays_adopt there are none. They are found through /proc; where that is shut, they live on. */
#ifndef QBUS_POOL_STRAYS_H
#define QBUS_POOL_STRAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* From now on orphaned descendants become our children. 0 or -errno. */
int strays_adopt(void);

/* Reaps each stray that has ended; called on SIGCHLD. Processes of process_spawn are collected in passing and stay
 * with their owner. Returns how many strays there were. */
size_t strays_reap(void);

/* The environment a stray was started with, strings that each end with a 0 byte. */
typedef bool strays_condemn(void *ctx, const char *environment, size_t len);

/* Kills each stray that condemn says true of. Returns how many. Costs one look at each child. */
size_t strays_kill(strays_condemn *condemn, void *ctx);

#endif
