/* SPDX-License-Identifier: MIT */
/* Processes that nobody waits for: what the descendants of a dead worker, or of a dead proxy, become. Main thread only.
 *
 * They are found through /proc by the environment that they were started with; one that hides it, or where /proc is
 * shut, lives on. Descendants of a worker become our children when we adopt them. */
#ifndef QBUS_POOL_STRAYS_H
#define QBUS_POOL_STRAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* From now on orphaned descendants become our children. Called before the first fork. 0 or -errno. */
int strays_adopt(void);

/* Reaps each stray that has ended; called on SIGCHLD, and once a second, as a thread that is traced hides others then.
 * Processes of process_spawn are collected in passing and stay with their owner. Returns how many strays there were. */
size_t strays_reap(void);

/* The environment a stray was started with, strings that each end with a 0 byte. */
typedef bool strays_condemn(void *ctx, const char *environment, size_t len);

/* Kills each stray that condemn says true of. Returns how many. Costs one look at each child. */
size_t strays_kill(strays_condemn *condemn, void *ctx);

/* At the end, when no child of ours runs but `keeper`: kills and reaps all others, whatever their environment says, and
 * what they leave. Waits half a second at most. Does nothing when there were children before strays_adopt, as of a
 * shell that has become this process: nobody could tell those from the workers'. Returns how many. */
size_t strays_kill_rest(pid_t keeper);

/* This process as QBUS_PROXY names it to the workers: the namespace of its number, its number, when it began. */
const char *strays_marker(void);
/* Is the process that had this marker gone? False also when it cannot be known: its number is of another namespace. */
bool strays_is_dead(const char *marker);
/* Kills whatever the proxy of that marker has started, wherever it is now. Returns how many. Costs a look at each
 * process of the machine, as does the next one. */
size_t strays_kill_of(const char *marker);
/* Kills what was started for workers at that socket by a proxy that does not live any more. Those whose proxy cannot be
 * known for sure, because its number is of another namespace, are left alone. */
size_t strays_kill_left(const char *socket);

#endif
