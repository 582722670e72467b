/* SPDX-License-Identifier: MIT */
/* Tests of measuring a consumer whose workers are renewed meanwhile. */
#include "measure.h"
#include "tally.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIVES = 6, MESSAGES_EACH = 8, MESSAGE_MS = 20, MANY = 300 };

static void burn(int ms)
{
	clock_t end = clock() + (clock_t)ms * (CLOCKS_PER_SEC / 1000);

	while (clock() < end)
		;
}

/* One worker's life. */
static void work(int n_messages, int ms)
{
	struct tally tally;

	if (tally_open(&tally))
		_exit(1);
	for (int i = 0; i < n_messages; i++) {
		burn(ms);
		tally_add(&tally, 1);
	}
	_exit(0);
}

/* A pool of one worker that is renewed again and again, until it is killed. */
static pid_t pool_start(int n_lives, int n_messages, int ms)
{
	pid_t pool = fork();

	if (pool != 0)
		return pool;
	for (int life = 0; life < n_lives; life++) {
		pid_t worker = fork();

		if (worker == 0)
			work(n_messages, ms);
		waitpid(worker, NULL, 0);
	}
	for (;;)
		pause();
}

static void measure_pool(int n_lives, int n_messages, int ms, struct measure_result *ret_result)
{
	static struct measure measure;
	char directory[] = "/tmp/measure_test.XXXXXX";
	const struct measure_plan plan = {
		.every = 1, .n_messages = (uint64_t)(n_lives * n_messages), .n_workers = 1, .trial = ""};

	assert_non_null(mkdtemp(directory));
	assert_int_equal(measure_open(&measure, directory, &plan), 0);

	int64_t started_ns = tally_now_ns();
	pid_t pool = pool_start(n_lives, n_messages, ms);
	int err = measure_wait_first(&measure, pool, started_ns);

	if (!err)
		err = measure_wait(&measure, ret_result);
	measure_close(&measure);
	kill(pool, SIGKILL);
	waitpid(pool, NULL, 0);
	rmdir(directory);
	assert_int_equal(err, 0);
}

static void test_what_workers_used_stays_when_they_are_gone(void **state)
{
	static struct measure_result result;

	(void)state;
	measure_pool(LIVES, MESSAGES_EACH, MESSAGE_MS, &result);
	double all_s = LIVES * MESSAGES_EACH * MESSAGE_MS / 1e3;

	assert_true(result.workers.cpu_s > all_s * 0.4 && result.workers.cpu_s < all_s * 1.5);
	assert_true(result.workers.peak_bytes > 0);
	assert_int_equal(result.n_workers, 1);
	for (size_t i = 0; i < result.n_each; i++)
		assert_true(result.each[i].cpu_s >= 0);
	measure_result_done(&result);
}

static void test_more_lives_than_places_are_counted(void **state)
{
	static struct measure_result result;

	(void)state;
	measure_pool(MANY, 2, 0, &result);
	assert_int_equal(result.n_messages, 2 * MANY - 1); /* the first one begins the measuring */
	assert_true(result.n_each < MEASURE_MAX_COUNTERS);
	measure_result_done(&result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_workers_used_stays_when_they_are_gone),
		cmocka_unit_test(test_more_lives_than_places_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
