/* SPDX-License-Identifier: MIT */
/* A pool keeps its workers alive, replaces them not too fast, and ends them all. */
#include "pool/pool.h"

#include "base/clock.h"
#include "pool/strays.h"
#include "rig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MS = 1000 };

/* What happened so far. */
static struct {
	struct pool *pool;
	uint32_t n_exited, n_stopped;
	int status; /* of the last that exited */
} seen;

static bool on_exited(void *ctx, uint32_t number, pid_t pid, int status)
{
	(void)ctx;
	assert_true(number >= 1);
	assert_int_equal(pool_worker_pid(seen.pool, number), 0);
	assert_int_equal(kill(pid, 0), -1); /* reaped */
	seen.status = status;
	seen.n_exited++;
	return false;
}

static void on_stopped(void *ctx)
{
	(void)ctx;
	assert_true(pool_is_stopped(seen.pool));
	seen.n_stopped++;
}

static const struct pool_ops ops = {.exited = on_exited, .stopped = on_stopped};

static const char *argv[] = {"sh", "-c", NULL, NULL};
static const char *const inherited[] = {"PATH=/usr/bin:/bin", "KEPT=kept", "SECRET=hush", NULL};
static const char *const hidden[] = {"SECRET", NULL};
static const struct pool_variable variables[] = {{"SET", "by the file"}, {"QBUS_POOL", "forged"}};

static struct pool_conf conf_of(const char *script)
{
	argv[2] = script;
	return (struct pool_conf){
		.name = "php",
		.socket = "/run/qbus.sock",
		.argv = argv,
		.num_workers = 1,
		.inherited = inherited,
		.hidden = hidden,
		.environment = variables,
		.n_environment = 2,
		.destroy_timeout_us = 5000 * MS,
		.backoff_initial_us = 10 * MS,
		.backoff_max_us = 40 * MS,
	};
}

static struct pool *start(struct rig *rig, const struct pool_conf *conf)
{
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(pool_new(conf, rig->base, &ops, NULL, &seen.pool), 0);
	assert_int_equal(pool_n_alive(seen.pool), 0);
	pool_start(seen.pool);
	return seen.pool;
}

static bool is_stopped(void *ctx)
{
	return pool_is_stopped(ctx);
}

static bool has_exited(void *ctx)
{
	(void)ctx;
	return seen.n_exited > 0;
}

static bool is_gone(void *ctx)
{
	strays_reap();
	return !rig_is_running(*(pid_t *)ctx);
}

static bool has_no_children(void *ctx)
{
	(void)ctx;
	strays_reap();
	return rig_n_children() == 0;
}

static void stop(struct rig *rig)
{
	pool_stop(seen.pool);
	rig_until(rig, is_stopped, seen.pool);
	assert_int_equal(seen.n_stopped, 1);
	assert_int_equal(pool_n_alive(seen.pool), 0);
	pool_free(seen.pool);
	rig_until(rig, has_no_children, NULL);
}

static void all_workers_run_each_with_its_number(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("echo $QBUS_WORKER $QBUS_POOL $QBUS_SOCKET $KEPT $SET [$SECRET]; exec sleep 1000");

	conf.num_workers = 3;

	struct pool *pool = start(rig, &conf);

	assert_int_equal(pool_n_alive(pool), 3);
	assert_int_equal(pool_n_starts(pool), 3);
	rig_until_said(rig, "worker php/1: 1 php /run/qbus.sock kept by the file []\n", 1);
	rig_until_said(rig, "worker php/2: 2 php /run/qbus.sock kept by the file []\n", 1);
	rig_until_said(rig, "worker php/3: 3 php /run/qbus.sock kept by the file []\n", 1);
	assert_int_equal(pool_n_ready(pool), 0);
	pool_worker_ready(pool, 2);
	assert_int_equal(pool_n_ready(pool), 1);
	stop(rig);
	assert_int_equal(seen.n_exited, 3);
}

static void who_dies_is_replaced_and_its_end_told_in_words(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("echo last words >&2; if [ $QBUS_START = 1 ]; then exit 255; fi; kill -SEGV $$");

	start(rig, &conf);
	rig_until_said(rig, "warn  worker php/1: ends with exit 255 pid=", 1);
	rig_until_said(rig, "warn  worker php/1: ends with signal SIGSEGV pid=", 1);
	assert_true(strstr(rig_log(rig), "last words") < strstr(rig_log(rig), "ends with"));
	stop(rig);
}

static void the_wait_doubles_up_to_its_limit_and_a_crash_loop_is_named_once(void **state)
{
	static const long longest[] = {10, 20, 40, 40, 40, 40};
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("exit 1");
	int64_t begin_us = clock_now_us();

	start(rig, &conf);
	rig_until_said(rig, "restart_ms=", 6);
	/* Five waits were over: each at least four fifths of what is due. */
	assert_true(clock_now_us() - begin_us >= (10 + 20 + 40 + 40) * MS * 4 / 5 + 20 * MS);
	for (size_t i = 0; i < 6; i++)
		assert_in_range(rig_number(rig, "restart_ms=", i), i < 4 ? longest[i] * 4 / 5 : longest[i] / 2, longest[i]);
	assert_int_equal(rig_n_said(rig, "error php: is in a crash loop: exit 1,"), 1);
	assert_true(pool_is_crash_looping(seen.pool));
	assert_true(pool_n_exits(seen.pool, POOL_EXIT_EXIT) >= 6);
	stop(rig);
}

static void a_long_life_begins_a_new_count(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("exit 1");

	conf.long_life_us = 1;
	start(rig, &conf);
	rig_until_said(rig, "restart_ms=", 4);
	for (size_t i = 0; i < 4; i++)
		assert_in_range(rig_number(rig, "restart_ms=", i), 8, 10);
	stop(rig);
}

static void who_leaves_with_zero_is_replaced_at_once_if_it_lived_long_enough(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("exit 0");

	conf.short_life_us = 1;
	start(rig, &conf);
	rig_until_said(rig, "info  worker php/1: ends with exit 0", 5);
	assert_int_equal(rig_n_said(rig, "restart_ms=0\n"), rig_n_said(rig, "restart_ms="));
	stop(rig);
}

static void who_leaves_with_zero_too_soon_waits_as_others(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("exit 0");

	start(rig, &conf);
	rig_until_said(rig, "restart_ms=", 3);
	assert_in_range(rig_number(rig, "restart_ms=", 2), 32, 40);
	stop(rig);
}

static void stopping_ends_a_willing_worker_at_once(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("exec sleep 1000");
	int64_t begin_us = clock_now_us();

	conf.num_workers = 2;
	conf.destroy_timeout_us = 50000000; /* longer than a machine stands still */
	start(rig, &conf);
	stop(rig);
	assert_true(clock_now_us() - begin_us < conf.destroy_timeout_us);
	assert_int_equal(WTERMSIG(seen.status), SIGTERM);
	assert_int_equal(rig_n_said(rig, "SIGKILL"), 0);
}

static void who_ignores_sigterm_is_killed_after_the_destroy_timeout(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("trap '' TERM; echo here; while :; do sleep 1000; done");

	conf.destroy_timeout_us = 150 * MS;
	start(rig, &conf);
	rig_until_said(rig, "php/1: here", 1);

	int64_t begin_us = clock_now_us();

	stop(rig);
	assert_true(clock_now_us() - begin_us >= conf.destroy_timeout_us);
	assert_int_equal(WTERMSIG(seen.status), SIGKILL);
	assert_int_equal(rig_n_said(rig, "worker php/1: does not end after SIGTERM, gets SIGKILL"), 1);
}

static void a_pool_that_waits_to_restart_stops_as_well(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("exit 1");

	conf.backoff_initial_us = conf.backoff_max_us = 3600 * INT64_C(1000000);
	start(rig, &conf);
	rig_until(rig, has_exited, NULL);
	stop(rig);
	assert_int_equal(seen.n_exited, 1);
}

static void one_worker_is_killed_and_replaced_though_it_is_stopped(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("trap 'exit 7' TERM; sleep 1000 & echo here; wait");
	struct pool *pool = start(rig, &conf);

	rig_until_said(rig, "php/1: here", 1);
	kill(pool_worker_pid(pool, 1), SIGSTOP);
	pool_kill(pool, 1, POOL_EXIT_DEADLINE, "its deadline has passed");
	pool_kill(pool, 1, POOL_EXIT_DEADLINE, "again");
	rig_until_said(rig, "php/1: here", 2);
	assert_int_equal(rig_n_said(rig, "worker php/1: is ended: its deadline has passed"), 1);
	assert_int_equal(rig_n_said(rig, "again"), 0);
	assert_int_equal(WEXITSTATUS(seen.status), 7); /* its own handler could run */
	stop(rig);
}

static void grandchildren_die_with_the_worker(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("(trap '' TERM; while :; do sleep 1000; done) & echo child=$!; exit 1");

	conf.backoff_initial_us = conf.backoff_max_us = 3600 * INT64_C(1000000);
	start(rig, &conf);
	rig_until(rig, has_exited, NULL);

	pid_t pid = (pid_t)rig_number(rig, "child=", 0);

	rig_until(rig, is_gone, &pid);
	stop(rig);
}

/* They have a session, a process group and a parent of their own, and one is the other's child. */
static void so_do_those_that_tried_to_get_away(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf =
		conf_of("setsid sh -c 'setsid sleep 1000 & echo inner=$!; echo outer=$$; wait' & exec sleep 1000");
	struct pool *pool = start(rig, &conf);

	rig_until_said(rig, "inner=", 1);
	rig_until_said(rig, "outer=", 1);

	pid_t inner = (pid_t)rig_number(rig, "inner=", 0), outer = (pid_t)rig_number(rig, "outer=", 0);

	assert_true(rig_is_running(inner) && rig_is_running(outer));
	kill(pool_worker_pid(pool, 1), SIGKILL);
	rig_until(rig, is_gone, &outer);
	rig_until(rig, is_gone, &inner);
	stop(rig);
}

static void a_helper_that_a_living_worker_has_let_go_may_live(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("[ $QBUS_WORKER = 2 ] && exec sleep 1000;"
									"sh -c 'setsid sleep 1000 & echo helper=$!'; exec sleep 1000");

	conf.num_workers = 2;

	struct pool *pool = start(rig, &conf);

	rig_until_said(rig, "helper=", 1);

	pid_t helper = (pid_t)rig_number(rig, "helper=", 0);

	kill(pool_worker_pid(pool, 2), SIGKILL);
	rig_until_said(rig, "worker php/2: starts", 2);
	rig_for(rig, 60 * MS);
	assert_true(rig_is_running(helper));
	stop(rig);
	assert_false(rig_is_running(helper));
}

static void a_storm_of_short_lives_leaves_no_zombie(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("exit 0");

	conf.num_workers = 4;
	conf.short_life_us = 1;
	start(rig, &conf);
	rig_until_said(rig, "ends with exit 0", 200);
	assert_true(rig_n_children() <= 4);
	stop(rig);
}

static void who_is_not_ready_in_time_is_ended_and_waits(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("exec sleep 1000");

	conf.allocate_timeout_us = 30 * MS;
	conf.num_workers = 2;
	pool_worker_ready(start(rig, &conf), 2);
	rig_until_said(rig, "error worker php/1: is not ready in time", 2);
	assert_true(rig_number(rig, "restart_ms=", 0) > 0);
	assert_int_equal(rig_n_said(rig, "worker php/2: is not ready"), 0);
	stop(rig);
}

static void a_worker_is_found_by_any_process_of_its_group(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("sleep 1000 & echo child$QBUS_WORKER=$!; wait");

	conf.num_workers = 2;

	struct pool *pool = start(rig, &conf);

	rig_until_said(rig, "child2=", 1);
	assert_int_equal(pool_find(pool, (pid_t)rig_number(rig, "child2=", 0)), 2);
	assert_int_equal(pool_find(pool, pool_worker_pid(pool, 1)), 1);
	assert_int_equal(pool_find(pool, getpid()), 0);
	assert_int_equal(pool_find(pool, 0), 0);
	assert_int_equal(pool_find(pool, -1), 0);
	stop(rig);
}

static void a_command_that_does_not_exist_is_said_and_tried_again(void **state)
{
	static const char *const missing[] = {"no-such-php", "worker.php", NULL};
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("");

	conf.argv = missing;
	start(rig, &conf);
	rig_until_said(rig, "error worker php/1: cannot execute no-such-php: No such file or directory", 2);
	stop(rig);
}

static void an_unknown_user_is_refused_with_a_sentence(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("");
	struct pool *pool = NULL;

	conf.user = "no-such-user";
	assert_int_equal(pool_new(&conf, rig->base, &ops, NULL, &pool), -ENOENT);
	assert_null(pool);
	rig_until_said(rig, "cannot run workers as user no-such-user: there is no such user", 1);
}

static void freeing_a_running_pool_kills_all(void **state)
{
	struct rig *rig = *state;
	struct pool_conf conf = conf_of("trap '' TERM; sleep 1000 & echo child=$!; wait; sleep 1000");

	conf.num_workers = 2;

	struct pool *pool = start(rig, &conf);

	rig_until_said(rig, "child=", 2);

	pid_t child = (pid_t)rig_number(rig, "child=", 1);

	pool_free(pool);
	rig_until(rig, is_gone, &child);
	pool_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_workers_run_each_with_its_number),
		TEST(who_dies_is_replaced_and_its_end_told_in_words),
		TEST(the_wait_doubles_up_to_its_limit_and_a_crash_loop_is_named_once),
		TEST(a_long_life_begins_a_new_count),
		TEST(who_leaves_with_zero_is_replaced_at_once_if_it_lived_long_enough),
		TEST(who_leaves_with_zero_too_soon_waits_as_others),
		TEST(stopping_ends_a_willing_worker_at_once),
		TEST(who_ignores_sigterm_is_killed_after_the_destroy_timeout),
		TEST(a_pool_that_waits_to_restart_stops_as_well),
		TEST(one_worker_is_killed_and_replaced_though_it_is_stopped),
		TEST(grandchildren_die_with_the_worker),
		TEST(so_do_those_that_tried_to_get_away),
		TEST(a_helper_that_a_living_worker_has_let_go_may_live),
		TEST(a_storm_of_short_lives_leaves_no_zombie),
		TEST(who_is_not_ready_in_time_is_ended_and_waits),
		TEST(a_worker_is_found_by_any_process_of_its_group),
		TEST(a_command_that_does_not_exist_is_said_and_tried_again),
		TEST(an_unknown_user_is_refused_with_a_sentence),
		TEST(freeing_a_running_pool_kills_all),
	};

	if (!rig_has_pidfds())
		return RIG_LEFT_OUT;
	strays_adopt();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
