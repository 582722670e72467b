/* SPDX-License-Identifier: MIT */
/* A pool: keeps a number of worker processes running, replaces those that end, ends those that it is told to.
 *
 * Main thread only: a worker dies with the thread that made it. Times are monotonic microseconds; all waiting is done
 * by timers of the given event base. Worker numbers count from 1; no two that live have the same. The process that
 * follows a dead one has its number. One that is only to be renewed serves until its successor, which has a number of
 * its own, has said HELLO; a few at a time, so numbers go a little beyond num_workers.
 *
 * Each worker leads a process group of its own. What is left of the group is killed when its leader ends, and so is
 * what left the group but still carries the pool's environment (that needs strays_adopt; the host calls strays_reap on
 * SIGCHLD). The standard descriptors must be open and SIGCHLD must not be ignored. */
#ifndef QBUS_POOL_POOL_H
#define QBUS_POOL_POOL_H

#include "pool/pool_exit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroups;
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
	const struct pool_variable *environment; /* set on top; QBUS_SOCKET, _POOL, _WORKER, _START, _PROXY win */
	size_t n_environment;
	const char *user;            /* NULL: as the proxy */
	const char *directory;       /* NULL: as the proxy */
	int64_t allocate_timeout_us; /* from start to pool_worker_ready, else it is ended; 0: no limit */
	int64_t destroy_timeout_us;  /* from SIGTERM to SIGKILL */
	int64_t ttl_us;              /* 0: no limit; up to a fifth less, so that not all leave at once */
	int64_t idle_ttl_us;         /* without work for so long; 0: no limit; up to a fifth less */
	uint64_t max_jobs;           /* 0: no limit; up to a fifth less */
	uint64_t soft_bytes;         /* resident memory above which a worker is renewed; 0: no limit */
	uint64_t hard_bytes;         /* above which it is told, and at the next look killed; 0: no limit */
	struct cgroups *cgroups;     /* each gets a cgroup of its own there, limited where that can be; NULL: none */
	uint64_t max_processes;      /* of one worker, threads included, in its cgroup; 0: no limit */
	bool has_private_ipc;        /* each gets an IPC namespace of its own, where that is allowed */
	/* How fast a worker that does not live is replaced; 0: the default. */
	int64_t backoff_initial_us; /* 100 ms, doubled each time */
	int64_t backoff_max_us;     /* 10 s */
	int64_t short_life_us;      /* 1 s: who lived longer and exits with 0 is replaced at once */
	int64_t long_life_us;       /* 10 s: who lived longer begins a new count */
};

/* News for the owner. Called from the loop or from within pool_start; must not free the pool. NULL: not wanted. */
struct pool_ops {
	/* The process is gone and reaped; status as from waitpid. The successor, if any, is not started yet. Returns
	 * whether it died with messages in its hands: those are charged for it, and many such deaths are no crash loop of
	 * the pool. */
	bool (*exited)(void *ctx, uint32_t number, pid_t pid, int status);
	/* It is renewed: let it finish what it holds and leave. False, or NULL: that cannot be, it gets SIGTERM. */
	bool (*retire)(void *ctx, uint32_t number, pid_t pid, const char *reason);
	/* It is above the hard limit: what it runs shall stop. It is killed at the next look unless it has shrunk. Also
	 * said of one that the kernel has killed at the limit of its cgroup, before `exited`. */
	void (*swollen)(void *ctx, uint32_t number, pid_t pid);
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
/* Renews every process that runs now, a few at a time, each when a successor is ready. Returns how many. */
uint32_t pool_reset(struct pool *pool);
bool pool_is_stopped(const struct pool *pool); /* pool_stop was called and nothing of the pool is left */

/* The worker whose process group contains pid. 0: none of this pool. */
uint32_t pool_find(const struct pool *pool, pid_t pid);
/* Its process; 0: none runs now. */
pid_t pool_worker_pid(const struct pool *pool, uint32_t number);
void pool_worker_ready(struct pool *pool, uint32_t number); /* it has said HELLO */
/* Once a second or so: verdicts since its start, and whether it holds something now. */
void pool_worker_report(struct pool *pool, uint32_t number, uint64_t n_settled, bool is_busy);
void pool_worker_has_grown(struct pool *pool, uint32_t number); /* its memory is looked at in the next turn */
void pool_worker_left(struct pool *pool, uint32_t number);      /* its last connection is gone */
/* A ready one is renewed as above: a successor first, then ops->retire. reason is borrowed for ever. */
void pool_worker_renew(struct pool *pool, uint32_t number, enum pool_exit why, const char *reason);
/* SIGTERM to its group, SIGKILL after destroy_timeout. Another takes its place. reason: for the log. */
void pool_kill(struct pool *pool, uint32_t number, enum pool_exit why, const char *reason);

const char *pool_name(const struct pool *pool);
uint32_t pool_n_workers(const struct pool *pool); /* as configured */
uint32_t pool_n_alive(const struct pool *pool);   /* processes that run */
uint32_t pool_n_ready(const struct pool *pool);   /* of these: have said HELLO and are not leaving */
uint64_t pool_n_starts(const struct pool *pool);  /* since pool_new */
uint64_t pool_n_exits(const struct pool *pool, enum pool_exit why);
/* Short lives in a row, whoever's, and none lives long: restarts wait for backoff_max. */
bool pool_is_crash_looping(const struct pool *pool);
/* What its last worker that did not live ended with, in words. Borrowed. */
const char *pool_trouble(const struct pool *pool);

#endif
