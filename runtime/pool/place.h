/* SPDX-License-Identifier: MIT */
/* One place of a pool: fills itself with a process, watches it, ends it, fills itself again. Loop thread.
 *
 * Internal to the pool. A place is in one of a few states, each with at most one time-out. */
#ifndef QBUS_POOL_PLACE_H
#define QBUS_POOL_PLACE_H

#include "pool/cgroup.h"
#include "pool/environment.h"
#include "pool/output.h"
#include "pool/pool.h"
#include "pool/process.h"

#include <stdbool.h>
#include <stdint.h>

struct event;
struct event_base;
struct place;

enum { PLACE_CRASH_LOOP = 5 /* short lives in a row that make one */ };

enum place_state {
	PLACE_EMPTY,    /* nothing runs, nothing is planned */
	PLACE_WAITING,  /* to be started when the time is over */
	PLACE_STARTING, /* to be ready before the time is over */
	PLACE_READY,    /* to be retired when the time is over */
	PLACE_RETIRING, /* finishes what it holds; to be ended when the time is over */
	PLACE_ENDING,   /* has SIGTERM, gets SIGKILL when the time is over */
	PLACE_KILLED,   /* has SIGKILL */
};

/* What all places of a pool have in common; the fields without a word are those of struct pool_conf. */
struct place_common {
	struct event_base *base;
	const char *name;
	struct environment environment;
	struct process_plan plan; /* its environment is set at each start */
	int64_t allocate_timeout_us, destroy_timeout_us, ttl_us;
	int64_t idle_ttl_us;
	int64_t backoff_initial_us, backoff_max_us, short_life_us, long_life_us;
	uint64_t max_jobs, soft_bytes, hard_bytes;
	struct cgroups *cgroups; /* NULL: nobody has one */
	struct cgroup_limits limits;
	uint64_t n_starts;
	uint64_t n_exits[N_POOL_EXITS];
	uint32_t n_short;  /* short lives in a row, whoever's */
	char trouble[128]; /* what the last one ended of, in words */
	bool is_stopping;  /* nobody is replaced any more */
	/* News for the pool. changed: it is ready, or due to be renewed, or its place is free. */
	bool (*exited)(struct place_common *common, struct place *place, pid_t pid, int status);
	void (*retire)(struct place_common *common, struct place *place, const char *reason);
	void (*changed)(struct place_common *common);
	void (*swollen)(struct place_common *common, struct place *place);
	bool (*is_wanted)(const struct place_common *common); /* shall a place that is free be filled again? */
};

struct place {
	struct place_common *common;
	uint32_t number;
	enum place_state state;
	struct event *timer;
	struct event *exited; /* NULL: no process */
	struct process process;
	struct cgroup cgroup;
	struct output out, err;
	uint64_t start; /* number of the start, in QBUS_START */
	int64_t started_us, ready_us;
	int64_t ttl_us, idle_ttl_us; /* of this process; 0: no limit */
	int64_t idle_since_us;       /* CLOCK_NEVER: it works */
	uint64_t n_jobs;             /* after which it is renewed; 0: no limit */
	uint64_t n_settled;
	uint64_t soft_bytes, rss_bytes; /* above which it is renewed, 0: no limit; what it takes */
	uint32_t n_short;               /* short lives in a row */
	enum pool_exit why;             /* it is to be renewed, or was ended, for this; POOL_EXIT_NONE: neither */
	const char *reason;             /* the same in words, while it is due */
	char ended[128];                /* why its owner had it ended, in words; empty: it was not */
	bool is_swollen;                /* it was above the hard limit at the last look, and told so */
	bool wants_look;                /* at its memory, soon */
	char who[80];
};

void place_init(struct place *place, struct place_common *common, uint32_t number);
void place_done(struct place *place); /* has no process */

bool place_has_process(const struct place *place);
bool place_is_ending(const struct place *place); /* it has its SIGTERM */
bool place_is_due(const struct place *place);    /* it serves, and is to be renewed */
void place_start(struct place *place);           /* now; when that fails, later */
void place_ready(struct place *place);           /* the process has said HELLO */
/* What its session says of it: verdicts since its start, and whether it holds something. */
void place_report(struct place *place, uint64_t n_settled, bool is_busy);
/* A look at its memory: due above the soft limit, told and then killed above the hard one. */
void place_look(struct place *place);
/* A ready one is to be renewed: it serves on until somebody can take its place. reason is borrowed for ever. */
void place_expire(struct place *place, enum pool_exit why, const char *reason);
void place_left(struct place *place);   /* its connection is gone: it has a time to end, or to come back */
void place_retire(struct place *place); /* one that is due finishes what it holds and leaves */
/* SIGTERM now, SIGKILL after destroy_timeout; no process: nothing happens. */
void place_end(struct place *place, enum pool_exit why);
void place_cancel(struct place *place); /* a planned start does not happen */
/* SIGKILL, waits at most timeout_ms, lets go of the process without a word. It must have one. */
void place_destroy(struct place *place, int timeout_ms);

#endif
