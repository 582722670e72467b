/* SPDX-License-Identifier: MIT */
/* A pool: keeps a number of worker processes running, replaces those that end, ends those that it is told to.
 *
 * Main thread only: a worker dies with the thread that made it. Times are monotonic microseconds; all waiting is done
 * by timers of the given event base. Worker numbers count from 1 and stay with the place: the process that follows a
 * dead one has its number.
 *
 * Each worker leads a process group of its own. What is left of the group is killed when its leader ends, and so is
 * what left the group but still carries the pool's environment (that needs strays_adopt; the host calls strays_reap on
 * SIGCHLD). The standard descriptors must be open and SIGCHLD must not be ignored. */
#ifndef QBUS_POOL_POOL_H
#define QBUS_POOL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct pool;

struct pool_variable {
	const char *name, *value;
};

/* All is copied by pool_new. */
struct pool_conf {
	const char *name;                        /* for QBUS_POOL and the log */
	const char *socket;                      /* absolute path, for QBUS_SOCKET */
	const char *const *argv;                 /* ends with NULL; argv[0] is looked up in the worker's PATH */
	uint32_t num_workers;                    /* at least 1 */
	const char *const *inherited;            /* environment to start from, as in environ; ends with NULL; NULL: empty */
	const char *const *hidden;               /* names that are not inherited (secrets); ends with NULL; NULL: none */
	const struct pool_variable *environment; /* set on top; QBUS_SOCKET, _POOL, _WORKER, _START win */
	size_t n_environment;
	const char *user;            /* NULL: as the proxy */
	const char *directory;       /* NULL: as the proxy */
	int64_t allocate_timeout_us; /* from start to pool_worker_ready, else it is ended; 0: no limit */
	int64_t destroy_timeout_us;  /* from SIGTERM to SIGKILL */
	int64_t ttl_us;              /* 0: no limit; up to a fifth less, so that not all leave at once */
	uint64_t max_jobs;           /* 0: no limit; up to a fifth less */
	/* How fast a worker that does not live is replaced; 0: the default. */
	int64_t backoff_initial_us; /* 100 ms, doubled each time */
	int64_t backoff_max_us;     /* 10 s */
	int64_t short_life_us;      /* 1 s: who lived longer and exits with 0 is replaced at once */
	int64_t long_life_us;       /* 10 s: who lived longer begins a new count */
};

/* News for the owner. Called from the loop or from within pool_start; must not free the pool. NULL: not wanted. */
struct pool_ops {
	/* The process is gone and reaped; status as from waitpid. The successor, if any, is not started yet. */
	void (*exited)(void *ctx, uint32_t number, pid_t pid, int status);
	/* Its ttl or its max_jobs is over: let it finish what it holds and leave. NULL: it gets SIGTERM. */
	void (*retire)(void *ctx, uint32_t number, pid_t pid, const char *reason);
	/* pool_stop has done its work: once, from the loop, also when nothing ran. */
	void (*stopped)(void *ctx);
};

/* 0, or -errno after a line in the log: -ENOENT the user does not exist, -EPERM we may not become that user. Nothing is
 * started. The base must outlive the pool. */
int pool_new(const struct pool_conf *conf, struct event_base *base, const struct pool_ops *ops, void *ctx,
	struct pool **ret_pool);
/* Kills and reaps what still runs (waits for it a second at most). Takes NULL. */
void pool_free(struct pool *pool);

void pool_start(struct pool *pool); /* starts all; what cannot be started is tried again */
/* SIGTERM to each group, SIGKILL after destroy_timeout, nothing is replaced any more. May be called again. */
void pool_stop(struct pool *pool);
/* Renews every process that runs now, one after the other: the next leaves when the successor of the one before is
 * ready. Returns how many. A successor that never gets ready ends the walk, so the rest goes on as it is. */
uint32_t pool_reset(struct pool *pool);
bool pool_is_stopped(const struct pool *pool); /* pool_stop was called and nothing of the pool is left */

/* The worker whose process group contains pid. 0: none of this pool. */
uint32_t pool_find(const struct pool *pool, pid_t pid);
/* Its process; 0: none runs now. */
pid_t pool_worker_pid(const struct pool *pool, uint32_t number);
void pool_worker_ready(struct pool *pool, uint32_t number);                            /* it has said HELLO */
void pool_worker_has_settled(struct pool *pool, uint32_t number, uint64_t n_messages); /* in all, since its start */
/* Lets a worker that is ready finish what it holds and leave, see pool_ops.retire. Another takes its place. */
void pool_retire(struct pool *pool, uint32_t number, const char *reason);
/* SIGTERM to its group, SIGKILL after destroy_timeout. Another takes its place. reason: for the log. */
void pool_kill(struct pool *pool, uint32_t number, const char *reason);

const char *pool_name(const struct pool *pool);
uint32_t pool_n_workers(const struct pool *pool); /* as configured */
uint32_t pool_n_alive(const struct pool *pool);   /* processes that run */
uint32_t pool_n_ready(const struct pool *pool);   /* of these: have said HELLO and are not leaving */
uint64_t pool_n_starts(const struct pool *pool);  /* since pool_new */

#endif
