/* SPDX-License-Identifier: MIT */
/* One place of a pool: fills itself with a process, watches it, ends it, fills itself again. Loop thread.
 *
 * Internal to the pool. A place is in one of a few states, each with at most one time-out. */
#ifndef QBUS_POOL_PLACE_H
#define QBUS_POOL_PLACE_H

#include "pool/environment.h"
#include "pool/output.h"
#include "pool/process.h"

#include <stdbool.h>
#include <stdint.h>

struct event;
struct event_base;
struct place;

enum place_state {
	PLACE_EMPTY,    /* nothing runs, nothing is planned */
	PLACE_WAITING,  /* to be started when the time is over */
	PLACE_STARTING, /* to be ready before the time is over */
	PLACE_READY,    /* to be retired when the time is over */
	PLACE_RETIRING, /* finishes what it holds */
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
	int64_t backoff_initial_us, backoff_max_us, short_life_us, long_life_us;
	uint64_t max_jobs;
	uint64_t n_starts;
	bool is_stopping; /* nobody is replaced any more */
	/* News for the pool, see struct pool_ops. */
	void (*exited)(struct place_common *common, struct place *place, pid_t pid, int status);
	void (*retire)(struct place_common *common, struct place *place, const char *reason);
};

struct place {
	struct place_common *common;
	uint32_t number;
	enum place_state state;
	struct event *timer;
	struct event *exited; /* NULL: no process */
	struct process process;
	struct output out, err;
	uint64_t start; /* number of the start, in QBUS_START */
	int64_t started_us;
	int64_t ttl_us;   /* of this process; 0: no limit */
	uint64_t n_jobs;  /* after which it is renewed; 0: no limit */
	uint32_t n_short; /* short lives in a row */
	bool is_refused;  /* this process was not ready in time */
	char who[80];
};

void place_init(struct place *place, struct place_common *common, uint32_t number);
void place_done(struct place *place); /* has no process */

bool place_has_process(const struct place *place);
bool place_is_ending(const struct place *place); /* it has its SIGTERM */
void place_start(struct place *place);           /* now; when that fails, later */
void place_ready(struct place *place);           /* the process has said HELLO */
void place_has_settled(struct place *place, uint64_t n_messages);
void place_retire(struct place *place, const char *reason); /* it is READY; finishes what it holds and leaves */
void place_end(struct place *place);    /* SIGTERM now, SIGKILL after destroy_timeout; no process: nothing happens */
void place_cancel(struct place *place); /* a planned start does not happen */
/* SIGKILL, waits at most timeout_ms, lets go of the process without a word. It must have one. */
void place_destroy(struct place *place, int timeout_ms);

#endif
