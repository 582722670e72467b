/* SPDX-License-Identifier: MIT */
/* Measures a consumer from outside: who handled how much when (from tallies), what it cost (from /proc). */
#ifndef QBUS_BENCH_MEASURE_H
#define QBUS_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { MEASURE_MAX_COUNTERS = 256 };

/* cpu_s: user and system time from the first message handled to the last. peak_bytes: VmHWM, of the whole life. */
struct measure_cost {
	double cpu_s;
	uint64_t peak_bytes;
};

struct measure_result {
	uint64_t n_messages;         /* handled between the two moments */
	double seconds;              /* from the first message handled to the last */
	double start_s;              /* from the start of the process to the first message handled */
	struct measure_cost main;    /* the process that was started */
	struct measure_cost workers; /* those that count for it: CPU of all, peak of the largest */
	size_t n_workers;            /* that handled something */
};

struct measure_counter {
	pid_t pid;
	uint64_t count;
	double cpu_s; /* when it told of its first message */
};

struct measure {
	int fd;
	char path[100];
	int64_t started_ns, first_ns, last_ns;
	int64_t limit_ns; /* that it measures at most; 0: no limit */
	uint64_t n_first, n_total;
	struct measure_counter counters[MEASURE_MAX_COUNTERS];
	size_t n_counters;
};

/* seconds: measured at most; 0: until all is handled. Listens in the directory and puts the socket into the environment for those who count; one datagram every so many
 * messages. 0, or -1 after a sentence on stderr. */
int measure_open(struct measure *measure, const char *directory, uint64_t every, uint64_t seconds);
void measure_close(struct measure *measure);

/* Makes measure_wait fail. For a signal handler. */
void measure_cancel(void);

/* Waits until the process and its workers have handled so many messages. started_ns: when the process was started.
 * 0, or -1 after a sentence on stderr: it has ended, nothing was handled for half a minute, or it was cancelled. */
int measure_wait(
	struct measure *measure, pid_t main, int64_t started_ns, uint64_t n_messages, struct measure_result *ret_result);

#endif
