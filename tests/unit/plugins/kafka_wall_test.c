/* SPDX-License-Identifier: MIT */
/* The time of day is set back under a member that has nothing to do. Its clock stands in the executable, so that it is
 * found before the C library's; who sleeps until a time of day sleeps as the kernel lets one: until it is that time. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "rig.h"

#define SEEN __attribute__((visibility("default")))
#define JOIN_MS 60000
#define SESSION_MS 3000
#define STEP_S 3600
#define LOOK_NS 20000000

static const struct qb_plugin *plugin;
static _Atomic int64_t ahead_s;
static _Atomic unsigned n_caught; /* sleeps over which the clock was set back */

static int64_t ns_of(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static struct timespec time_of(int64_t ns)
{
	return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

SEEN int clock_gettime(clockid_t clock, struct timespec *ret)
{
	long status = syscall(SYS_clock_gettime, clock, ret);

	if (!status && clock == CLOCK_REALTIME)
		ret->tv_sec += atomic_load(&ahead_s);
	return (int)status;
}

SEEN int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*ret = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
	return 0;
}

SEEN int timespec_get(struct timespec *ret, int base)
{
	clock_gettime(CLOCK_REALTIME, ret);
	return base;
}

/* A short sleep by the true time of day: pthread_cond_clockwait is what a cnd_t has below it. */
static int nap(cnd_t *condition, mtx_t *mutex, int64_t ns)
{
	struct timespec now, until;

	clock_gettime(CLOCK_MONOTONIC, &now);
	until = time_of(ns_of(&now) + ns);
	return pthread_cond_clockwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, CLOCK_MONOTONIC, &until);
}

SEEN int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until)
{
	int64_t begin_s = atomic_load(&ahead_s);

	for (bool is_caught = false;;) {
		struct timespec now;
		int64_t left;
		int status;

		clock_gettime(CLOCK_REALTIME, &now);
		left = ns_of(until) - ns_of(&now);
		if (left <= 0)
			return thrd_timedout;
		if (!is_caught && atomic_load(&ahead_s) < begin_s)
			atomic_fetch_add(&n_caught, is_caught = true);
		status = nap(condition, mutex, left < LOOK_NS ? left : LOOK_NS);
		if (status != ETIMEDOUT)
			return status ? thrd_error : thrd_success;
	}
}

static void a_clock_that_is_set_back_stops_no_heartbeat(void **state)
{
	struct rig *rig = rig_new(plugin, "bootstrap_servers", "embedded", "embedded.topics", "idle:1", "topics", "idle",
		"group_id", "idle", "session_timeout", "3s", "properties", "heartbeat.interval.ms=200", "max_poll_interval",
		"30s", NULL);
	int64_t end_ms;

	(void)state;
	assert_int_equal(rig_open(rig), QB_OK);
	RIG_WAIT(rig, rig_open_lanes(rig) == 1 && plugin->is_current(rig->source), JOIN_MS);
	atomic_fetch_sub(&ahead_s, STEP_S);
	for (end_ms = rig_now_ms() + 2 * SESSION_MS; rig_now_ms() < end_ms;)
		rig_poll(rig, 100);
	if (!atomic_load(&n_caught)) {
		rig_free(rig);
		skip(); /* this library does not sleep by the time of day */
	}
	assert_true(plugin->is_current(rig->source));
	assert_int_equal(rig->n_lanes, 1);
	assert_int_equal(rig_open_lanes(rig), 1);
	rig_free(rig);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(a_clock_that_is_set_back_stops_no_heartbeat)};

	plugin = rig_load(QBUS_TEST_PLUGIN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
