/* SPDX-License-Identifier: MIT */
/* How memory.max_bytes is shared out; sources are played by setting what they have taken. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "stage.h"

enum { MIB = 1024 * 1024, CEILING = 16 * MIB, N_PIPELINES = 3, LEAST = CEILING / 32 / N_PIPELINES };

/* A stage with more pipelines, none of which delivers anything by itself. */
static void open_stage(struct stage *stage)
{
	log_configure(LOG_ERROR, false);
	stage_init(stage, QB_SETTLE_PREFIX, ORDERING_NONE);
	stage->conf.max_outstanding_bytes = 12 * MIB;
	for (int i = 1; i < N_PIPELINES; i++)
		assert_int_equal(dispatcher_pipeline_add(stage->dispatcher, &stage->conf, &stage->plugin, &stage->source_conf,
							 stage->pipeline->codec),
			0);
	dispatcher_set_memory(stage->dispatcher, CEILING);
}

static struct pipeline *at(const struct stage *stage, size_t index)
{
	return dispatcher_pipeline_at(stage->dispatcher, index);
}

static int64_t held(const struct stage *stage, size_t index)
{
	return source_held_bytes(at(stage, index)->source);
}

/* As the source's thread would: never above its limit. */
static void take(struct stage *stage, size_t index, int64_t n_bytes)
{
	int64_t room = at(stage, index)->limit_bytes - held(stage, index);
	n_bytes = n_bytes < room ? n_bytes : room;
	if (n_bytes > 0)
		atomic_fetch_add(&at(stage, index)->source->taken_bytes, n_bytes);
}

static void let_go(struct stage *stage, size_t index, int64_t n_bytes)
{
	n_bytes = n_bytes < held(stage, index) ? n_bytes : held(stage, index);
	atomic_fetch_add(&at(stage, index)->source->released_bytes, n_bytes);
}

static void turn(struct stage *stage)
{
	allot_memory(stage->dispatcher);
}

static void all_together_never_hold_more_than_the_ceiling(void **state)
{
	struct stage stage;
	unsigned seed = 7;
	int64_t most = 0;
	(void)state;
	open_stage(&stage);
	for (int step = 0; step < 20000; step++) {
		int64_t sum = 0;
		size_t index = (size_t)rand_r(&seed) % N_PIPELINES;
		if (rand_r(&seed) % 3)
			take(&stage, index, rand_r(&seed) % (4 * MIB));
		else
			let_go(&stage, index, rand_r(&seed) % (4 * MIB));
		take(&stage, rand_r(&seed) % N_PIPELINES, rand_r(&seed) % MIB); /* before the loop has turned */
		for (size_t i = 0; i < N_PIPELINES; i++)
			sum += held(&stage, i);
		assert_true(sum <= CEILING);
		most = sum > most ? sum : most;
		turn(&stage);
	}
	assert_true(most > CEILING * 9 / 10); /* and it is used */
	stage_done(&stage);
}

static void what_one_lets_go_all_may_take(void **state)
{
	struct stage stage;
	(void)state;
	open_stage(&stage);
	for (int i = 0; i < 50; i++, turn(&stage))
		take(&stage, 0, CEILING);
	assert_int_equal(held(&stage, 0), 12 * MIB); /* its own limit */
	for (int i = 0; i < 20; i++) {
		let_go(&stage, 0, MIB / 2);
		turn(&stage); /* in the turn that releases it */
		for (size_t index = 0; index < N_PIPELINES; index++)
			take(&stage, index, CEILING);
		turn(&stage);
	}
	assert_in_range(held(&stage, 0), 4 * MIB, 9 * MIB);
	assert_in_range(held(&stage, 1), 3 * MIB, 6 * MIB);
	assert_in_range(held(&stage, 2), 3 * MIB, 6 * MIB);
	stage_done(&stage);
}

static void what_the_process_allocates_beside_counts_too(void **state)
{
	struct stage stage;
	(void)state;
	open_stage(&stage);
	take(&stage, 0, 1);
	turn(&stage);
	take(&stage, 0, 2 * MIB - 1);
	dispatcher_measure_memory(stage.dispatcher, 10 * MIB); /* 8 of them are not ours */
	turn(&stage);
	assert_int_equal(dispatcher_memory_beside(stage.dispatcher), 8 * MIB);
	assert_in_range(at(&stage, 0)->limit_bytes, 7 * MIB, 8 * MIB);
	take(&stage, 0, MIB);
	turn(&stage); /* not measured again: these 8 stay */
	assert_int_equal(dispatcher_memory_beside(stage.dispatcher), 8 * MIB);
	pipeline_sink()->measure(at(&stage, 1), QB_QUEUE_BYTES, NULL, 9 * MIB);
	assert_int_equal(dispatcher_memory_beside(stage.dispatcher), 9 * MIB);
	stage_done(&stage);
}

static void what_a_client_library_holds_is_taken_off_and_a_minimum_stays(void **state)
{
	struct stage stage;
	(void)state;
	open_stage(&stage);
	take(&stage, 0, MIB);
	pipeline_sink()->measure(at(&stage, 1), QB_QUEUE_BYTES, NULL, 10 * MIB);
	turn(&stage);
	int64_t others = 2 * LEAST;
	assert_in_range(at(&stage, 0)->limit_bytes, CEILING - 10 * MIB - others - 8, CEILING - 10 * MIB - others);
	pipeline_sink()->measure(at(&stage, 1), QB_QUEUE_LIMIT, NULL, 12 * MIB); /* and may come to hold */
	turn(&stage);
	assert_in_range(at(&stage, 0)->limit_bytes, CEILING - 12 * MIB - others - 8, CEILING - 12 * MIB - others);
	pipeline_sink()->measure(at(&stage, 1), QB_QUEUE_BYTES, NULL, 2 * CEILING);
	turn(&stage);
	for (size_t i = 0; i < N_PIPELINES; i++)
		assert_int_equal(at(&stage, i)->limit_bytes, LEAST);
	pipeline_sink()->state(at(&stage, 1), SOURCE_LOST); /* and with it what its library held */
	turn(&stage);
	assert_true(at(&stage, 0)->limit_bytes > MIB);
	stage_done(&stage);
}

/* What was logged during a turn. */
static const char *turn_says(struct stage *stage)
{
	static char said[4096];
	int ends[2], saved = dup(STDERR_FILENO);
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	dup2(ends[1], STDERR_FILENO);
	log_configure(LOG_WARN, false);
	turn(stage);
	log_configure(LOG_ERROR, false);
	dup2(saved, STDERR_FILENO);
	ssize_t n = read(ends[0], said, sizeof said - 1);
	close(saved);
	close(ends[0]);
	close(ends[1]);
	said[n > 0 ? n : 0] = '\0';
	return said;
}

static void partitions_whose_fetches_do_not_fit_are_told_once_with_the_numbers(void **state)
{
	struct stage stage;
	(void)state;
	open_stage(&stage);
	stage_lane(&stage, 0, 0, "");
	stage_lane(&stage, 1, 0, "");
	pipeline_sink()->measure(at(&stage, 0), QB_QUEUE_LIMIT, NULL, 12 * MIB);
	pipeline_sink()->measure(at(&stage, 1), QB_QUEUE_LIMIT, NULL, 4 * MIB);
	assert_string_equal(turn_says(&stage), ""); /* all of it, and no more */
	pipeline_sink()->measure(at(&stage, 1), QB_QUEUE_LIMIT, NULL, 5 * MIB);
	const char *said = turn_says(&stage);
	assert_non_null(strstr(said, " warn "));
	assert_non_null(strstr(said, "fetch.queue_bytes"));
	assert_non_null(strstr(said, " bytes=17825792 memory_max_bytes=16777216 lanes=2 lane_bytes=6291456\n"));
	assert_string_equal(turn_says(&stage), "");
	pipeline_sink()->measure(at(&stage, 0), QB_QUEUE_LIMIT, NULL, 0); /* a rebalance that ends as it began */
	assert_string_equal(turn_says(&stage), "");
	pipeline_sink()->measure(at(&stage, 0), QB_QUEUE_LIMIT, NULL, 12 * MIB);
	assert_string_equal(turn_says(&stage), "");
	pipeline_sink()->measure(
		at(&stage, 0), QB_QUEUE_LIMIT, NULL, 13 * MIB); /* a message a bit larger than all before */
	assert_string_equal(turn_says(&stage), "");
	pipeline_sink()->measure(at(&stage, 0), QB_QUEUE_LIMIT, NULL, 18 * MIB); /* one that ends with more */
	assert_non_null(strstr(turn_says(&stage), " bytes=24117248 "));
	stage_done(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_together_never_hold_more_than_the_ceiling),
		cmocka_unit_test(what_one_lets_go_all_may_take),
		cmocka_unit_test(what_the_process_allocates_beside_counts_too),
		cmocka_unit_test(what_a_client_library_holds_is_taken_off_and_a_minimum_stays),
		cmocka_unit_test(partitions_whose_fetches_do_not_fit_are_told_once_with_the_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
