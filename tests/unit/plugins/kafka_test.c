/* SPDX-License-Identifier: MIT */
/* The Kafka plugin against the cluster that it brings along. There the first join of a group takes 3 s, each further
 * one a session less a second: so sessions are short, and heartbeats so many that a busy machine does not end one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"

#define JOIN_MS 60000
#define MOMENT_MS 60000
#define BUSY_MS 10000 /* a machine may stand still */

static const struct qb_plugin *plugin;
/* Keeps the cluster running while members come and go, and fills it. */
static struct rig *keeper;

/* Each test has a topic of its own, with as many partitions, and a group of the same name. */
static struct rig *member_new(const char *topic, int n_partitions, const char *option, const char *text)
{
	char topics[64];
	struct rig *rig;

	snprintf(topics, sizeof(topics), "%s:%d", topic, n_partitions);
	rig = rig_new(plugin, "bootstrap_servers", "embedded", "embedded.topics", topics, "topics", topic, "group_id",
		topic, "session_timeout", "3s", "properties", "heartbeat.interval.ms=200", "max_poll_interval", "30s", option,
		text, NULL);
	rig->conf.broker = "shared";
	return rig;
}

static struct rig *member_open(const char *topic, int n_partitions, const char *option, const char *text)
{
	struct rig *rig = member_new(topic, n_partitions, option, text);

	assert_int_equal(rig_open(rig), QB_OK);
	RIG_WAIT(rig, rig_open_lanes(rig) == (size_t)n_partitions, JOIN_MS);
	return rig;
}

/* Bodies are numbers, with blanks before them. */
static void produce_wide(const char *topic, size_t first, size_t n, int width)
{
	size_t n_before = keeper->n_published;

	for (size_t i = first; i < first + n; i++) {
		char body[4096], key[32];
		struct qb_header headers[] = {{{"trace", 5}, {"abc", 3}}, {{"empty", 5}, {NULL, 0}}};
		struct qb_outgoing message = {.target = topic, .headers = headers, .n_headers = 2};

		message.body = (struct qb_bytes){body, (size_t)snprintf(body, sizeof(body), "%*zu", width, i)};
		message.key = (struct qb_bytes){key, (size_t)snprintf(key, sizeof(key), "key %zu", i)};
		plugin->publish(keeper->source, &message, i);
	}
	RIG_WAIT(keeper, keeper->n_published == n_before + n, MOMENT_MS);
	for (size_t i = n_before; i < keeper->n_published; i++)
		assert_int_equal(keeper->published[i].status, 0);
}

static void produce(const char *topic, size_t first, size_t n)
{
	produce_wide(topic, first, n, 0);
}

/* Adds how often each number below n was delivered; returns how many of them have come by now. */
static size_t bodies_count(const struct rig *rig, unsigned *counts, size_t n)
{
	size_t n_seen = 0;

	for (size_t i = 0; i < rig->n_messages; i++) {
		size_t number = strtoul(rig->messages[i].body, NULL, 10);

		assert_true(number < n);
		counts[number]++;
	}
	for (size_t i = 0; i < n; i++)
		n_seen += counts[i] > 0;
	return n_seen;
}

static int keeper_open(void **state)
{
	(void)state;
	keeper = member_new("keeper", 1, "max_poll_interval", "1h");
	return rig_open(keeper) == QB_OK ? 0 : -1;
}

static int keeper_close(void **state)
{
	(void)state;
	rig_free(keeper);
	return 0;
}

static void each_message_arrives_once_with_all_its_parts(void **state)
{
	struct rig *rig = member_open("parts", 4, NULL, NULL);
	unsigned counts[2000] = {0};

	(void)state;
	produce("parts", 0, 2000);
	RIG_WAIT(rig, rig->n_messages == 2000, MOMENT_MS);
	assert_int_equal(bodies_count(rig, counts, 2000), 2000);
	for (size_t i = 0; i < rig->n_messages; i++) {
		const struct rig_message *message = &rig->messages[i];
		char key[32];

		assert_string_equal(message->source, "parts");
		assert_int_equal(message->partition, rig_lane_find(rig, message->lane)->partition);
		snprintf(key, sizeof(key), "key %s", message->body);
		assert_string_equal(message->key, key);
		assert_true(message->timestamp_ms > 0);
		assert_int_equal(message->n_headers, 2);
		assert_string_equal(message->headers[0], "trace");
		assert_string_equal(message->headers[1], "abc");
		assert_string_equal(message->headers[2], "empty");
		assert_null(message->headers[3]);
		assert_null(message->exchange);
	}
	assert_true(rig_condition_find(rig, QB_CONNECTED, 0)->on);
	rig_free(rig);
}

static void a_restart_resumes_where_it_committed_and_finds_its_memo(void **state)
{
	struct rig *rig = member_open("resume", 1, NULL, NULL);

	(void)state;
	assert_int_equal(rig->lanes[0].next, -1);
	produce("resume", 0, 10);
	RIG_WAIT(rig, rig->n_messages == 10, MOMENT_MS);
	rig_settle(rig, 1, 3, QB_ACK, "6-7");
	rig_settle(rig, 1, 4, QB_ACK, "6-8");
	rig_close(rig, 8000); /* sends what was settled and waits for it */
	assert_int_equal(rig->n_settled, 2);
	assert_int_equal(rig->settled[0].receipt, 3);
	assert_int_equal(rig->settled[0].status, 0);
	assert_int_equal(rig->settled[1].receipt, 4);
	assert_int_equal(rig->settled[1].status, 0);
	rig_free(rig);

	rig = member_open("resume", 1, NULL, NULL);
	assert_int_equal(rig->lanes[0].next, 5);
	assert_string_equal(rig->lanes[0].memo, "6-8");
	RIG_WAIT(rig, rig->n_messages == 5, MOMENT_MS);
	assert_int_equal(rig->messages[0].receipt, 5);
	rig_settle(rig, 1, 3, QB_ACK, ""); /* backwards */
	assert_int_equal(rig->n_settled, 1);
	assert_true(rig->settled[0].status < 0);
	rig_free(rig);

	rig = member_open("resume", 1, NULL, NULL);
	assert_int_equal(rig->lanes[0].next, 5);
	assert_string_equal(rig->lanes[0].memo, "6-8"); /* the healing commit has not erased it */
	rig_free(rig);
}

static void a_shut_lane_delivers_nothing_and_loses_nothing(void **state)
{
	struct rig *rig = member_open("valve", 2, NULL, NULL);
	size_t n_shut = 0, n_other;
	unsigned counts[400] = {0};

	(void)state;
	plugin->flow(rig->source, 1, false);
	produce("valve", 0, 400);
	RIG_WAIT(rig, rig->n_messages >= 100, MOMENT_MS);
	for (int64_t end = rig_now_ms() + 1500; rig_now_ms() < end;) /* longer than the sweep of all lanes */
		rig_poll(rig, 20);
	for (size_t i = 0; i < rig->n_messages; i++)
		n_shut += rig->messages[i].lane == 1;
	assert_int_equal(n_shut, 0);
	n_other = rig->n_messages;
	assert_true(n_other < 400);
	plugin->flow(rig->source, 1, true);
	RIG_WAIT(rig, rig->n_messages == 400, MOMENT_MS);
	assert_int_equal(bodies_count(rig, counts, 400), 400);
	rig_free(rig);
}

static void an_empty_budget_delivers_nothing_and_a_small_one_is_kept(void **state)
{
	struct rig *rig = member_new("budget", 1, NULL, NULL);

	(void)state;
	rig->budget = (struct qb_budget){0, 0};
	assert_int_equal(rig_open(rig), QB_OK);
	produce("budget", 0, 50);
	RIG_WAIT(rig, rig_open_lanes(rig) == 1, JOIN_MS);
	for (int i = 0; i < 20; i++)
		rig_poll(rig, 10);
	assert_int_equal(rig->n_messages, 0);
	rig->budget = (struct qb_budget){7, 1 << 20}; /* the rig fails the test when more come */
	RIG_WAIT(rig, rig->n_messages == 7, MOMENT_MS);
	rig->budget = (struct qb_budget){50, 1};
	rig_poll(rig, 100);
	assert_int_equal(rig->n_messages, 8); /* the one that begins within */
	rig_free(rig);
}

static bool is_between(int64_t value, int64_t low, int64_t high)
{
	return value > low && value < high;
}

/* Small ones are taken many at once; what is large among them must not pass the budget for that. Those that wait count
 * as the library's. */
static void what_is_taken_beyond_the_budget_comes_with_the_next_poll(void **state)
{
	enum { SMALL = 400, LARGE = 60, N = 2 * SMALL + LARGE };
	struct rig *rig = member_new("surplus", 1, NULL, NULL);
	unsigned counts[N] = {0};

	(void)state;
	rig->budget = (struct qb_budget){0, 0};
	assert_int_equal(rig_open(rig), QB_OK);
	produce("surplus", 0, SMALL);
	produce_wide("surplus", SMALL, LARGE, 4000);
	produce("surplus", SMALL + LARGE, SMALL);
	RIG_WAIT(rig, rig_measure_newest(rig, QB_QUEUE_BYTES) > LARGE * 4000, JOIN_MS);
	rig->budget = (struct qb_budget){500, 8000}; /* the rig fails the test when more come, or out of order */
	RIG_WAIT(rig, rig->n_messages > 0, MOMENT_MS);
	rig->budget = (struct qb_budget){0, 0};
	RIG_WAIT(rig, is_between(rig_measure_newest(rig, QB_QUEUE_BYTES), (LARGE - 9) * 4000, LARGE * 4000), MOMENT_MS);
	rig->budget = (struct qb_budget){500, 8000};
	RIG_WAIT(rig, rig->n_messages == N, MOMENT_MS);
	assert_int_equal(bodies_count(rig, counts, N), N);
	rig_free(rig);
}

static void a_drained_source_delivers_no_more_and_still_commits(void **state)
{
	struct rig *rig = member_open("drain", 1, NULL, NULL);

	(void)state;
	produce("drain", 0, 20);
	RIG_WAIT(rig, rig->n_messages == 20, MOMENT_MS);
	plugin->drain(rig->source);
	produce("drain", 20, 20);
	rig_settle(rig, 1, 19, QB_ACK, NULL);
	RIG_WAIT(rig, rig->n_settled == 1, MOMENT_MS);
	assert_int_equal(rig->settled[0].status, 0);
	assert_int_equal(rig->n_messages, 20);
	rig_free(rig);
}

static bool both_poll(struct rig *a, struct rig *b)
{
	rig_poll(a, 5);
	if (b->source)
		rig_poll(b, 5);
	return true;
}

/* Two members share the partitions, one leaves in the middle: nothing is lost, and what is left has an owner. */
static void members_come_and_go(const char *topic, const char *assignment)
{
	enum { N = 3000 };
	struct rig *a = member_open(topic, 4, "assignment", assignment);
	struct rig *b = member_new(topic, 4, "assignment", assignment);
	int64_t end = rig_now_ms() + 2 * JOIN_MS;
	unsigned *counts = calloc(N, sizeof(*counts));
	size_t n_seen = 0;

	assert_non_null(counts);
	a->settles_all = b->settles_all = true;
	produce(topic, 0, N / 3);
	assert_int_equal(rig_open(b), QB_OK);
	while (both_poll(a, b) && (rig_open_lanes(a) != 2 || rig_open_lanes(b) != 2))
		assert_true(rig_now_ms() < end);
	produce(topic, N / 3, N / 3);
	while (both_poll(a, b) && !b->n_messages)
		assert_true(rig_now_ms() < end);
	rig_close(b, 10000);
	produce(topic, N - N / 3, N / 3);
	end = rig_now_ms() + 2 * JOIN_MS;
	while (both_poll(a, b) && (n_seen < N || rig_open_lanes(a) != 4)) {
		assert_true(rig_now_ms() < end);
		memset(counts, 0, N * sizeof(*counts));
		bodies_count(a, counts, N);
		n_seen = bodies_count(b, counts, N);
	}
	free(counts);
	rig_free(b);
	rig_free(a);
}

static void nothing_is_lost_when_members_come_and_go(void **state)
{
	(void)state;
	members_come_and_go("eager", "range");
}

static void nothing_is_lost_when_cooperative_members_come_and_go(void **state)
{
	(void)state;
	members_come_and_go("cooperative", "cooperative-sticky");
}

static void a_lane_is_given_up_only_after_it_was_drained(void **state)
{
	struct rig *a = member_open("revoke", 2, NULL, NULL), *b = member_new("revoke", 2, NULL, NULL);
	int64_t end = rig_now_ms() + JOIN_MS;

	(void)state;
	a->answers_closing = false;
	produce("revoke", 0, 10);
	RIG_WAIT(a, a->n_messages == 10, MOMENT_MS);
	assert_int_equal(rig_open(b), QB_OK);
	while (both_poll(a, b) && !a->lanes[0].is_closing)
		assert_true(rig_now_ms() < end);
	for (int i = 0; i < 20; i++)
		both_poll(a, b);
	assert_false(a->lanes[0].is_closed);
	assert_int_equal(rig_open_lanes(b), 0);
	for (size_t i = 0; i < 2; i++)
		plugin->lane_drained(a->source, a->lanes[i].id);
	while (both_poll(a, b) && !a->lanes[0].is_closed)
		assert_true(rig_now_ms() < end);
	assert_true(a->lanes[1].is_closed);
	rig_free(a);
	rig_free(b);
}

static void an_offset_out_of_range_wedges_its_lane_and_is_not_reset(void **state)
{
	struct rig *rig = member_open("wedge", 1, NULL, NULL);

	(void)state;
	produce("wedge", 0, 10);
	RIG_WAIT(rig, rig->n_messages == 10, MOMENT_MS);
	rig_settle(rig, 1, 999, QB_ACK, NULL);
	rig_close(rig, 8000);
	rig_free(rig);

	rig = member_open("wedge", 1, NULL, NULL);
	assert_int_equal(rig->lanes[0].next, 1000);
	RIG_WAIT(rig, rig_condition_find(rig, QB_WEDGED, 1), MOMENT_MS);
	assert_true(rig_condition_find(rig, QB_WEDGED, 1)->on);
	assert_non_null(strstr(rig_condition_find(rig, QB_WEDGED, 1)->reason, "1000"));
	assert_int_equal(rig->n_messages, 0);
	rig_free(rig);
}

static struct rig *narrow_open(const char *topics, const char *topic)
{
	struct rig *rig = rig_new(plugin, "bootstrap_servers", "embedded", "embedded.topics", topics, "topics", topic,
		"group_id", topic, "properties", "receive.message.max.bytes=3500", "max_bytes", "2KiB", NULL);

	rig->conf.broker = "shared";
	assert_int_equal(rig_open(rig), QB_OK);
	return rig;
}

/* An answer that is too large is told behind what was read before it: only then it is known what cannot be read. */
static void what_came_before_an_answer_too_large_is_taken_before_that_is_told(void **state)
{
	struct rig *first = narrow_open("broad:1", "broad"), *rig;

	(void)state;
	produce_wide("broad", 0, 1, 4000); /* nothing came before it, not even an offset */
	RIG_WAIT(first, rig_condition_find(first, QB_WEDGED, 1), JOIN_MS);
	assert_non_null(strstr(rig_condition_find(first, QB_WEDGED, 1)->reason, "cannot be read at its beginning"));
	rig_free(first);
	rig = narrow_open("wide:1", "wide");
	rig->budget = (struct qb_budget){0, 0};
	produce("wide", 0, 5);
	produce_wide("wide", 5, 1, 4000);
	RIG_WAIT(rig, rig_log_find(rig, "Invalid response size"), JOIN_MS);
	rig_poll(rig, 0);
	assert_null(rig_condition_find(rig, QB_WEDGED, 1));
	rig->budget = (struct qb_budget){1000, 1 << 20};
	RIG_WAIT(rig, rig_condition_find(rig, QB_WEDGED, 1), MOMENT_MS);
	assert_int_equal(rig->n_messages, 5);
	assert_non_null(strstr(rig_condition_find(rig, QB_WEDGED, 1)->reason, "at offset 5"));
	rig_free(rig);
}

static void a_group_without_offsets_wedges_where_start_is_error(void **state)
{
	struct rig *rig = member_open("strict", 1, "start", "error");

	(void)state;
	produce("strict", 0, 10);
	RIG_WAIT(rig, rig_condition_find(rig, QB_WEDGED, 1), MOMENT_MS);
	assert_int_equal(rig->n_messages, 0);
	rig_free(rig);
}

static void a_group_that_starts_at_the_end_remembers_where_that_was(void **state)
{
	struct rig *rig;

	(void)state;
	rig = member_new("latest", 1, NULL, NULL); /* makes the topic */
	assert_int_equal(rig_open(rig), QB_OK);
	rig_free(rig);
	produce("latest", 0, 10);
	rig = member_open("latest", 1, "start", "latest");
	assert_int_equal(rig->lanes[0].next, 10);
	rig_poll(rig, 0); /* commits where it began */
	rig_close(rig, 8000);
	rig_free(rig);
	produce("latest", 10, 5);
	rig = member_open("latest", 1, "start", "latest");
	RIG_WAIT(rig, rig->n_messages == 5, MOMENT_MS);
	assert_int_equal(rig->messages[0].receipt, 10);
	rig_free(rig);
}

static void a_letter_that_is_too_big_is_refused_with_a_reason(void **state)
{
	struct rig *rig = member_new("big", 1, NULL, NULL);
	size_t size = 8 << 20;
	char *body = calloc(1, size);
	struct qb_outgoing message = {.target = "big", .body = {body, size}};

	(void)state;
	assert_non_null(body);
	rig->conf.max_message_bytes = 1 << 20;
	assert_int_equal(rig_open(rig), QB_OK);
	plugin->publish(rig->source, &message, 7);
	RIG_WAIT(rig, rig->n_published == 1, MOMENT_MS);
	assert_int_equal(rig->published[0].token, 7);
	assert_int_equal(rig->published[0].status, -EMSGSIZE);
	assert_non_null(rig->published[0].reason);
	free(body);
	rig_free(rig);
}

static void brokers_that_are_away_are_a_condition_and_close_stays_bounded(void **state)
{
	struct rig *rig = rig_new(plugin, "bootstrap_servers", "127.0.0.1:1", "topics", "t", "group_id", "g", NULL);
	int64_t begin;

	(void)state;
	assert_int_equal(rig_open(rig), QB_OK);
	RIG_WAIT(rig, rig_condition_find(rig, QB_CONNECTED, 0), MOMENT_MS);
	assert_false(rig_condition_find(rig, QB_CONNECTED, 0)->on);
	assert_non_null(strstr(rig_condition_find(rig, QB_CONNECTED, 0)->reason, "refused"));
	assert_int_equal(rig->result, QB_OK);
	begin = rig_now_ms();
	rig_close(rig, 2000);
	assert_true(rig_now_ms() - begin < 2000 + BUSY_MS);
	rig_free(rig);
}

static void a_wake_ends_the_wait(void **state)
{
	struct rig *rig = rig_new(plugin, "bootstrap_servers", "127.0.0.1:1", "topics", "t", "group_id", "g", NULL);
	int n_quick = 0;

	(void)state;
	assert_int_equal(rig_open(rig), QB_OK);
	RIG_WAIT(rig, rig_condition_find(rig, QB_CONNECTED, 0), MOMENT_MS);
	for (int i = 0; i < 5; i++) {
		int64_t begin = rig_now_ms();

		plugin->wake(rig->source);
		rig_poll(rig, 800);
		n_quick += rig_now_ms() - begin < 700;
	}
	assert_true(n_quick >= 3); /* the machine may stand still in one of them */
	rig_free(rig);
}

/* An argument is a pattern (with * and ?) of the names of tests to run; behind an exclamation mark, of all others. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_message_arrives_once_with_all_its_parts),
		cmocka_unit_test(a_restart_resumes_where_it_committed_and_finds_its_memo),
		cmocka_unit_test(a_shut_lane_delivers_nothing_and_loses_nothing),
		cmocka_unit_test(an_empty_budget_delivers_nothing_and_a_small_one_is_kept),
		cmocka_unit_test(what_is_taken_beyond_the_budget_comes_with_the_next_poll),
		cmocka_unit_test(a_drained_source_delivers_no_more_and_still_commits),
		cmocka_unit_test(nothing_is_lost_when_members_come_and_go),
		cmocka_unit_test(nothing_is_lost_when_cooperative_members_come_and_go),
		cmocka_unit_test(a_lane_is_given_up_only_after_it_was_drained),
		cmocka_unit_test(an_offset_out_of_range_wedges_its_lane_and_is_not_reset),
		cmocka_unit_test(what_came_before_an_answer_too_large_is_taken_before_that_is_told),
		cmocka_unit_test(a_group_without_offsets_wedges_where_start_is_error),
		cmocka_unit_test(a_group_that_starts_at_the_end_remembers_where_that_was),
		cmocka_unit_test(a_letter_that_is_too_big_is_refused_with_a_reason),
		cmocka_unit_test(brokers_that_are_away_are_a_condition_and_close_stays_bounded),
		cmocka_unit_test(a_wake_ends_the_wait),
	};

	if (argc > 1 && *argv[1] == '!')
		cmocka_set_skip_filter(argv[1] + 1);
	else if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	plugin = rig_load(QBUS_TEST_PLUGIN);
	return cmocka_run_group_tests(tests, keeper_open, keeper_close);
}
