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

enum {
	CRASH_LOOP = 5, /* short lives in a row that make one */
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
}

void place_destroy(struct place *place, int timeout_ms)
{
	process_signal(&place->process, SIGKILL);
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

	int err = process_spawn(&place->process, &common->plan);

	if (err)
		return err;
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
	return (int64_t)vary((uint64_t)(delay_us < common->backoff_max_us ? delay_us : common->backoff_max_us));
}

void place_start(struct place *place)
{
	const struct place_common *common = place->common;
	int err = place_spawn(place);

	if (err) {
		int64_t delay_us = place_back_off(place);

		log_say(LOG_ERROR, place->who, "cannot be started: %s; tries again restart_ms=%" PRId64, strerror(-err),
			delay_us / 1000);
		place_enter(place, PLACE_WAITING, delay_us);
		return;
	}
	place->started_us = clock_now_us();
	place->ttl_us = (int64_t)vary((uint64_t)common->ttl_us);
	place->n_jobs = vary(common->max_jobs);
	place->is_refused = false;
	log_say(LOG_INFO, place->who, "starts pid=%d", (int)place->process.pid);
	place_enter(place, PLACE_STARTING, common->allocate_timeout_us ? common->allocate_timeout_us : CLOCK_NEVER);
}

void place_ready(struct place *place)
{
	int64_t left_us = CLOCK_NEVER;

	if (place->state != PLACE_STARTING)
		return;
	if (place->ttl_us > 0)
		left_us = place->started_us + place->ttl_us - clock_now_us();
	place_enter(place, PLACE_READY, left_us > 0 ? left_us : 0);
}

/* ---- end ---- */

bool place_is_ending(const struct place *place)
{
	return place->state == PLACE_ENDING || place->state == PLACE_KILLED;
}

void place_end(struct place *place)
{
	if (!place_has_process(place) || place_is_ending(place))
		return;
	process_signal(&place->process, SIGTERM);
	process_signal(&place->process, SIGCONT); /* a stopped process does not see the SIGTERM otherwise */
	place_enter(place, PLACE_ENDING, place->common->destroy_timeout_us);
}

static void place_kill(struct place *place)
{
	log_say(LOG_WARN, place->who, "does not end after SIGTERM, gets SIGKILL pid=%d", (int)place->process.pid);
	process_signal(&place->process, SIGKILL);
	place_enter(place, PLACE_KILLED, CLOCK_NEVER);
}

static void place_refuse(struct place *place)
{
	log_say(LOG_ERROR, place->who, "is not ready in time, is ended pid=%d allocate_timeout_ms=%" PRId64,
		(int)place->process.pid, place->common->allocate_timeout_us / 1000);
	place->is_refused = true;
	place_end(place);
}

void place_retire(struct place *place, const char *reason)
{
	log_say(LOG_INFO, place->who, "is to leave: %s pid=%d", reason, (int)place->process.pid);
	place_enter(place, PLACE_RETIRING, CLOCK_NEVER);
	place->common->retire(place->common, place, reason);
}

static void place_expire(struct place *place)
{
	place_retire(place, "its ttl is over");
}

void place_has_settled(struct place *place, uint64_t n_messages)
{
	if (place->state == PLACE_READY && place->n_jobs && n_messages >= place->n_jobs)
		place_retire(place, "its max_jobs are done");
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	static void (*const moves[])(struct place * place) = {
		[PLACE_WAITING] = place_start,
		[PLACE_STARTING] = place_refuse,
		[PLACE_READY] = place_expire,
		[PLACE_ENDING] = place_kill,
	};
	struct place *place = ctx;

	(void)fd;
	(void)what;
	moves[place->state](place);
}

/* How long to wait after a life of that length, which counts as a failure or not. */
static int64_t place_delay(struct place *place, int64_t lived_us, bool is_failure)
{
	const struct place_common *common = place->common;

	if (lived_us >= common->long_life_us || (!is_failure && lived_us >= common->short_life_us))
		place->n_short = 0;
	return !is_failure && lived_us >= common->short_life_us ? 0 : place_back_off(place);
}

static void place_say_end(const struct place *place, int64_t lived_us, int64_t delay_us, bool is_failure)
{
	enum log_level level = is_failure ? LOG_WARN : LOG_INFO;
	char how[256], status[64], next[64] = "";

	process_describe(place->process.status, status, sizeof(status));
	if (process_failure(&place->process, &place->common->plan, how, sizeof(how)))
		level = LOG_ERROR;
	else
		snprintf(how, sizeof(how), "ends with %s", status);
	if (delay_us != CLOCK_NEVER)
		snprintf(next, sizeof(next), " restart_ms=%" PRId64, delay_us / 1000);
	log_say(level, place->who, "%s pid=%d lived_ms=%" PRId64 "%s", how, (int)place->process.pid, lived_us / 1000, next);
	if (place->n_short == CRASH_LOOP && !place->common->is_stopping)
		log_say(LOG_ERROR, place->who, "is in a crash loop: %s, and %d short lives in a row", status, CRASH_LOOP);
}

static void place_exited(struct place *place)
{
	struct place_common *common = place->common;
	pid_t pid = place->process.pid;
	int status = place->process.status;
	int64_t lived_us = clock_now_us() - place->started_us;
	bool is_failure = place->is_refused || (status != 0 && !place_is_ending(place));
	int64_t delay_us = common->is_stopping ? CLOCK_NEVER : place_delay(place, lived_us, is_failure);

	output_close(&place->out); /* its last words come before those about it */
	output_close(&place->err);
	place_say_end(place, lived_us, delay_us, is_failure);
	place_clear(place);
	place_enter(place, common->is_stopping ? PLACE_EMPTY : PLACE_WAITING, delay_us);
	common->exited(common, place, pid, status);
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
