/* SPDX-License-Identifier: MIT */
/* The life of the processes in one place. place_enter() is the only writer of a state and of its time-out. */
#include "pool/place.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>

enum {
	DESTROY_MS = 1000,
};

/* A number from 0 to most, both included. */
static uint64_t random_below(uint64_t most)
{
	uint64_t number = 0;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != (ssize_t)sizeof(number))
		number = (uint64_t)clock_now_us();
	return number % (most + 1);
}

/* Up to a fifth less; 0 stays 0 and nothing else becomes 0. */
static uint64_t vary(uint64_t number)
{
	return number - random_below(number / 5);
}

/* From half of it to all of it. */
static int64_t spread(int64_t delay_us)
{
	return delay_us - (int64_t)random_below((uint64_t)delay_us / 2);
}

static void timer_set(struct event *timer, int64_t delay_us)
{
	struct timeval delay = {.tv_sec = delay_us / 1000000, .tv_usec = delay_us % 1000000};

	if (delay_us == CLOCK_NEVER)
		event_del(timer);
	else
		event_add(timer, &delay);
}

static void place_enter(struct place *place, enum place_state state, int64_t timeout_us)
{
	place->state = state;
	timer_set(place->timer, timeout_us);
}

bool place_has_process(const struct place *place)
{
	return place->exited != NULL;
}

static void place_clear(struct place *place)
{
	output_close(&place->out);
	output_close(&place->err);
	if (place->exited)
		event_free(place->exited);
	place->exited = NULL;
	process_done(&place->process);
	cgroup_close(&place->cgroup);
}

static void place_sigkill(struct place *place)
{
	process_signal(&place->process, SIGKILL);
	cgroup_kill(&place->cgroup);
}

void place_destroy(struct place *place, int timeout_ms)
{
	place_sigkill(place);
	process_wait(&place->process, timeout_ms);
	place_clear(place);
	place_enter(place, PLACE_EMPTY, CLOCK_NEVER);
}

/* ---- start ---- */

static void on_exited(evutil_socket_t fd, short what, void *ctx);

static int place_watch(struct place *place)
{
	struct event_base *base = place->common->base;
	struct process *process = &place->process;

	place->exited = event_new(base, process->pidfd, EV_READ | EV_PERSIST, on_exited, place);
	output_open(&place->out, base, process->out, LOG_INFO, place->who);
	output_open(&place->err, base, process->err, LOG_WARN, place->who);
	process->out = process->err = -1;
	return place->exited && event_add(place->exited, NULL) == 0 ? 0 : -ENOMEM;
}

/* A worker without one is better than none. */
static const struct cgroup *place_open_cgroup(struct place *place)
{
	struct place_common *common = place->common;
	int err = common->cgroups ? cgroup_open(&place->cgroup, common->cgroups, common->name, &common->limits) : 0;

	if (err)
		log_say(LOG_WARN, place->who, "has no cgroup of its own: %s", strerror(-err));
	return place->cgroup.all ? &place->cgroup : NULL;
}

/* Returns 0, or -errno with nothing running. */
static int place_spawn(struct place *place)
{
	struct place_common *common = place->common;
	char number[24];

	place->start = ++common->n_starts;
	snprintf(number, sizeof(number), "%" PRIu32, place->number);
	environment_set(&common->environment, "QBUS_WORKER", number);
	snprintf(number, sizeof(number), "%" PRIu64, place->start);
	environment_set(&common->environment, "QBUS_START", number);
	common->plan.environment = common->environment.strings;
	common->plan.cgroup = place_open_cgroup(place);

	int err = process_spawn(&place->process, &common->plan);

	if (err) {
		cgroup_close(&place->cgroup);
		return err;
	}
	err = place_watch(place);
	if (err)
		place_destroy(place, DESTROY_MS);
	return err;
}

/* Counts a short life and returns how long to wait after it. */
static int64_t place_back_off(struct place *place)
{
	const struct place_common *common = place->common;
	int64_t delay_us = common->backoff_initial_us;

	for (uint32_t i = 0; i < place->n_short && delay_us < common->backoff_max_us; i++)
		delay_us *= 2;
	place->n_short++;
	if (common->n_short >= PLACE_CRASH_LOOP)
		return spread(common->backoff_max_us);
	return (int64_t)vary((uint64_t)(delay_us < common->backoff_max_us ? delay_us : common->backoff_max_us));
}

void place_start(struct place *place)
{
	const struct place_common *common = place->common;
	int err = place_spawn(place);

	if (err) {
		place->common->n_short++;

		int64_t delay_us = place_back_off(place);

		log_say(LOG_ERROR, place->who, "cannot be started: %s; tries again restart_ms=%" PRId64, strerror(-err),
			delay_us / 1000);
		place_enter(place, PLACE_WAITING, delay_us);
		return;
	}
	place->started_us = clock_now_us();
	place->ready_us = 0;
	place->idle_since_us = CLOCK_NEVER;
	place->ttl_us = (int64_t)vary((uint64_t)common->ttl_us);
	place->idle_ttl_us = (int64_t)vary((uint64_t)common->idle_ttl_us);
	place->n_jobs = vary(common->max_jobs);
	place->n_settled = 0;
	place->soft_bytes = common->soft_bytes;
	place->why = POOL_EXIT_NONE;
	place->is_swollen = false;
	log_say(LOG_INFO, place->who, "starts pid=%d", (int)place->process.pid);
	place_enter(place, PLACE_STARTING, common->allocate_timeout_us ? common->allocate_timeout_us : CLOCK_NEVER);
}

/* Who needs more than the soft limit before it has done anything would be renewed without end. */
static void place_check_soft(struct place *place)
{
	place->rss_bytes = place->soft_bytes ? process_resident_bytes(place->process.pid) : 0;
	if (!place->soft_bytes || place->rss_bytes < place->soft_bytes)
		return;
	log_say(LOG_WARN, place->who,
		"takes more than max_worker_memory.soft from the start, is not renewed for that rss_bytes=%" PRIu64,
		place->rss_bytes);
	place->soft_bytes = 0;
}

void place_ready(struct place *place)
{
	int64_t left_us = CLOCK_NEVER;

	if (place->state != PLACE_STARTING)
		return;
	bool is_first = !place->ready_us;

	place->ready_us = place->idle_since_us = clock_now_us();
	if (place->ttl_us > 0)
		left_us = place->started_us + place->ttl_us - place->ready_us;
	if (is_first)
		place_check_soft(place);
	place_enter(place, PLACE_READY, left_us > 0 ? left_us : 0);
	place->common->changed(place->common);
}

/* ---- end ---- */

bool place_is_ending(const struct place *place)
{
	return place->state == PLACE_ENDING || place->state == PLACE_KILLED;
}

bool place_is_due(const struct place *place)
{
	return place->state == PLACE_READY && place->why != POOL_EXIT_NONE;
}

void place_end(struct place *place, enum pool_exit why)
{
	if (!place_has_process(place) || place_is_ending(place))
		return;
	if (place->state != PLACE_RETIRING)
		place->why = why;
	process_signal(&place->process, SIGTERM);
	process_signal(&place->process, SIGCONT); /* a stopped process does not see the SIGTERM otherwise */
	place_enter(place, PLACE_ENDING, place->common->destroy_timeout_us);
}

static void place_kill(struct place *place)
{
	log_say(LOG_WARN, place->who, "does not end after SIGTERM, gets SIGKILL pid=%d", (int)place->process.pid);
	place_sigkill(place);
	place_enter(place, PLACE_KILLED, CLOCK_NEVER);
}

static void place_refuse(struct place *place)
{
	log_say(LOG_ERROR, place->who, "is not ready in time, is ended pid=%d allocate_timeout_ms=%" PRId64,
		(int)place->process.pid, place->common->allocate_timeout_us / 1000);
	place_end(place, POOL_EXIT_START);
}

void place_retire(struct place *place)
{
	log_say(LOG_INFO, place->who, "is to leave: %s pid=%d", place->reason, (int)place->process.pid);
	place_enter(place, PLACE_RETIRING, CLOCK_NEVER);
	place->common->retire(place->common, place, place->reason);
}

void place_expire(struct place *place, enum pool_exit why, const char *reason)
{
	bool can_be_due = place->state == PLACE_READY || place->state == PLACE_STARTING;

	if (!can_be_due || place->why != POOL_EXIT_NONE)
		return;
	place->why = why;
	place->reason = reason;
	place->common->changed(place->common);
}

static void place_ttl_over(struct place *place)
{
	place_expire(place, POOL_EXIT_TTL, "its ttl is over");
}

static void place_lingers(struct place *place)
{
	place_end(place, place->why);
}

/* Who leaves unasked is on its way out, or comes back as it came the first time. */
void place_left(struct place *place)
{
	int64_t allocate_us = place->common->allocate_timeout_us;

	if (place->state == PLACE_RETIRING)
		place_enter(place, PLACE_RETIRING, place->common->destroy_timeout_us);
	else if (place->state == PLACE_READY)
		place_enter(place, PLACE_STARTING, allocate_us ? allocate_us : CLOCK_NEVER);
}

void place_report(struct place *place, uint64_t n_settled, bool is_busy)
{
	int64_t now_us = clock_now_us();

	if (is_busy)
		place->idle_since_us = CLOCK_NEVER;
	else if (place->idle_since_us == CLOCK_NEVER || n_settled != place->n_settled)
		place->idle_since_us = now_us;
	place->n_settled = n_settled;

	int64_t idle_us = is_busy ? 0 : now_us - place->idle_since_us;

	if (place->n_jobs && n_settled >= place->n_jobs)
		place_expire(place, POOL_EXIT_JOBS, "its max_jobs are done");
	if (place->idle_ttl_us && idle_us >= place->idle_ttl_us)
		place_expire(place, POOL_EXIT_IDLE, "its idle_ttl is over");
	if (place->state == PLACE_RETIRING && idle_us >= place->common->destroy_timeout_us)
		place_lingers(place); /* it was asked and does not care */
}

/* ---- memory ---- */

/* The first time it is told. Who is still there at the next look, or is far beyond, has had its chance. */
static void place_above_hard(struct place *place)
{
	struct place_common *common = place->common;
	bool is_enough = place->is_swollen || place->rss_bytes - common->hard_bytes >= common->hard_bytes / 2;

	place->is_swollen = true;
	common->swollen(common, place);
	if (!is_enough)
		return;
	log_say(LOG_WARN, place->who,
		"takes more than max_worker_memory.hard, gets SIGKILL pid=%d rss_bytes=%" PRIu64 " hard_bytes=%" PRIu64,
		(int)place->process.pid, place->rss_bytes, common->hard_bytes);
	place->why = POOL_EXIT_MEMORY_HARD;
	place_sigkill(place);
	place_enter(place, PLACE_KILLED, CLOCK_NEVER);
}

/* It serves on until its successor is there, unless that takes it half way to the hard limit. */
static void place_above_soft(struct place *place)
{
	uint64_t soft = place->soft_bytes, hard = place->common->hard_bytes;
	uint64_t urgent = soft + (hard > soft ? hard - soft : soft) / 2;

	place_expire(place, POOL_EXIT_MEMORY, "it takes more than max_worker_memory.soft");
	if (place_is_due(place) && place->rss_bytes >= urgent)
		place_retire(place);
}

void place_look(struct place *place)
{
	const struct place_common *common = place->common;

	if (!place_has_process(place) || place->state == PLACE_KILLED || !(common->soft_bytes || common->hard_bytes))
		return;
	place->rss_bytes = process_resident_bytes(place->process.pid);
	if (place->ready_us && place->soft_bytes && place->rss_bytes >= place->soft_bytes) /* before: place_check_soft */
		place_above_soft(place);
	if (common->hard_bytes && place->rss_bytes >= common->hard_bytes)
		place_above_hard(place);
	else
		place->is_swollen = false;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	static void (*const moves[])(struct place * place) = {
		[PLACE_WAITING] = place_start,
		[PLACE_STARTING] = place_refuse,
		[PLACE_READY] = place_ttl_over,
		[PLACE_RETIRING] = place_lingers,
		[PLACE_ENDING] = place_kill,
	};
	struct place *place = ctx;

	(void)fd;
	(void)what;
	moves[place->state](place);
}

static bool is_out_of_memory(const struct place *place)
{
	int status = place->process.status;

	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && cgroup_is_out_of_memory(&place->cgroup);
}

/* Why the process that has ended did so. */
static enum pool_exit place_judge(const struct place *place)
{
	bool was_renewed = place->state == PLACE_RETIRING && place->process.status == 0;

	if (place_is_ending(place) || was_renewed)
		return place->why;
	if (place->common->is_stopping)
		return POOL_EXIT_STOP;
	if (is_out_of_memory(place))
		return POOL_EXIT_OOM;
	return WIFSIGNALED(place->process.status) ? POOL_EXIT_SIGNAL : POOL_EXIT_EXIT;
}

/* Counts those who went, or had to be ended, soon after they were ready, or before, and not of a message. */
static void place_count_row(struct place *place, enum pool_exit why, bool was_working)
{
	struct place_common *common = place->common;
	bool was_well = place->ready_us && clock_now_us() - place->ready_us >= common->short_life_us;

	if (was_well || pool_exit_is_renewal(why))
		common->n_short = 0;
	else if (!was_working && why != POOL_EXIT_STOP)
		common->n_short++;
	if (common->n_short == PLACE_CRASH_LOOP && !common->is_stopping)
		log_say(LOG_ERROR, common->name, "is in a crash loop: %s, and %d short lives in a row; restarts wait",
			common->trouble, PLACE_CRASH_LOOP);
}

/* How long to wait after a life of that length, which counts as a failure or not. */
static int64_t place_delay(struct place *place, enum pool_exit why, int64_t lived_us, bool is_failure)
{
	const struct place_common *common = place->common;

	if (pool_exit_is_renewal(why)) {
		place->n_short = 0;
		return 0;
	}
	if (lived_us >= common->long_life_us || (!is_failure && lived_us >= common->short_life_us))
		place->n_short = 0;
	return !is_failure && lived_us >= common->short_life_us ? 0 : place_back_off(place);
}

static void place_say_end(const struct place *place, int64_t lived_us, int64_t delay_us, bool is_failure)
{
	enum log_level level = is_failure ? LOG_WARN : LOG_INFO;
	char how[256], status[64];

	process_describe(place->process.status, status, sizeof(status));
	if (process_failure(&place->process, &place->common->plan, how, sizeof(how)))
		level = LOG_ERROR;
	else
		snprintf(how, sizeof(how), "ends with %s", status);
	const struct log_fact facts[] = {
		log_number("pid", place->process.pid),
		log_number("lived_ms", lived_us / 1000),
		delay_us == CLOCK_NEVER ? (struct log_fact){.kind = LOG_NOTHING} : log_number("restart_ms", delay_us / 1000),
	};

	log_tell(level, place->who, how, facts, sizeof(facts) / sizeof(facts[0]));
}

static void place_exited(struct place *place)
{
	struct place_common *common = place->common;
	pid_t pid = place->process.pid;
	int status = place->process.status;
	int64_t lived_us = clock_now_us() - place->started_us;
	enum pool_exit why = place_judge(place);
	bool is_failure = why == POOL_EXIT_START || (status != 0 && !place_is_ending(place));

	output_close(&place->out); /* its last words come before those about it */
	output_close(&place->err);
	place_enter(place, PLACE_EMPTY, CLOCK_NEVER);
	common->n_exits[why]++;
	if (why == POOL_EXIT_OOM)
		common->swollen(common, place); /* so what it ran is charged for its memory */

	bool was_working = common->exited(common, place, pid, status);

	place_count_row(place, why, was_working);

	bool is_filled = !common->is_stopping && common->is_wanted(common);
	int64_t delay_us = is_filled ? place_delay(place, why, lived_us, is_failure) : CLOCK_NEVER;

	place_say_end(place, lived_us, delay_us, is_failure);
	place_clear(place);
	if (is_filled)
		place_enter(place, PLACE_WAITING, delay_us);
	common->changed(common);
}

static void on_exited(evutil_socket_t fd, short what, void *ctx)
{
	struct place *place = ctx;

	(void)fd;
	(void)what;
	if (process_collect(&place->process))
		place_exited(place);
}

void place_cancel(struct place *place)
{
	if (!place_has_process(place))
		place_enter(place, PLACE_EMPTY, CLOCK_NEVER);
}

void place_init(struct place *place, struct place_common *common, uint32_t number)
{
	place->common = common;
	place->number = number;
	place->out.fd = place->err.fd = -1;
	place->timer = evtimer_new(common->base, on_timer, place);
	snprintf(place->who, sizeof(place->who), "worker %s/%" PRIu32, common->name, number);
}

void place_done(struct place *place)
{
	event_free(place->timer);
}
