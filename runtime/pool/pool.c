/* SPDX-License-Identifier: MIT */
/* A pool is its places, what they have in common, and the look for what they leave behind.
 *
 * Everything is O(1) but pool_find, the counts and the search for strays, which are O(workers). */
#include "pool/pool.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "pool/place.h"
#include "pool/strays.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SWEEP_US = 20000, /* from a worker's end to the look for what it left */
	MIN_SWEEPS = 2,
	MAX_SWEEPS = 50, /* in a row: something forks faster than it dies, the next end tries again */
	FREE_TIMEOUT_US = 1000000,
};

struct pool {
	const struct pool_ops *ops;
	void *ctx;
	struct place_common common;
	char *name, *directory;
	char **argv;
	struct process_user user;
	bool is_stopped;
	struct event *sweep;
	uint32_t n_sweeps; /* in a row */
	uint64_t reset;    /* processes up to this start are to be renewed; 0: none are */
	uint32_t n_places;
	struct place places[];
};

static struct place *place_of(struct pool *pool, uint32_t number)
{
	assert(number >= 1 && number <= pool->n_places);
	return &pool->places[number - 1];
}

/* ---- strays ---- */

/* It was started for a worker of this pool that does not live any more. */
static bool is_left_over(void *ctx, const char *block, size_t len)
{
	struct pool *pool = ctx;
	const char *name = environment_find(block, len, "QBUS_POOL");
	const char *start = environment_find(block, len, "QBUS_START");

	if (!name || !start || strcmp(name, pool->name) != 0)
		return false;
	for (uint32_t i = 0; i < pool->n_places; i++) {
		if (place_has_process(&pool->places[i]) && pool->places[i].start == strtoull(start, NULL, 10))
			return false;
	}
	return true;
}

static void pool_sweep_later(struct pool *pool, long delay_us)
{
	struct timeval delay = {.tv_usec = delay_us};

	event_add(pool->sweep, &delay);
}

/* What is killed may leave orphans of its own, so one looks until there is nothing; and twice at least, for a process
 * that is just in exec cannot be recognised. */
static void on_sweep(evutil_socket_t fd, short what, void *ctx)
{
	struct pool *pool = ctx;
	size_t n = strays_kill(is_left_over, pool);

	(void)fd;
	(void)what;
	strays_reap();
	if (n > 0)
		log_say(LOG_WARN, pool->name, "kills processes that its workers left behind n=%zu", n);
	pool->n_sweeps++;
	if (pool->n_sweeps < MIN_SWEEPS || (n > 0 && pool->n_sweeps < MAX_SWEEPS)) {
		pool_sweep_later(pool, SWEEP_US);
	} else if (pool->common.is_stopping && !pool->is_stopped && pool_n_alive(pool) == 0) {
		pool->is_stopped = true;
		if (pool->ops->stopped)
			pool->ops->stopped(pool->ctx);
	}
}

/* ---- news from the places ---- */

static void on_exited(struct place_common *common, struct place *place, pid_t pid, int status)
{
	struct pool *pool = list_item(common, struct pool, common);

	pool->n_sweeps = 0;
	pool_sweep_later(pool, SWEEP_US);
	if (pool->ops->exited)
		pool->ops->exited(pool->ctx, place->number, pid, status);
}

static void on_retire(struct place_common *common, struct place *place, const char *reason)
{
	struct pool *pool = list_item(common, struct pool, common);

	if (pool->ops->retire)
		pool->ops->retire(pool->ctx, place->number, place->process.pid, reason);
	else
		place_end(place);
}

/* ---- the pool ---- */

static char *copy(const char *text)
{
	return text ? alloc_string(text, strlen(text)) : NULL;
}

static char **copy_list(const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;

	char **result = alloc_zero((n + 1) * sizeof(char *));

	for (size_t i = 0; i < n; i++)
		result[i] = copy(list[i]);
	return result;
}

static int64_t or_else(int64_t value, int64_t fallback)
{
	return value > 0 ? value : fallback;
}

static void set_environment(
	struct environment *environment, const struct pool_conf *conf, const struct process_user *user)
{
	environment_init(environment);
	environment_inherit(environment, conf->inherited, conf->hidden);
	if (conf->user) {
		environment_set(environment, "USER", user->name);
		environment_set(environment, "LOGNAME", user->name);
		environment_set(environment, "HOME", user->home);
	}
	for (size_t i = 0; i < conf->n_environment; i++)
		environment_set(environment, conf->environment[i].name, conf->environment[i].value);
	environment_set(environment, "QBUS_SOCKET", conf->socket);
	environment_set(environment, "QBUS_POOL", conf->name);
}

static void set_common(struct pool *pool, const struct pool_conf *conf, struct event_base *base)
{
	pool->common = (struct place_common){
		.base = base,
		.name = pool->name,
		.plan = {.argv = pool->argv, .user = conf->user ? &pool->user : NULL, .directory = pool->directory},
		.allocate_timeout_us = conf->allocate_timeout_us,
		.destroy_timeout_us = conf->destroy_timeout_us,
		.ttl_us = conf->ttl_us,
		.max_jobs = conf->max_jobs,
		.backoff_initial_us = or_else(conf->backoff_initial_us, 100000),
		.backoff_max_us = or_else(conf->backoff_max_us, 10000000),
		.short_life_us = or_else(conf->short_life_us, 1000000),
		.long_life_us = or_else(conf->long_life_us, 10000000),
		.exited = on_exited,
		.retire = on_retire,
	};
	set_environment(&pool->common.environment, conf, &pool->user);
}

int pool_new(const struct pool_conf *conf, struct event_base *base, const struct pool_ops *ops, void *ctx,
	struct pool **ret_pool)
{
	struct process_user user = {0};
	int err = conf->user ? process_user_find(conf->user, &user) : 0;

	if (err) {
		log_say(LOG_ERROR, conf->name, "cannot run workers as user %s: %s", conf->user,
			err == -ENOENT ? "there is no such user" : strerror(-err));
		return err;
	}

	struct pool *pool = alloc_zero(sizeof(*pool) + conf->num_workers * sizeof(struct place));

	pool->ops = ops;
	pool->ctx = ctx;
	pool->name = copy(conf->name);
	pool->directory = copy(conf->directory);
	pool->argv = copy_list(conf->argv);
	pool->user = user;
	pool->sweep = evtimer_new(base, on_sweep, pool);
	set_common(pool, conf, base);
	pool->n_places = conf->num_workers;
	for (uint32_t i = 0; i < pool->n_places; i++)
		place_init(&pool->places[i], &pool->common, i + 1);
	*ret_pool = pool;
	return 0;
}

/* All at once, then waits for them one by one within the same time. */
static void pool_end_all(struct pool *pool)
{
	int64_t until_us = clock_now_us() + FREE_TIMEOUT_US;

	for (uint32_t i = 0; i < pool->n_places; i++) {
		if (place_has_process(&pool->places[i]))
			process_signal(&pool->places[i].process, SIGKILL);
	}
	for (uint32_t i = 0; i < pool->n_places; i++) {
		struct place *place = &pool->places[i];
		int64_t left_us = until_us - clock_now_us();

		if (!place_has_process(place))
			continue;
		place_destroy(place, left_us > 0 ? (int)(left_us / 1000) : 0);
	}
	strays_kill(is_left_over, pool);
	strays_reap();
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	pool_end_all(pool);
	for (uint32_t i = 0; i < pool->n_places; i++)
		place_done(&pool->places[i]);
	event_free(pool->sweep);
	process_user_done(&pool->user);
	environment_done(&pool->common.environment);
	for (char **word = pool->argv; *word; word++)
		free(*word);
	free(pool->argv);
	free(pool->directory);
	free(pool->name);
	free(pool);
}

void pool_start(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->n_places; i++) {
		if (pool->places[i].state == PLACE_EMPTY && !pool->common.is_stopping)
			place_start(&pool->places[i]);
	}
}

void pool_stop(struct pool *pool)
{
	if (pool->common.is_stopping)
		return;
	pool->common.is_stopping = true;
	for (uint32_t i = 0; i < pool->n_places; i++) {
		place_cancel(&pool->places[i]);
		place_end(&pool->places[i]);
	}
	pool_sweep_later(pool, 0);
}

/* ---- reset ---- */

static void pool_reset_next(struct pool *pool)
{
	struct place *next = NULL;

	if (!pool->reset || pool->common.is_stopping)
		return;
	for (uint32_t i = pool->n_places; i-- > 0;) {
		struct place *place = &pool->places[i];

		if (place_has_process(place) && place->state != PLACE_READY)
			return; /* on its way in or out: its successor, or itself, will be ready some day */
		if (place_has_process(place) && place->start <= pool->reset)
			next = place;
	}
	if (next)
		place_retire(next, "an operator resets the pool");
	else
		pool->reset = 0;
}

uint32_t pool_reset(struct pool *pool)
{
	uint32_t n = pool_n_alive(pool);

	pool->reset = pool->common.n_starts;
	pool_reset_next(pool);
	return n;
}

bool pool_is_stopped(const struct pool *pool)
{
	return pool->is_stopped;
}

/* ---- single workers ---- */

uint32_t pool_find(const struct pool *pool, pid_t pid)
{
	pid_t group = pid > 0 ? getpgid(pid) : -1;

	for (uint32_t i = 0; group > 0 && i < pool->n_places; i++) {
		if (place_has_process(&pool->places[i]) && pool->places[i].process.pid == group)
			return i + 1;
	}
	return 0;
}

pid_t pool_worker_pid(const struct pool *pool, uint32_t number)
{
	const struct place *place = &pool->places[number - 1];

	return place_has_process(place) ? place->process.pid : 0;
}

void pool_worker_ready(struct pool *pool, uint32_t number)
{
	place_ready(place_of(pool, number));
	pool_reset_next(pool);
}

void pool_worker_has_settled(struct pool *pool, uint32_t number, uint64_t n_messages)
{
	place_has_settled(place_of(pool, number), n_messages);
}

void pool_retire(struct pool *pool, uint32_t number, const char *reason)
{
	struct place *place = place_of(pool, number);

	if (place->state == PLACE_READY)
		place_retire(place, reason);
}

void pool_kill(struct pool *pool, uint32_t number, const char *reason)
{
	struct place *place = place_of(pool, number);

	if (!place_has_process(place) || place_is_ending(place))
		return;
	log_say(LOG_WARN, place->who, "is ended: %s pid=%d", reason, (int)place->process.pid);
	place_end(place);
}

/* ---- for the status ---- */

const char *pool_name(const struct pool *pool)
{
	return pool->name;
}

uint32_t pool_n_workers(const struct pool *pool)
{
	return pool->n_places;
}

uint32_t pool_n_alive(const struct pool *pool)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < pool->n_places; i++)
		n += place_has_process(&pool->places[i]);
	return n;
}

uint32_t pool_n_ready(const struct pool *pool)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < pool->n_places; i++)
		n += pool->places[i].state == PLACE_READY;
	return n;
}

uint64_t pool_n_starts(const struct pool *pool)
{
	return pool->common.n_starts;
}
