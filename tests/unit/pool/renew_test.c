/* SPDX-License-Identifier: MIT */
/* A pool renews its workers without ever having fewer that are ready, and ends those that take too much memory. */
#include "pool/pool.h"

#include "base/clock.h"
#include "pool/process.h"
#include "pool/strays.h"
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MS = 1000 };
#define MIB (UINT64_C(1) << 20)

/* What happened so far. */
static struct {
	struct pool *pool;
	uint32_t n_exited, n_retired, n_swollen;
	uint32_t retired; /* the last that was asked */
	uint32_t n_least; /* ready at any such moment */
	char reason[64];
	bool has_nobody_to_ask, dies_working;
} seen;

static bool on_exited(void *ctx, uint32_t number, pid_t pid, int status)
{
	(void)ctx, (void)number, (void)pid, (void)status;
	seen.n_exited++;
	return seen.dies_working;
}

static bool on_retire(void *ctx, uint32_t number, pid_t pid, const char *reason)
{
	uint32_t n_ready = pool_n_ready(seen.pool);

	(void)ctx;
	assert_int_equal(pool_worker_pid(seen.pool, number), pid);
	snprintf(seen.reason, sizeof(seen.reason), "%s", reason);
	seen.n_least = n_ready < seen.n_least ? n_ready : seen.n_least;
	seen.n_retired++;
	seen.retired = number;
	return !seen.has_nobody_to_ask;
}

static void on_swollen(void *ctx, uint32_t number, pid_t pid)
{
	(void)ctx;
	assert_int_equal(pool_worker_pid(seen.pool, number), pid);
	seen.n_swollen++;
}

static const struct pool_ops ops = {.exited = on_exited, .retire = on_retire, .swollen = on_swollen};

static struct pool_conf conf_of(const char *const *argv)
{
	static const char *const inherited[] = {"PATH=/usr/bin:/bin", NULL};

	return (struct pool_conf){
		.name = "php",
		.socket = "/run/qbus.sock",
		.argv = argv,
		.num_workers = 1,
		.inherited = inherited,
		.destroy_timeout_us = 5000 * MS,
		.backoff_initial_us = 10 * MS,
		.backoff_max_us = 40 * MS,
	};
}

static const char *const sleeper[] = {"sleep", "1000", NULL};
/* Its first process takes 40 MB and says so. */
static const char *const hoarder[] = {
	"perl", "-e", "$|=1; $x = 'x' x ($ENV{QBUS_START} == 1 ? 40e6 : 1); print \"full\\n\"; sleep 1000", NULL};

/* Takes them when it gets SIGUSR1, for which it waits. */
static const char *const grower[] = {"perl", "-e",
	"$|=1; $SIG{USR1} = sub { $x = 'x' x ($$ * 0 + 40e6) }; print \"waits\\n\"; sleep 1000 while 1", NULL};

static struct pool *start(struct rig *rig, const struct pool_conf *conf)
{
	memset(&seen, 0, sizeof(seen));
	seen.n_least = UINT32_MAX;
	assert_int_equal(pool_new(conf, rig->base, &ops, NULL, &seen.pool), 0);
	pool_start(seen.pool);
	return seen.pool;
}

static bool is_stopped(void *ctx)
{
	return pool_is_stopped(ctx);
}

static bool has_retired(void *ctx)
{
	return seen.n_retired >= *(uint32_t *)ctx;
}

static bool has_exited(void *ctx)
{
	return seen.n_exited >= *(uint32_t *)ctx;
}

static void until(struct rig *rig, bool (*done)(void *ctx), uint32_t n)
{
	rig_until(rig, done, &n);
}

static void stop(struct rig *rig)
{
	pool_stop(seen.pool);
	rig_until(rig, is_stopped, seen.pool);
	pool_free(seen.pool);
}

static void a_worker_whose_time_is_over_leaves_when_its_successor_is_there(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(sleeper);

	conf.ttl_us = 50 * MS;

	struct pool *pool = start(rig, &conf);

	rig_for(rig, 60 * MS); /* before it is ready nobody is asked */
	assert_int_equal(pool_n_alive(pool), 1);
	pool_worker_ready(pool, 1);
	rig_until_said(rig, "worker php/2: starts", 1);
	assert_int_equal(seen.n_retired, 0);
	assert_int_equal(pool_n_ready(pool), 1);
	pool_worker_ready(pool, 2);
	until(rig, has_retired, 1);
	assert_int_equal(seen.retired, 1);
	assert_string_equal(seen.reason, "its ttl is over");
	assert_int_equal(pool_n_ready(pool), 1);
	kill(pool_worker_pid(pool, 1), SIGTERM);
	until(rig, has_exited, 1);
	stop(rig);
}

static void a_worker_whose_jobs_are_done_is_asked_to_leave_once(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(sleeper);

	conf.max_jobs = 100;

	struct pool *pool = start(rig, &conf);

	pool_worker_ready(pool, 1);
	pool_worker_report(pool, 1, 79, true);
	rig_for(rig, 20 * MS);
	assert_int_equal(pool_n_alive(pool), 1);
	pool_worker_report(pool, 1, 100, true);
	pool_worker_report(pool, 1, 200, true);
	rig_until_said(rig, "worker php/2: starts", 1);
	pool_worker_ready(pool, 2);
	until(rig, has_retired, 1);
	rig_for(rig, 20 * MS);
	assert_int_equal(seen.n_retired, 1);
	assert_string_equal(seen.reason, "its max_jobs are done");
	stop(rig);
}

static void only_who_has_no_work_is_renewed_for_that(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(sleeper);

	conf.idle_ttl_us = 500 * MS;

	struct pool *pool = start(rig, &conf);

	pool_worker_ready(pool, 1);
	pool_worker_report(pool, 1, 1, true);
	rig_for(rig, 510 * MS);
	pool_worker_report(pool, 1, 2, true); /* works on */

	int64_t idle_us = clock_now_us();

	pool_worker_report(pool, 1, 3, false); /* now it has nothing */
	rig_for(rig, 10 * MS);

	size_t n_alive = pool_n_alive(pool);

	if (clock_now_us() - idle_us < conf.idle_ttl_us) /* the machine has not stood still meanwhile */
		assert_int_equal(n_alive, 1);
	rig_for(rig, 500 * MS);
	pool_worker_report(pool, 1, 3, false);
	rig_until_said(rig, "worker php/2: starts", 1);
	pool_worker_ready(pool, 2);
	until(rig, has_retired, 1);
	assert_string_equal(seen.reason, "its idle_ttl is over");
	stop(rig);
}

/* All are due at once; never are fewer ready than wanted, never are more than the spare places filled. */
static void all_are_renewed_a_few_at_a_time(void **state)
{
	enum { WORKERS = 8, SPARES = 2 };
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(sleeper);

	conf.num_workers = WORKERS;

	struct pool *pool = start(rig, &conf);

	seen.has_nobody_to_ask = true; /* so they get SIGTERM */
	for (uint32_t i = 1; i <= WORKERS; i++)
		pool_worker_ready(pool, i);
	assert_int_equal(pool_reset(pool), WORKERS);
	for (uint32_t n = 0; n < WORKERS; n = seen.n_exited) {
		rig_until_said(rig, ": starts", WORKERS + n + 1);
		assert_true(pool_n_alive(pool) <= WORKERS + SPARES);
		for (uint32_t i = 1; i <= WORKERS + SPARES; i++)
			pool_worker_ready(pool, i); /* those that are ready already do not care */
		until(rig, has_exited, n + 1);
	}
	assert_int_equal(pool_n_exits(pool, POOL_EXIT_RESET), WORKERS);
	assert_true(seen.n_least >= WORKERS);
	rig_for(rig, 50 * MS);
	assert_int_equal(pool_n_alive(pool), WORKERS);
	assert_false(pool_is_crash_looping(pool));
	stop(rig);
}

static void who_dies_while_its_successor_starts_is_not_replaced_twice(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(sleeper);
	struct pool *pool = start(rig, &conf);

	pool_worker_ready(pool, 1);
	pool_worker_renew(pool, 1, POOL_EXIT_BREAKS, "its calls were broken");
	rig_until_said(rig, "worker php/2: starts", 1);
	kill(pool_worker_pid(pool, 1), SIGKILL);
	until(rig, has_exited, 1);
	pool_worker_ready(pool, 2);
	rig_for(rig, 100 * MS);
	assert_int_equal(pool_n_alive(pool), 1);
	assert_int_equal(seen.n_retired, 0);
	assert_int_equal(pool_n_exits(pool, POOL_EXIT_SIGNAL), 1);
	stop(rig);
}

static void who_was_asked_and_lost_its_connection_is_ended_in_time(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(sleeper);

	conf.destroy_timeout_us = 30 * MS;

	struct pool *pool = start(rig, &conf);

	pool_worker_ready(pool, 1);
	pool_worker_renew(pool, 1, POOL_EXIT_TTL, "its ttl is over");
	rig_until_said(rig, "worker php/2: starts", 1);
	pool_worker_ready(pool, 2);
	until(rig, has_retired, 1);
	rig_for(rig, 60 * MS);
	assert_int_equal(seen.n_exited, 0); /* it may work for as long as its deadlines let it */
	pool_worker_left(pool, 1);
	until(rig, has_exited, 1);
	assert_int_equal(pool_n_exits(pool, POOL_EXIT_TTL), 1);
	stop(rig);
}

static void above_the_soft_limit_a_worker_is_renewed(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(grower);

	conf.soft_bytes = 20 * MIB;
	conf.hard_bytes = 1024 * MIB;

	struct pool *pool = start(rig, &conf);

	rig_until_said(rig, "php/1: waits", 1);
	pool_worker_ready(pool, 1);
	kill(pool_worker_pid(pool, 1), SIGUSR1);
	rig_until_said(rig, "worker php/2: starts", 1);
	assert_int_equal(seen.n_retired, 0);
	pool_worker_ready(pool, 2);
	until(rig, has_retired, 1);
	assert_string_equal(seen.reason, "it takes more than max_worker_memory.soft");
	assert_int_equal(seen.n_swollen, 0);
	stop(rig);
}

static void half_way_to_the_hard_limit_it_leaves_at_once(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(grower);

	conf.soft_bytes = 20 * MIB;
	conf.hard_bytes = 50 * MIB;

	struct pool *pool = start(rig, &conf);

	rig_until_said(rig, "php/1: waits", 1);
	pool_worker_ready(pool, 1);
	kill(pool_worker_pid(pool, 1), SIGUSR1);
	until(rig, has_retired, 1);
	assert_int_equal(pool_n_ready(pool), 0);
	rig_until_said(rig, "worker php/2: starts", 1);
	stop(rig);
}

static void who_is_above_the_soft_limit_from_the_start_is_kept(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(hoarder);

	conf.soft_bytes = 20 * MIB;

	struct pool *pool = start(rig, &conf);

	rig_until_said(rig, "php/1: full", 1);
	rig_for(rig, 400 * MS); /* it is looked at before it is ready */
	pool_worker_ready(pool, 1);
	rig_until_said(rig, "takes more than max_worker_memory.soft from the start", 1);
	rig_for(rig, 400 * MS);
	assert_int_equal(pool_n_starts(pool), 1);
	stop(rig);
}

static void above_the_hard_limit_it_is_told_and_then_killed(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(hoarder);

	conf.hard_bytes = 30 * MIB;

	struct pool *pool = start(rig, &conf);

	pool_worker_ready(pool, 1);
	until(rig, has_exited, 1);
	assert_int_equal(seen.n_swollen, 2); /* at both looks */
	assert_int_equal(pool_n_exits(pool, POOL_EXIT_MEMORY_HARD), 1);
	rig_until_said(rig, "takes more than max_worker_memory.hard, gets SIGKILL", 1);
	rig_until_said(rig, "worker php/1: starts", 2);
	stop(rig);
}

static void far_above_the_hard_limit_it_is_killed_at_once(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(hoarder);

	conf.hard_bytes = 15 * MIB;

	struct pool *pool = start(rig, &conf);

	rig_until_said(rig, "php/1: full", 1);
	until(rig, has_exited, 1);
	assert_true(seen.n_swollen >= 1);
	assert_int_equal(pool_n_exits(pool, POOL_EXIT_MEMORY_HARD), 1);
	stop(rig);
}

static bool is_in_loop(void *ctx)
{
	return pool_is_crash_looping(ctx);
}

static bool is_out_of_loop(void *ctx)
{
	return !pool_is_crash_looping(ctx);
}

static void a_crash_loop_ends_when_somebody_lives(void **state)
{
	static const char *const dying[] = {"sh", "-c", "[ $QBUS_START -gt 12 ] && exec sleep 1000; exit 1", NULL};
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(dying);

	conf.num_workers = 3;
	conf.short_life_us = 1000 * MS; /* the shell is quicker, also on a busy machine */

	struct pool *pool = start(rig, &conf);

	rig_until(rig, is_in_loop, pool);
	rig_until_said(rig, ": starts", 15);
	for (uint32_t i = 1; i <= 3; i++)
		pool_worker_ready(pool, i);
	rig_until(rig, is_out_of_loop, pool);
	assert_int_equal(rig_n_said(rig, "error php: is in a crash loop"), 1);
	assert_int_equal(rig_n_said(rig, "info  php: is out of its crash loop"), 1);
	stop(rig);
}

static void workers_that_die_of_messages_are_no_crash_loop(void **state)
{
	static const char *const dying[] = {"sh", "-c", "exit 1", NULL};
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(dying);

	conf.num_workers = 3;
	conf.backoff_initial_us = conf.backoff_max_us = MS;

	struct pool *pool = start(rig, &conf);

	seen.dies_working = true;
	until(rig, has_exited, 15);
	assert_false(pool_is_crash_looping(pool));
	stop(rig);
}

static void each_worker_has_an_ipc_namespace_of_its_own_where_that_is_allowed(void **state)
{
	static const char *const showing[] = {"sh", "-c", "echo ipc=$(readlink /proc/self/ns/ipc); exec sleep 1000", NULL};
	struct rig *rig = *state;
	struct pool_conf conf = conf_of(showing);
	char own[64] = "", line[96];

	if (geteuid() != 0)
		skip();
	assert_true(readlink("/proc/self/ns/ipc", own, sizeof(own) - 1) > 0);
	snprintf(line, sizeof(line), "ipc=%s", own);
	conf.has_private_ipc = true;
	start(rig, &conf);
	rig_until_said(rig, "ipc=ipc:[", 1);
	assert_int_equal(rig_n_said(rig, line), 0);
	stop(rig);
	conf.has_private_ipc = false;
	start(rig, &conf);
	rig_until_said(rig, line, 1);
	stop(rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_worker_whose_time_is_over_leaves_when_its_successor_is_there),
		TEST(a_worker_whose_jobs_are_done_is_asked_to_leave_once),
		TEST(only_who_has_no_work_is_renewed_for_that),
		TEST(all_are_renewed_a_few_at_a_time),
		TEST(who_dies_while_its_successor_starts_is_not_replaced_twice),
		TEST(who_was_asked_and_lost_its_connection_is_ended_in_time),
		TEST(above_the_soft_limit_a_worker_is_renewed),
		TEST(half_way_to_the_hard_limit_it_leaves_at_once),
		TEST(who_is_above_the_soft_limit_from_the_start_is_kept),
		TEST(above_the_hard_limit_it_is_told_and_then_killed),
		TEST(far_above_the_hard_limit_it_is_killed_at_once),
		TEST(a_crash_loop_ends_when_somebody_lives),
		TEST(workers_that_die_of_messages_are_no_crash_loop),
		TEST(each_worker_has_an_ipc_namespace_of_its_own_where_that_is_allowed),
	};

	if (!rig_has_pidfds())
		return RIG_LEFT_OUT;
	strays_adopt();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
