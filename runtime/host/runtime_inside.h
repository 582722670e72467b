/* SPDX-License-Identifier: MIT */
/* What the process is made of. Only runtime.c (building and turning), pools.c (workers that are ours), shutdown.c
 * (taking down) and glance_take.h (showing) include this. */
#ifndef QBUS_HOST_RUNTIME_INSIDE_H
#define QBUS_HOST_RUNTIME_INSIDE_H

#include "core/dispatcher.h"
#include "host/breaking.h"
#include "host/conf.h"
#include "host/notify.h"
#include "host/reload.h"
#include "pool/cgroup.h"
#include "pool/keeper.h"
#include "pool/pool.h"
#include "wire/listener.h"
#include "wire/session.h"

#include <event2/event.h>

/* The way down. SIGTERM begins it; each step waits for something, and drain_timeout bounds the first. */
enum shutdown_step {
	SHUTDOWN_NOT,      /* serving */
	SHUTDOWN_DRAINING, /* nothing is fetched, running handlers finish */
	SHUTDOWN_CLOSING,  /* last settlements go out, sources close, workers leave */
	SHUTDOWN_DONE,
};

struct runtime_source {
	struct runtime *runtime;
	struct source *source;
	struct event *readable;
};

struct runtime {
	struct conf *conf;
	struct event_base *base;
	struct dispatcher *dispatcher;
	struct session_host session_host;
	struct session_set *sessions;
	struct listener *listener;
	struct breaking *breaking;
	struct pool **pools; /* parallel to conf->pools */
	size_t n_pools;
	struct runtime_source *sources; /* parallel to the dispatcher's pipelines */
	size_t n_sources;
	struct event *timer, *every_second, *watchdog;
	struct event *signals[4];
	size_t n_signals;
	struct glance *glance;
	struct cgroups *cgroups; /* NULL: the workers have none */
	char cgroups_text[96];   /* "kill memory pids", or "none: " and why */
	struct keeper keeper;
	struct notify notify;
	int64_t extended_us; /* when the service manager was last asked for more time */
	int64_t now_us;      /* of this turn */
	int64_t base_bytes;  /* allocated before the first message */
	int64_t boot_us;     /* when the clock was read last; jumps when the process stood still */
	bool is_waiting;     /* now_us is of the last turn; runtime_now knows better */
	bool wants_turn;     /* something happened after the tick: turn again without waiting */
	enum shutdown_step step;
	int64_t step_until_us; /* when the step is cut short */
	bool is_cut_short;
	struct reload reload;
	bool is_again; /* what goes down begins anew */
};

/* pools.c */
void pools_prepare(struct runtime *runtime); /* before the first fork: adopts orphans, makes room for cgroups */
bool pools_build(struct runtime *runtime);
void pools_free(struct runtime *runtime); /* with whatever the workers have left */
/* The pool and the number of the worker whose process group has this pid. NULL: none of ours. */
struct pool *pools_find(const struct runtime *runtime, pid_t pid, uint32_t *ret_number);
bool pools_has_other_session(const struct runtime *runtime, const struct session *session); /* its process */
void pools_report(struct runtime *runtime); /* once a second: what sessions know, for who is to be renewed */
void pools_worker_grown(void *ctx, const struct session *session); /* session_host.grown; ctx: the runtime */

/* shutdown.c */
void shutdown_begin(struct runtime *runtime, const char *why); /* said again: at once */
void shutdown_begin_again(struct runtime *runtime);            /* to begin anew afterwards, unless a stop follows */
/* After each turn: takes the next step when it can be taken. Returns when it wants to be asked again, or CLOCK_NEVER.
 */
int64_t shutdown_advance(struct runtime *runtime);
const char *shutdown_step_name(enum shutdown_step step);

#endif
