/* SPDX-License-Identifier: MIT */
/* A pool is its places, what they have in common, and the look for what they leave behind.
 *
 * Everything is O(1) but pool_find, the counts and the search for strays, which are O(workers). */
#include "pool/pool.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "pool/place.h"
#include "pool/roster.h"
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
	LOOK_US = 150000, /* between two looks at everybody's memory */
	SPARE_SHARE = 8,  /* so many workers share one more place, in which a successor starts */
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
	struct event *look, *turn;
	struct roster roster;
	uint32_t n_places;
	struct place places[];
};

static struct place *place_of(struct pool *pool, uint32_t number)
{
	assert(number >= 1 && number <= pool->n_places);
	return &pool->places[number - 1];
}

/* ---- how many, and whom to renew ---- */

static void pool_balance(struct pool *pool)
{
	while (!pool->common.is_stopping && roster_step(&pool->roster))
		;
}

/* News come in the middle of other things; what follows from them is done when the loop comes by. */
static void on_changed(struct place_common *common)
{
	struct pool *pool = list_item(common, struct pool, common);

	event_active(pool->turn, EV_TIMEOUT, 0);
}

static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
	struct pool *pool = ctx;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < pool->n_places; i++) {
		if (pool->places[i].wants_look)
			place_look(&pool->places[i]);
		pool->places[i].wants_look = false;
	}
	pool_balance(pool);
}

static bool is_wanted(const struct place_common *common)
{
	const struct pool *pool = list_item(common, struct pool, common);

	return roster_lacks(&pool->roster);
}

static bool is_well(const struct place *place, int64_t now_us)
{
	return place->state == PLACE_READY && now_us - place->ready_us >= place->common->short_life_us;
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
	struct pool *pool = ctx;
	int64_t now_us = clock_now_us();
	bool has_well = false;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < pool->n_places; i++) {
		place_look(&pool->places[i]);
		has_well |= is_well(&pool->places[i], now_us);
	}
	if (has_well && pool_is_crash_looping(pool))
		log_say(LOG_INFO, pool->name, "is out of its crash loop");
	if (has_well)
		pool->common.n_short = 0;
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
	size_t n = strays_kill(is_left_over, pool), n_dying = cgroups_tidy(pool->common.cgroups);

	(void)fd;
	(void)what;
	strays_reap();
	if (n > 0)
		log_say(LOG_WARN, pool->name, "kills processes that its workers left behind n=%zu", n);
	pool->n_sweeps++;
	if (pool->n_sweeps < MIN_SWEEPS || (n + n_dying > 0 && pool->n_sweeps < MAX_SWEEPS)) {
		pool_sweep_later(pool, SWEEP_US);
	} else if (pool->common.is_stopping && !pool->is_stopped && pool_n_alive(pool) == 0) {
		pool->is_stopped = true;
		if (pool->ops->stopped)
			pool->ops->stopped(pool->ctx);
	}
}

/* ---- news from the places ---- */

static bool on_exited(struct place_common *common, struct place *place, pid_t pid, int status)
{
	struct pool *pool = list_item(common, struct pool, common);
	char words[64];

	process_describe(status, words, sizeof(words));
	snprintf(common->trouble, sizeof(common->trouble), "%s", *place->ended ? place->ended : words);
	*place->ended = '\0';
	pool->n_sweeps = 0;
	pool_sweep_later(pool, SWEEP_US);
	return pool->ops->exited && pool->ops->exited(pool->ctx, place->number, pid, status);
}

static void on_retire(struct place_common *common, struct place *place, const char *reason)
{
	struct pool *pool = list_item(common, struct pool, common);

	if (!pool->ops->retire || !pool->ops->retire(pool->ctx, place->number, place->process.pid, reason))
		place_end(place, place->why);
}

static void on_swollen(struct place_common *common, struct place *place)
{
	struct pool *pool = list_item(common, struct pool, common);

	if (pool->ops->swollen)
		pool->ops->swollen(pool->ctx, place->number, place->process.pid);
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
	environment_set(environment, "QBUS_PROXY", strays_marker());
}

static void set_common(struct pool *pool, const struct pool_conf *conf, struct event_base *base)
{
	pool->common = (struct place_common){
		.base = base,
		.name = pool->name,
		.plan = {.argv = pool->argv,
			.user = conf->user ? &pool->user : NULL,
			.directory = pool->directory,
			.has_private_ipc = conf->has_private_ipc},
		.allocate_timeout_us = conf->allocate_timeout_us,
		.destroy_timeout_us = conf->destroy_timeout_us,
		.ttl_us = conf->ttl_us,
		.idle_ttl_us = conf->idle_ttl_us,
		.max_jobs = conf->max_jobs,
		.soft_bytes = conf->soft_bytes,
		.hard_bytes = conf->hard_bytes,
		.cgroups = conf->cgroups,
		.limits = {conf->hard_bytes + conf->hard_bytes / 2, conf->max_processes},
		.backoff_initial_us = or_else(conf->backoff_initial_us, 100000),
		.backoff_max_us = or_else(conf->backoff_max_us, 10000000),
		.short_life_us = or_else(conf->short_life_us, 1000000),
		.long_life_us = or_else(conf->long_life_us, 10000000),
		.exited = on_exited,
		.retire = on_retire,
		.changed = on_changed,
		.swollen = on_swollen,
		.is_wanted = is_wanted,
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

	uint32_t n_places = conf->num_workers + 1 + conf->num_workers / SPARE_SHARE;
	struct pool *pool = alloc_zero(sizeof(*pool) + n_places * sizeof(struct place));

	pool->ops = ops;
	pool->ctx = ctx;
	pool->name = copy(conf->name);
	pool->directory = copy(conf->directory);
	pool->argv = copy_list(conf->argv);
	pool->user = user;
	pool->sweep = evtimer_new(base, on_sweep, pool);
	pool->look = event_new(base, -1, EV_PERSIST, on_look, pool);
	pool->turn = evtimer_new(base, on_turn, pool);
	set_common(pool, conf, base);
	pool->n_places = n_places;
	pool->roster = (struct roster){pool->places, n_places, conf->num_workers};
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
	event_free(pool->look);
	event_free(pool->turn);
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
	struct timeval look = {.tv_usec = LOOK_US};

	if (pool->common.is_stopping)
		return;
	event_add(pool->look, &look);
	pool_balance(pool);
}

void pool_stop(struct pool *pool)
{
	if (pool->common.is_stopping)
		return;
	pool->common.is_stopping = true;
	for (uint32_t i = 0; i < pool->n_places; i++) {
		place_cancel(&pool->places[i]);
		place_end(&pool->places[i], POOL_EXIT_STOP);
	}
	pool_sweep_later(pool, 0);
}

uint32_t pool_reset(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->n_places; i++)
		place_expire(&pool->places[i], POOL_EXIT_RESET, "an operator resets the pool");
	return pool_n_alive(pool);
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

	return place_has_process(place) && !place->process.is_reaped ? place->process.pid : 0;
}

void pool_worker_ready(struct pool *pool, uint32_t number)
{
	place_ready(place_of(pool, number));
}

void pool_worker_report(struct pool *pool, uint32_t number, uint64_t n_settled, bool is_busy)
{
	place_report(place_of(pool, number), n_settled, is_busy);
}

void pool_worker_has_grown(struct pool *pool, uint32_t number)
{
	place_of(pool, number)->wants_look = true;
	on_changed(&pool->common);
}

void pool_worker_left(struct pool *pool, uint32_t number)
{
	place_left(place_of(pool, number));
}

void pool_worker_renew(struct pool *pool, uint32_t number, enum pool_exit why, const char *reason)
{
	place_expire(place_of(pool, number), why, reason);
}

void pool_kill(struct pool *pool, uint32_t number, enum pool_exit why, const char *reason)
{
	struct place *place = place_of(pool, number);

	if (!place_has_process(place) || place_is_ending(place))
		return;
	log_say(LOG_WARN, place->who, "is ended: %s pid=%d", reason, (int)place->process.pid);
	snprintf(place->ended, sizeof(place->ended), "%s", reason);
	place_end(place, why);
}

/* ---- for the status ---- */

const char *pool_name(const struct pool *pool)
{
	return pool->name;
}

uint32_t pool_n_workers(const struct pool *pool)
{
	return pool->roster.n_workers;
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

uint64_t pool_n_exits(const struct pool *pool, enum pool_exit why)
{
	return pool->common.n_exits[why];
}

bool pool_is_crash_looping(const struct pool *pool)
{
	return pool->common.n_short >= PLACE_CRASH_LOOP;
}

const char *pool_trouble(const struct pool *pool)
{
	return pool->common.trouble;
}
