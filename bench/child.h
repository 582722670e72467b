/* SPDX-License-Identifier: MIT */
/* A process that the bench starts and stops. */
#ifndef QBUS_BENCH_CHILD_H
#define QBUS_BENCH_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
	pid_t pid; /* 0: none */
	int64_t started_ns;
};

/* Starts argv (ends with NULL) with stdin closed; what it writes goes to the end of the file `log`. 0, or -1 after a
 * sentence on stderr. */
int child_start(struct child *child, const char *const *argv, const char *log);
/* SIGTERM, after ten seconds SIGKILL. */
void child_stop(struct child *child);
/* Waits for its own end. Returns what it exited with; -1: a signal has ended it. */
int child_wait(struct child *child);
/* For a signal's handler: who is waited for gets SIGTERM, now and from now on. */
void child_interrupt(void);
bool child_is_interrupted(void);

#endif
