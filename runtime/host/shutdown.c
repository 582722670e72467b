/* SPDX-License-Identifier: MIT */
/* The way down: drain, close, leave. Each step is bounded; what is not settled in time comes again from the broker. */
#include "host/runtime_inside.h"

#include "base/clock.h"
#include "base/log.h"

/* SHUTDOWN_SOURCES_US: for last commits, confirms and leaving the group. SHUTDOWN_CLOSE_US: that, and time for workers
 * to be ended (their own destroy_timeout comes on top) before the process goes without them. */
enum { SHUTDOWN_SOURCES_US = 6000000, SHUTDOWN_CLOSE_US = 10000000, SHUTDOWN_LOOK_US = 50000 };

/* How often, while it goes on, and for how long the service manager is asked to wait. */
enum { SHUTDOWN_EXTEND_US = 1000000 };
#define SHUTDOWN_EXTENSION "EXTEND_TIMEOUT_USEC=10000000"

static const char *const shutdown_step_names[] = {
	[SHUTDOWN_NOT] = "serving",
	[SHUTDOWN_DRAINING] = "draining",
	[SHUTDOWN_CLOSING] = "closing",
	[SHUTDOWN_DONE] = "done",
};

const char *shutdown_step_name(enum shutdown_step step)
{
	return shutdown_step_names[step];
}

static int64_t shutdown_longest_destroy(const struct conf *conf)
{
	int64_t longest_us = 0;
	for (size_t i = 0; i < conf->n_pools; i++)
		if (conf->pools[i].destroy_timeout_us > longest_us)
			longest_us = conf->pools[i].destroy_timeout_us;
	return longest_us;
}

static void shutdown_close(struct runtime *runtime, int64_t sources_us)
{
	runtime->step = SHUTDOWN_CLOSING;
	runtime->step_until_us = runtime->now_us + SHUTDOWN_CLOSE_US + shutdown_longest_destroy(runtime->conf);
	listener_close(runtime->listener);
	runtime->listener = NULL;
	dispatcher_close(runtime->dispatcher, sources_us, runtime->now_us);
	dispatcher_drain_workers(runtime->dispatcher, "qbus-proxy stops");
	for (size_t i = 0; i < runtime->n_pools; i++)
		pool_stop(runtime->pools[i]);
	runtime->wants_turn = true;
}

static void shutdown_drain(struct runtime *runtime, const char *why)
{
	log_say(LOG_INFO, NULL, "draining: fetching stops, running handlers finish why=%s", why);
	runtime->step = SHUTDOWN_DRAINING;
	runtime->step_until_us = runtime->now_us + runtime->conf->drain_timeout_us;
	dispatcher_stop(runtime->dispatcher);
	runtime->wants_turn = true;
}

void shutdown_begin_again(struct runtime *runtime)
{
	if (runtime->step != SHUTDOWN_NOT)
		return;
	runtime->is_again = true;
	shutdown_drain(runtime, "SIGHUP");
}

void shutdown_begin(struct runtime *runtime, const char *why)
{
	if (runtime->step == SHUTDOWN_NOT || runtime->is_again)
		notify_say(&runtime->notify, "STOPPING=1\nSTATUS=draining");
	if (runtime->step == SHUTDOWN_NOT) {
		reload_done(&runtime->reload);
		shutdown_drain(runtime, why);
	} else if (runtime->is_again) {
		log_say(LOG_INFO, NULL, "told to stop: nothing is begun anew why=%s", why);
		runtime->is_again = false;
	} else if (runtime->step == SHUTDOWN_DRAINING) {
		log_say(LOG_WARN, NULL, "told to stop again: what runs is not waited for why=%s", why);
		runtime->is_cut_short = true;
		dispatcher_hurry(runtime->dispatcher);
		shutdown_close(runtime, SHUTDOWN_SOURCES_US);
	} else if (runtime->step == SHUTDOWN_CLOSING) {
		log_say(
			LOG_WARN, NULL, "told to stop again: other members of a group may have to wait for this one why=%s", why);
		dispatcher_hurry(runtime->dispatcher);
	}
}

static bool shutdown_is_gone(const struct runtime *runtime)
{
	for (size_t i = 0; i < runtime->n_pools; i++)
		if (!pool_is_stopped(runtime->pools[i]))
			return false;
	return dispatcher_is_closed(runtime->dispatcher);
}

/* Whether the brokers have shown to have every settlement. */
static bool shutdown_is_proven(const struct runtime *runtime)
{
	uint64_t n = 0;
	for (size_t i = 0; i < dispatcher_n_pipelines(runtime->dispatcher); i++) {
		struct pipeline_counts counts;
		pipeline_count(dispatcher_pipeline_at(runtime->dispatcher, i), &counts);
		n += counts.unproven;
	}
	return n == 0;
}

/* The drain is bounded by its own configuration; a unit's TimeoutStopSec need not be kept in step with that. */
static void shutdown_extend(struct runtime *runtime)
{
	if (runtime->step == SHUTDOWN_NOT || runtime->now_us < runtime->extended_us + SHUTDOWN_EXTEND_US)
		return;
	runtime->extended_us = runtime->now_us;
	notify_say(&runtime->notify, SHUTDOWN_EXTENSION);
}

int64_t shutdown_advance(struct runtime *runtime)
{
	shutdown_extend(runtime);
	bool is_late = runtime->step != SHUTDOWN_NOT && runtime->now_us >= runtime->step_until_us;
	switch (runtime->step) {
	case SHUTDOWN_NOT:
		return CLOCK_NEVER;
	case SHUTDOWN_DRAINING:
		if (!dispatcher_is_idle(runtime->dispatcher) && !is_late)
			break;
		if (!dispatcher_is_idle(runtime->dispatcher)) {
			log_say(LOG_WARN, NULL, "drain_timeout is over: what still runs will come again");
			runtime->is_cut_short = true;
		}
		shutdown_close(runtime, SHUTDOWN_SOURCES_US);
		break;
	case SHUTDOWN_CLOSING:
		if (!shutdown_is_gone(runtime) && !is_late)
			break;
		runtime->is_cut_short |= !shutdown_is_gone(runtime) || !shutdown_is_proven(runtime);
		runtime->step = SHUTDOWN_DONE;
		break;
	case SHUTDOWN_DONE:
		break;
	}
	return runtime->now_us + SHUTDOWN_LOOK_US;
}
