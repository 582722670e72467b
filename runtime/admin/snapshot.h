/* SPDX-License-Identifier: MIT */
/* What operators are shown: the state of the whole process at one moment. Filled by the host, turned into text by
 * metrics and api, gone before the loop goes on: strings and lanes belong to whom they were found at. Times are
 * microseconds. */
#ifndef QBUS_ADMIN_SNAPSHOT_H
#define QBUS_ADMIN_SNAPSHOT_H

#include "core/dispatcher.h"
#include "core/look.h"

#include <sys/types.h>

enum { SNAPSHOT_DELIVERIES_MAX = 1000, SNAPSHOT_BREAKING_BYTES = 48 };

enum snapshot_worker_state {
	SNAPSHOT_STARTING, /* has not said HELLO */
	SNAPSHOT_IDLE,     /* holds nothing */
	SNAPSHOT_BUSY,     /* holds something */
	SNAPSHOT_LEAVING,  /* drains or ends */
	SNAPSHOT_WORKER_STATES,
};

struct snapshot_pipeline {
	const struct pipeline_conf *conf;
	const char *kind; /* the plugin's name */
	struct pipeline_counts counts;
	struct pipeline_look look;
	uint64_t n_reconnects, ack_gap; /* ack_gap: of the lane where it is largest */
	int64_t oldest_in_flight_us;    /* how long the handler that runs longest has run; 0: none runs */
	bool is_paused, is_breaker_open, is_target_missing;
	double growth;             /* bytes of memory for each message, of its worker that grows the most */
	bool is_leaking;           /* the memory of one of its workers rises steadily */
	const struct lane **lanes; /* by source and partition */
	size_t n_lanes;
};

/* A path to values in a worker that keep growing. */
struct snapshot_leak {
	const char *path;
	uint64_t n_looks, n_grew, bytes;
};

/* Attached, with a session. */
struct snapshot_worker {
	uint32_t number; /* of the session */
	pid_t pid;
	const char *pool; /* NULL: not spawned by us */
	uint32_t place;   /* its number in the pool; 0: not spawned by us */
	const char *client;
	enum snapshot_worker_state state;
	const char **pipelines; /* names */
	size_t n_pipelines;
	uint32_t n_held, credit;
	uint64_t reported_bytes, rss_bytes; /* what the client said of its memory, and what the kernel says */
	int64_t age_us;
	int64_t running_us;                /* how long its oldest delivery can have run; 0: it holds none */
	const struct entry *current;       /* that delivery; NULL: it holds none */
	int64_t remaining_us;              /* until its deadline, negative when that has passed */
	uint64_t n_messages, n_leak_looks; /* it has settled; how often it looked for what grows */
	double growth;                     /* bytes of reported memory for each of them */
	bool is_leaking;                   /* that rises steadily */
	struct snapshot_leak *leaks;
	size_t n_leaks;
};

struct snapshot_exits {
	const char *reason;
	uint64_t n;
};

struct snapshot_pool {
	const char *name;
	uint32_t n_wanted, n_alive, n_ready;
	uint64_t n_starts, leak_check; /* leak_check: its workers look for leaks every so many messages; 0: never */
	const struct snapshot_exits *exits;
	size_t n_exits, n_in[SNAPSHOT_WORKER_STATES];
	const char *crash_loop;                 /* what its last short life ended with, borrowed; NULL: it is in none */
	char breaking[SNAPSHOT_BREAKING_BYTES]; /* by what calls that hang can be broken, with spaces between; "none" */
};

struct snapshot_delivery {
	const struct worker *worker; /* of whom it is */
	const struct entry *entry;
	int64_t age_us; /* since it came from the broker */
	int64_t running_us;
	bool is_running; /* the oldest of its worker; the others wait behind it */
};

struct snapshot_library {
	const char *name, *version;
};

struct snapshot_process {
	pid_t pid;
	double cpu_seconds, start_seconds; /* start: since the epoch */
	uint64_t resident_bytes, virtual_bytes, n_descriptors, max_descriptors;
};

struct snapshot {
	const char *version, *cgroups; /* cgroups: what those of workers can, "kill memory pids"; or "none: " and why */
	const struct snapshot_library *libraries;
	size_t n_libraries;
	const char *step;                                  /* of the way down: "serving", "draining", ... */
	bool is_listening, is_draining, is_reload_refused; /* refused: what is served is older than the file */
	int64_t uptime_us;
	uint64_t memory_used, memory_max, n_late_verdicts, n_log_dropped;
	struct snapshot_process process;
	struct snapshot_pipeline *pipelines;
	size_t n_pipelines;
	struct snapshot_worker *workers;
	size_t n_workers;
	struct snapshot_pool *pools; /* the last is that of workers which come from outside: its name is "" */
	size_t n_pools;
	struct snapshot_delivery *deliveries;
	size_t n_deliveries, n_in_flight; /* shown, and in all */
};

const char *snapshot_worker_state_name(enum snapshot_worker_state state);

#endif
