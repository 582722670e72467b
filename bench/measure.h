/* SPDX-License-Identifier: MIT */
/* Measures a consumer from outside: who handled how much when (from tallies), what it cost (from /proc). */
#ifndef QBUS_BENCH_MEASURE_H
#define QBUS_BENCH_MEASURE_H

#include "base/histogram.h"
#include "series.h"
#include "syscalls.h"
#include "times.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Takes a terminal's line away. */
#define MEASURE_CLEAR "\r\033[K"

/* A load of a rate has run for so long before it is measured: until then workers start and caches fill. */
enum { MEASURE_MAX_COUNTERS = 256, MEASURE_WARM_UP_MS = 1000 };

/* cpu_s: user and system time while it was measured. peak_bytes: VmHWM, of the whole life. */
struct measure_cost {
	double cpu_s;
	uint64_t peak_bytes;
};

struct measure_result {
	uint64_t n_messages; /* handled between the two moments */
	double seconds;      /* from when all workers count (a load of a rate: from the end of the warm-up) to the last */
	double start_s;      /* from the start of the process to the first message handled */
	struct measure_cost main;                       /* the process that was started */
	struct measure_cost workers;                    /* those that count for it: CPU of all, peak of the largest */
	size_t n_workers;                               /* that handled something, at one time */
	struct measure_cost each[MEASURE_MAX_COUNTERS]; /* of these; one that took a dead one's place counts with it */
	size_t n_each;                                  /* above n_workers where old and new ones met */
	int64_t received;                  /* bytes that came to the main process over TCP meanwhile; -1: not known */
	int64_t received_ever;             /* the same since it was started */
	uint64_t n_ever;                   /* messages handled since then */
	uint64_t main_calls, worker_calls; /* system calls; 0: not counted */
	struct series series;
	struct histogram *latency;  /* of a live load, microseconds; NULL: not a live load, or done */
	struct times end_to_end;    /* of a live load, from when a message was due until it was handled */
	struct times wait, handler; /* as the proxy says, of the same time; n 0: it was not asked */
};

/* What a result owns; its numbers stay. */
void measure_result_done(struct measure_result *result);

/* What is measured of a consumer that is about to start. */
struct measure_plan {
	uint64_t every;      /* messages in a datagram */
	uint64_t n_messages; /* after so many it is over */
	uint64_t seconds;    /* measured at most; 0: until all is handled */
	uint64_t n_workers;  /* processes that count; the measuring begins when all do, or most of a second has gone by */
	bool warms_up;       /* the load has a rate: what starts and what was late at first is not measured */
	bool is_live;        /* messages tell when they were due, consumers tell how long ago that was */
	bool counts_calls;   /* system calls, too, where the kernel lets us */
	void (*begun)(void *ctx); /* called when the measuring begins; must not wait for anything */
	void *ctx;
	const char *trial; /* what is tried, for the progress; "": nothing special */
};

/* One worker, and those that it was renewed from. */
struct measure_counter {
	pid_t pid, former; /* former: whose place it took; 0: nobody's */
	uint64_t count, former_count;
	double began_s;      /* CPU time when the measuring began for it */
	double cpu_s;        /* CPU time when it was last seen alive */
	double former_s;     /* measured, of all that had this place before */
	uint64_t peak_bytes; /* of all that had this place */
	int64_t seen_ns;
};

struct measure {
	struct measure_plan plan;
	int fd;
	char path[100];
	pid_t main;
	double main_cpu_s;             /* when the measuring began */
	int64_t started_ns, opened_ns; /* the process; the first message handled */
	int64_t loaded_ns;             /* the first message of a live load handled; 0: not yet */
	int64_t first_ns, last_ns;     /* measured is what lies between; first_ns 0: it has not begun */
	uint64_t n_first, n_total;
	struct measure_counter counters[MEASURE_MAX_COUNTERS];
	size_t n_counters, n_alive; /* n_alive: workers, the most that were alive at one look */
	int64_t looked_ns;          /* the last point of the series */
	uint64_t n_looked;          /* messages at that moment */
	struct series series;
	struct histogram *latency;
	int64_t received_before; /* traffic_received() when the measuring began */
	struct syscalls main_calls, worker_calls;
};

/* Listens in the directory and puts the socket into the environment for those who count. 0, or -1 after a sentence on
 * stderr. */
int measure_open(struct measure *measure, const char *directory, const struct measure_plan *plan);
void measure_close(struct measure *measure);

/* Waits until the process, started at started_ns, or a worker of it has handled its first message. Before measure_wait.
 * 0, or -1 after a sentence on stderr: it has ended, nothing was handled for half a minute, or child_is_interrupted. */
int measure_wait_first(struct measure *measure, pid_t main, int64_t started_ns);
/* Waits until the process and its workers have handled what was planned. The same errors. */
int measure_wait(struct measure *measure, struct measure_result *ret_result);

#endif
