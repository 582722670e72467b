/* SPDX-License-Identifier: MIT */
/* The sum of what librdkafka may hold, from options and from statistics as it writes them. */
#include "ahead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { KIB = 1024, MIB = 1024 * 1024 };

#define TOPPAR(name) "\"" name "\": { \"topic\":\"t\", \"partition\":0} "
#define BROKER(toppars) "\"req\": { \"Fetch\":1 }, \"toppars\":{ " toppars "} } "
#define QUEUE(n, bytes)                                                                                                \
	"\"desired\":true, \"fetchq_cnt\":" #n ", \"fetchq_size\":" #bytes ", \"fetch_state\":\"active\" "

static struct ahead ahead_of(int64_t queue, int64_t partition, int64_t answer)
{
	struct ahead ahead;

	ahead_init(&ahead, queue, partition, answer);
	return ahead;
}

static void nothing_is_held_of_no_partition(void **state)
{
	struct ahead ahead = ahead_of(MIB, MIB, 8 * MIB);

	(void)state;
	ahead_see(&ahead, 30 * MIB);
	assert_int_equal(ahead_limit(&ahead, 0), 0);
}

static void a_partition_holds_its_queue_and_one_fetch_and_a_broker_an_answer(void **state)
{
	struct ahead ahead = ahead_of(MIB, 2 * MIB, 8 * MIB);

	(void)state;
	assert_int_equal(ahead_limit(&ahead, 1), 3 * MIB + 8 * MIB);
	assert_int_equal(ahead_limit(&ahead, 200), 600 * MIB + 8 * MIB);
}

static void a_larger_message_counts_in_place_of_the_fetch_and_of_the_answer(void **state)
{
	struct ahead ahead = ahead_of(MIB, 2 * MIB, 8 * MIB);

	(void)state;
	ahead_see(&ahead, MIB);
	assert_int_equal(ahead_limit(&ahead, 200), 600 * MIB + 8 * MIB);
	ahead_see(&ahead, 3 * MIB);
	assert_int_equal(ahead_limit(&ahead, 200), 800 * MIB + 8 * MIB);
	ahead_see(&ahead, 9 * MIB);
	ahead_see(&ahead, 5 * KIB); /* the largest one counts, not the last one */
	assert_int_equal(ahead_limit(&ahead, 200), 2000 * MIB + 9 * MIB);
}

static void what_was_large_is_forgotten_after_the_period_that_follows(void **state)
{
	struct ahead ahead = ahead_of(MIB, MIB, MIB);
	int n = 0;

	(void)state;
	ahead_see(&ahead, 30 * MIB);
	for (; ahead_limit(&ahead, 1) > 3 * MIB; n++)
		ahead_read(&ahead, "{}");
	assert_int_equal(n, 2 * AHEAD_READINGS);
	ahead_read(&ahead, "{ " QUEUE(1, 31457280) "}"); /* what lies in a queue is seen each time */
	for (int i = 0; i < 3 * AHEAD_READINGS; i++)
		ahead_read(&ahead, "{ " QUEUE(1, 31457280) "}");
	assert_int_equal(ahead_limit(&ahead, 1), 61 * MIB);
}

static void only_brokers_that_lead_partitions_count(void **state)
{
	struct ahead ahead = ahead_of(MIB, MIB, 8 * MIB);

	(void)state;
	ahead_read(&ahead, "{ " BROKER(TOPPAR("t-0") ", " TOPPAR("t-1")) BROKER("") BROKER(TOPPAR("t-2")) "}");
	assert_int_equal(ahead.n_brokers, 2);
	assert_int_equal(ahead_limit(&ahead, 3), 6 * MIB + 16 * MIB);
	ahead_read(&ahead, "{ " BROKER("") "}"); /* disconnected: they come back */
	assert_int_equal(ahead.n_brokers, 2);
}

static void statistics_tell_what_is_held_and_that_a_message_was_large(void **state)
{
	struct ahead ahead = ahead_of(MIB, MIB, 8 * MIB);

	(void)state;
	ahead_read(&ahead, "{ " QUEUE(0, 0) QUEUE(10, 1000) QUEUE(1, 3000000) "}");
	assert_int_equal(ahead.held, 3001000);
	assert_int_equal(ahead_limit(&ahead, 1), MIB + 3000000 + 8 * MIB);
	ahead_read(&ahead, "{ " QUEUE(0, 0) "}"); /* handled: the next one may be as large */
	assert_int_equal(ahead.held, 0);
	assert_int_equal(ahead_limit(&ahead, 1), MIB + 3000000 + 8 * MIB);
}

/* 1,000 messages in one batch that was packed: each is small, together they are far beyond a fetch. */
static void what_a_batch_has_become_when_it_was_unpacked_counts(void **state)
{
	struct ahead ahead = ahead_of(MIB, MIB, 8 * MIB);

	(void)state;
	ahead_read(&ahead, "{ " QUEUE(1000, 100000000) "}");
	assert_true(ahead_limit(&ahead, 1) >= 100000000);
	assert_int_equal(ahead.largest, 100000000 - MIB);
}

static void statistics_without_partitions_or_cut_short_change_no_limit(void **state)
{
	static const char *const texts[] = {"", "{}", "\"fetchq_cnt\":", "\"fetchq_cnt\":7", "\"toppars\":{ "};
	struct ahead ahead = ahead_of(MIB, MIB, 8 * MIB);

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		ahead_read(&ahead, texts[i]);
		assert_int_equal(ahead_limit(&ahead, 2), 4 * MIB + 8 * MIB);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_held_of_no_partition),
		cmocka_unit_test(a_partition_holds_its_queue_and_one_fetch_and_a_broker_an_answer),
		cmocka_unit_test(a_larger_message_counts_in_place_of_the_fetch_and_of_the_answer),
		cmocka_unit_test(what_was_large_is_forgotten_after_the_period_that_follows),
		cmocka_unit_test(only_brokers_that_lead_partitions_count),
		cmocka_unit_test(statistics_tell_what_is_held_and_that_a_message_was_large),
		cmocka_unit_test(what_a_batch_has_become_when_it_was_unpacked_counts),
		cmocka_unit_test(statistics_without_partitions_or_cut_short_change_no_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
