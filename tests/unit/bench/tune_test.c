/* SPDX-License-Identifier: MIT */
/* Tests of the search on a machine that is made up: its rounds are formulas. */
#include "tune.h"

#include "round.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tune tune, sweep;

/* ---- the machine ---- */

struct machine {
	double noise;         /* a round is off by up to this share */
	double per_worker;    /* messages a second, up to n_processors workers */
	double n_processors;  /* more workers than these cost a little each */
	double small_fetch;   /* what is left of the speed with the smallest fetch */
	double refused_fetch; /* MiB that the proxy does not take any more */
	unsigned n_rounds, seed;
};

static struct machine machine;

static double setting(const struct run_conf *conf, const char *key, double usual)
{
	for (size_t i = 0; i < conf->n_proxy_options; i++) {
		const char *equals = strchr(conf->proxy_options[i], '=');

		if (strncmp(conf->proxy_options[i], key, strlen(key)) == 0)
			return strtod(equals + 1, NULL);
	}
	return usual;
}

bool run_is_taken(const struct run_conf *conf)
{
	return setting(conf, "fetch.max_bytes", 8) < machine.refused_fetch;
}

/* From -1 to 1, the same sequence in each run. */
static double chance(void)
{
	machine.seed = machine.seed * 1103515245u + 12345u;
	return (double)(machine.seed >> 16 & 0x7fff) / 16383.5 - 1;
}

/* The progress names each setting that is not the default, and says so where there is none. */
static bool names_what_is_set(const struct run_conf *conf)
{
	bool is_default = true;

	for (size_t i = 0; i < conf->n_proxy_options; i++) {
		const struct tune_knob *knob = &tune.knobs[i];
		const char *value = strchr(conf->proxy_options[i], '=') + 1;
		bool is_usual = strcmp(value, knob->values[knob->usual]) == 0;

		if (is_usual == (strstr(conf->trial, conf->proxy_options[i]) != NULL))
			return false;
		is_default = is_default && is_usual;
	}
	return is_default == (strcmp(conf->trial, "the defaults") == 0);
}

int round_measure(const struct run_conf *conf, enum side_id side, size_t round, struct measure_result *ret_result)
{
	double workers = setting(conf, "pool.num_workers", 1), fetch = setting(conf, "fetch.max_bytes", 8);
	double busy = fmin(workers, machine.n_processors), idle = workers - busy;
	double rate = machine.per_worker * busy * (1 - idle / 100) * (fetch < 2 ? machine.small_fetch : 1);

	assert_int_equal(side, SIDE_PROXY);
	assert_int_equal(round, machine.n_rounds++);
	assert_true(names_what_is_set(conf));
	rate *= 1 + machine.noise * chance();
	*ret_result = (struct measure_result){.n_messages = (uint64_t)(conf->rate ? fmin(rate, (double)conf->rate) : rate),
		.seconds = 1,
		.n_workers = (size_t)workers,
		.n_each = (size_t)workers,
		.main = {.peak_bytes = 50 << 20}};
	for (size_t i = 0; i < ret_result->n_workers; i++)
		ret_result->each[i].peak_bytes = 30 << 20;
	ret_result->end_to_end.n = conf->rate;
	ret_result->end_to_end.ms[TIMES_P99] = 1e6 / rate;
	return 0;
}

void measure_result_done(struct measure_result *result)
{
	(void)result;
}

/* ---- the searches ---- */

static struct run_conf conf_with(const char *knobs)
{
	return (struct run_conf){.bootstrap = "nowhere", .knobs = knobs, .n_workers = 1, .max_workers = 16};
}

static void search(struct run_conf *conf)
{
	assert_int_equal(tune_init(&tune, conf), 0);
	assert_int_equal(tune_search(&tune), 0);
}

static const char *found(size_t knob)
{
	return tune_value(&tune, tune.best, knob);
}

static int build(void **state)
{
	(void)state;
	machine =
		(struct machine){.per_worker = 1000, .n_processors = 4, .small_fetch = 1, .refused_fetch = INFINITY, .seed = 1};
	return 0;
}

static int demolish(void **state)
{
	(void)state;
	tune_done(&tune);
	return 0;
}

static void as_many_workers_as_help_are_found(void **state)
{
	struct run_conf conf = conf_with("pool.num_workers");

	(void)state;
	search(&conf);
	assert_string_equal(found(0), "4");
	assert_int_equal(tune.n_steps, 1);
	assert_true(fabs(tune_score(&tune, tune.best) - 4000) < 1);
}

static void workers_begin_with_what_was_said(void **state)
{
	struct run_conf conf = conf_with("pool.num_workers");

	(void)state;
	conf.n_workers = 6;
	search(&conf);
	assert_string_equal(tune.knobs[0].values[tune.usual->choice[0]], "6");
	assert_string_equal(tune.knobs[0].values[tune.usual->choice[0] - 1], "4");
	assert_string_equal(tune.knobs[0].values[tune.usual->choice[0] + 1], "8");
	assert_string_equal(found(0), "4");
}

static void noise_seldom_recommends_something_and_little_then(void **state)
{
	enum { N_SEEDS = 40 };
	struct run_conf conf = conf_with("fetch.max_bytes,pipeline.credit,pipeline.commit_interval");
	unsigned n_changed = 0;

	for (unsigned seed = 1; seed <= N_SEEDS; seed++) {
		build(state);
		machine.noise = 0.1;
		machine.seed = seed * 7919;
		search(&conf);
		n_changed += tune.best != tune.usual;
		assert_true(tune_ratio(&tune, tune_score(&tune, tune.best), tune_score(&tune, tune.usual)) < 1.2);
		tune_done(&tune);
	}
	assert_in_range(n_changed, 0, N_SEEDS / 20);
}

static void a_gain_shows_through_noise(void **state)
{
	struct run_conf conf = conf_with("pool.num_workers=2:4,fetch.max_bytes=1MiB:8MiB");

	(void)state;
	machine.noise = 0.1;
	machine.small_fetch = 0.5;
	search(&conf);
	assert_string_equal(found(0), "4");
	assert_string_equal(found(1), "8MiB");
}

static void what_takes_too_much_memory_is_not_taken(void **state)
{
	struct run_conf conf = conf_with("pool.num_workers");

	(void)state;
	conf.max_mebibytes = 120; /* 50 and two workers */
	search(&conf);
	assert_string_equal(found(0), "2");
	assert_null(tune_fault(&tune, tune.best));
}

static void what_the_proxy_refuses_is_not_measured(void **state)
{
	struct run_conf conf = conf_with("fetch.max_bytes=1MiB:32MiB:64MiB,pool.num_workers=1:4");
	const struct tune_trial *again;

	(void)state;
	machine.small_fetch = 0.5;
	machine.refused_fetch = 32;
	search(&conf);
	assert_string_equal(found(0), "8MiB");
	assert_string_equal(found(1), "4");
	assert_int_equal(tune_sweep(&tune, &sweep, &again), 0);
	for (size_t i = 0; i < sweep.n_trials; i++) {
		bool is_large = sweep.trials[i].choice[0] >= 2; /* 1, 8, 32, 64 MiB */

		assert_int_equal(sweep.trials[i].is_refused, is_large);
		assert_int_equal(sweep.trials[i].n_rounds == 0, is_large);
	}
}

static void under_a_rate_the_99th_percentile_decides(void **state)
{
	struct run_conf conf = conf_with("pool.num_workers=1:2:4");

	(void)state;
	conf.rate = 1500; /* too much for one worker */
	search(&conf);
	assert_string_equal(found(0), "4");
	assert_string_equal(tune_fault(&tune, tune.usual), "falls behind");
	assert_true(fabs(tune_score(&tune, tune.best) - 250) < 1);
	assert_true(fabs(tune_ratio(&tune, 250, 500) - 2) < 0.01);
}

static void the_default_is_always_among_the_values(void **state)
{
	struct run_conf conf = conf_with("fetch.max_bytes=1MiB:64MiB,pool.num_workers=4:32");

	(void)state;
	assert_int_equal(tune_init(&tune, &conf), 0);
	assert_int_equal(tune.knobs[0].n_values, 3);
	assert_string_equal(tune.knobs[0].values[tune.knobs[0].usual], "8MiB");
	assert_string_equal(tune.knobs[1].values[tune.knobs[1].usual], "1");
}

static void more_workers_than_the_bound_are_not_tried(void **state)
{
	struct run_conf conf = conf_with("pool.num_workers=4:16:32");

	(void)state;
	assert_int_equal(tune_init(&tune, &conf), 0);
	assert_int_equal(tune.knobs[0].n_values, 3); /* 1, 4, 16 */
	assert_string_equal(tune.knobs[0].values[2], "16");
}

static void a_knob_of_another_broker_is_refused(void **state)
{
	struct run_conf conf = conf_with("source.prefetch");

	(void)state;
	assert_int_equal(tune_init(&tune, &conf), -1);
}

static void a_sweep_measures_everything_and_finds_the_same(void **state)
{
	struct run_conf conf = conf_with("pool.num_workers=1:2:4:8,fetch.max_bytes=1MiB:8MiB");
	const struct tune_trial *again;

	(void)state;
	machine.small_fetch = 0.5;
	search(&conf);
	assert_int_equal(tune_sweep(&tune, &sweep, &again), 0);
	assert_int_equal(sweep.n_trials, 8);
	assert_ptr_equal(again, sweep.best);
	assert_true(fabs(tune_score(&sweep, sweep.best) - 4000) < 1);
}

#define machine_test(test) cmocka_unit_test_setup_teardown(test, build, demolish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(as_many_workers_as_help_are_found),
		machine_test(workers_begin_with_what_was_said),
		machine_test(noise_seldom_recommends_something_and_little_then),
		machine_test(a_gain_shows_through_noise),
		machine_test(what_takes_too_much_memory_is_not_taken),
		machine_test(what_the_proxy_refuses_is_not_measured),
		machine_test(under_a_rate_the_99th_percentile_decides),
		machine_test(the_default_is_always_among_the_values),
		machine_test(more_workers_than_the_bound_are_not_tried),
		machine_test(a_knob_of_another_broker_is_refused),
		machine_test(a_sweep_measures_everything_and_finds_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
