/* SPDX-License-Identifier: MIT */
#include "core/growth.h"
#include "core/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S INT64_C(1000000)

enum { START = 20000000, STEPS = 2000, PER_STEP = 100 };

/* Memory at a step of 0.2 s, in each of which PER_STEP messages are handled. */
typedef int64_t course(int64_t step, uint64_t *seed);

struct told {
	int n_said;    /* how often it was said that it rises */
	int n_steady;  /* steps at which it was believed to */
	int64_t first; /* the first of these */
	double slope;  /* at the end */
};

static struct told follow(course *memory, uint64_t seed)
{
	struct growth growth = {0};
	struct told told = {.first = -1};
	for (int64_t step = 0; step < STEPS; step++) {
		uint64_t bytes = (uint64_t)(START + memory(step, &seed));
		told.n_said += growth_add(&growth, (uint64_t)step * PER_STEP, bytes, (step + 1) * S / 5);
		told.n_steady += growth.is_steady;
		if (growth.is_steady && told.first < 0)
			told.first = step;
	}
	told.slope = growth_slope(&growth);
	return told;
}

static int64_t noise(uint64_t *seed, int64_t most)
{
	return (int64_t)(retry_random(seed) % (uint64_t)(2 * most)) - most;
}

static int64_t flat(int64_t step, uint64_t *seed)
{
	(void)step;
	(void)seed;
	return 0;
}

static int64_t noisy(int64_t step, uint64_t *seed)
{
	(void)step;
	return noise(seed, 2000000);
}

/* Garbage that is collected every second. */
static int64_t sawtooth(int64_t step, uint64_t *seed)
{
	return 300000 * (step % 5) + noise(seed, 1000);
}

/* Garbage that is collected every 70 seconds. */
static int64_t long_sawtooth(int64_t step, uint64_t *seed)
{
	return 10000 * (step % 350) + noise(seed, 1000);
}

static int64_t one_step(int64_t step, uint64_t *seed)
{
	return (step > STEPS / 2 ? 5000000 : 0) + noise(seed, 20000);
}

/* 200 bytes a message. */
static int64_t rise(int64_t step, uint64_t *seed)
{
	(void)seed;
	return step * PER_STEP * 200;
}

static int64_t rise_with_sawtooth(int64_t step, uint64_t *seed)
{
	return rise(step, seed) + sawtooth(step, seed);
}

static int64_t rise_with_spikes(int64_t step, uint64_t *seed)
{
	return rise(step, seed) + (step % 16 == 0 ? 50000000 : 0);
}

/* A cache that is filled in the first tenth. */
static int64_t warm_up(int64_t step, uint64_t *seed)
{
	return rise(step < STEPS / 10 ? step : STEPS / 10, seed);
}

static void what_does_not_rise_is_not_accused(void **state)
{
	static course *const courses[] = {flat, noisy, sawtooth, one_step};
	(void)state;
	for (size_t i = 0; i < sizeof courses / sizeof *courses; i++) {
		for (uint64_t seed = 1; seed <= 50; seed++) {
			struct told told = follow(courses[i], seed);
			assert_int_equal(told.n_said, 0);
			assert_int_equal(told.n_steady, 0);
		}
	}
	assert_true(follow(flat, 1).slope == 0);
	double slope = follow(noisy, 1).slope;
	assert_true(slope > -30 && slope < 30);
	slope = follow(sawtooth, 1).slope;
	assert_true(slope > -5 && slope < 5);
}

static void a_steady_rise_is_seen_soon_and_said_once(void **state)
{
	static course *const courses[] = {rise, rise_with_sawtooth, rise_with_spikes};
	(void)state;
	for (size_t i = 0; i < sizeof courses / sizeof *courses; i++) {
		struct told told = follow(courses[i], 7);
		assert_int_equal(told.n_said, 1);
		assert_in_range(told.first, 1, STEPS / 4);
		assert_true(told.slope > 180 && told.slope < 220);
	}
	assert_in_range(follow(rise, 7).first, 1, 24);
}

static void what_rose_and_stopped_is_forgiven(void **state)
{
	(void)state;
	struct told told = follow(warm_up, 1);
	assert_int_equal(told.n_said, 1);
	assert_in_range(told.n_steady, 1, STEPS / 2);
	assert_true(told.slope < 30);
	/* One tooth as long as all that is known looks like a rise; from the second one on it does not. */
	assert_in_range(follow(long_sawtooth, 1).n_steady, 0, 400);
}

static void it_is_not_said_again_within_ten_minutes(void **state)
{
	struct growth growth = {0};
	int64_t now_us = 0, said_us[3];
	uint64_t n = 0, bytes = START;
	int n_said = 0;
	(void)state;
	/* It rises for five minutes, stands still for five, again and again. */
	for (int minute = 0; minute < 60 && n_said < 3; minute++) {
		for (int second = 0; second < 60; second++) {
			now_us += S;
			n += PER_STEP;
			bytes += minute / 5 % 2 ? 0 : 100000;
			if (growth_add(&growth, n, bytes, now_us) && n_said < 3)
				said_us[n_said++] = now_us;
		}
	}
	for (int i = 1; i < n_said; i++)
		assert_true(said_us[i] - said_us[i - 1] >= 600 * S);
	assert_in_range(n_said, 1, 3);
}

static void a_slow_worker_gives_a_point_a_second_and_one_that_says_nothing_none(void **state)
{
	struct growth growth = {0};
	(void)state;
	for (int i = 0; i < 10; i++)
		growth_add(&growth, (uint64_t)i, START, i * S);
	assert_int_equal(growth.n_points, 10);
	growth_add(&growth, 9, START, 100 * S);          /* no message since */
	growth_add(&growth, 200, START, 9 * S + S / 10); /* too soon */
	growth_add(&growth, 300, 0, 100 * S);
	assert_int_equal(growth.n_points, 10);
}

static void the_points_reach_back_half_an_hour(void **state)
{
	struct growth growth = {0};
	(void)state;
	for (int64_t i = 0; i < 20000; i++)
		growth_add(&growth, (uint64_t)i, (uint64_t)(START + i), i * S);
	assert_in_range(growth.n_points, GROWTH_POINTS / 2, GROWTH_POINTS);
	uint64_t reach = 20000 - growth.points[0].n_messages;
	assert_in_range(reach, 900, 2200);
	assert_true(growth_slope(&growth) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_rise_is_not_accused),
		cmocka_unit_test(a_steady_rise_is_seen_soon_and_said_once),
		cmocka_unit_test(what_rose_and_stopped_is_forgiven),
		cmocka_unit_test(it_is_not_said_again_within_ten_minutes),
		cmocka_unit_test(a_slow_worker_gives_a_point_a_second_and_one_that_says_nothing_none),
		cmocka_unit_test(the_points_reach_back_half_an_hour),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
