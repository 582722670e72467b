/* SPDX-License-Identifier: MIT */
/* Counts the system calls of processes by the kernel's own tracepoint. All bytes 0 counts nothing. */
#ifndef QBUS_BENCH_SYSCALLS_H
#define QBUS_BENCH_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SYSCALLS_MAX_THREADS = 512 };

struct syscalls {
	int fds[SYSCALLS_MAX_THREADS]; /* one for each thread */
	size_t n;
};

/* Whether the kernel lets us: tracefs must be mounted, and it takes root or CAP_PERFMON. Counting makes every system
 * call of the machine a little slower. */
bool syscalls_can(void);
/* From now on those of the process count, of all its threads and of threads and children that come later. */
void syscalls_add(struct syscalls *syscalls, pid_t pid);
uint64_t syscalls_read(const struct syscalls *syscalls);
void syscalls_done(struct syscalls *syscalls);

#endif
