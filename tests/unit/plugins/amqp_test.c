/* SPDX-License-Identifier: MIT */
/* The AMQP plugin against a real broker, whose url is in QBUS_TEST_AMQP_URL; without it every test here is skipped. */
#include "amqp_pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void settle_run(struct rig *rig, uint64_t lane, int64_t from, int64_t to)
{
	for (int64_t receipt = from; receipt <= to; receipt++)
		rig_settle(rig, lane, receipt, QB_ACK, NULL);
}

/* Settles what each poll delivered, in bursts as the runtime would, until n messages came. */
static void consume_all(struct rig *rig, size_t n)
{
	static struct qb_settlement settlements[4096];
	int64_t end_ms = rig_now_ms() + 120000;
	int64_t settled = 0;

	while (rig->n_messages < n) {
		assert_true(rig_now_ms() < end_ms);
		rig_poll(rig, 1000);
		assert_int_equal(rig->result, QB_OK);

		size_t n_new = 0;

		for (; settled < rig->lanes[0].last; settled++)
			settlements[n_new++] =
				(struct qb_settlement){.lane = rig->lanes[0].id, .receipt = settled + 1, .verdict = QB_ACK};
		if (n_new)
			rig->plugin->settle(rig->source, settlements, n_new);
	}
}

/* The broker takes back what a closed channel held in its own time; more than n would be acks without effect. */
static void count_wait(struct broker *broker, const char *queue, size_t n)
{
	int64_t end_ms = rig_now_ms() + PATIENCE_MS;

	while (broker_count(broker, queue) < n)
		assert_true(rig_now_ms() < end_ms);
	assert_int_equal(broker_count(broker, queue), n);
}

/* QBUS_TEST_AMQP_MESSAGES: fewer, for a build that is slow. */
static size_t n_many(void)
{
	const char *number = getenv("QBUS_TEST_AMQP_MESSAGES");

	return number ? strtoul(number, NULL, 10) : 100000;
}

static void many_are_consumed(struct pair *pair)
{
	const size_t n = n_many();
	const char *queue = pair->broker->queue;
	int64_t begin_ms, end_ms;

	broker_fill(pair->broker, queue, n);

	struct rig *rig = PAIR_OPEN(pair, "prefetch", "1000", NULL);

	rig->counts_only = true;
	begin_ms = rig_now_ms();
	consume_all(rig, n);
	end_ms = rig_now_ms();
	assert_int_equal(rig->n_messages, n);
	rig_close(rig, 5000);
	print_message("%zu messages in %lld ms\n", n, (long long)(end_ms - begin_ms));

	/* What was not acked would come again. */
	count_wait(pair->broker, queue, 0);
}

static void a_classic_queue_is_emptied(void **state)
{
	many_are_consumed(pair_begin(state, "classic"));
}

static void a_quorum_queue_is_emptied(void **state)
{
	many_are_consumed(pair_begin(state, "quorum"));
}

/* Many acks that cannot be joined, then the end at once: each must have its effect. In odd rounds the consumer was
 * cancelled before. */
static void a_clean_stop_returns_only_what_is_unsettled(void **state)
{
	struct pair *pair = pair_begin(state, "quorum");
	const char *queue = pair->broker->queue;
	size_t n_left = 8000;

	broker_fill(pair->broker, queue, n_left);
	for (int round = 0; round < 6; round++) {
		struct rig *rig = PAIR_OPEN(pair, "prefetch", "1000", "start_prefetch", "1000", NULL);

		RIG_WAIT(rig, rig->n_messages >= 1000, PATIENCE_MS);
		if (round % 2)
			rig->plugin->drain(rig->source);
		for (int64_t receipt = 2; receipt <= 1000; receipt += 2)
			rig_settle(rig, rig->lanes[0].id, receipt, QB_ACK, NULL);
		rig_free(rig);
		pair->rig = NULL;
		n_left -= 500;
		count_wait(pair->broker, queue, n_left);
	}
}

static void only_what_is_unsettled_comes_again(void **state)
{
	struct pair *pair = pair_begin(state, "quorum");
	struct rig *rig = PAIR_OPEN(pair, "prefetch", "50", "start_prefetch", "50", NULL);
	uint64_t lane = rig->lanes[0].id;

	broker_fill(pair->broker, pair->broker->queue, 20);
	RIG_WAIT(rig, rig->n_messages == 20, PATIENCE_MS);
	assert_int_equal(rig->messages[0].deliveries, 0);
	for (int64_t receipt = 20; receipt > 0; receipt--)
		if (receipt != 3 && receipt != 11)
			rig_settle(rig, lane, receipt, QB_ACK, NULL);
	settle_run(rig, lane, 1, 2);   /* a second verdict is not sent */
	settle_run(rig, lane, 21, 25); /* nor one for what never came */
	rig_poll(rig, 50);
	assert_int_equal(rig->result, QB_OK);
	rig_close(rig, 5000);
	assert_int_equal(rig_open(rig), QB_OK);
	rig_settle(rig, lane, 1, QB_ACK, NULL); /* of the old lane: would settle a message of the new one */
	RIG_WAIT(rig, rig->n_messages == 22, PATIENCE_MS);
	assert_string_not_equal(rig->messages[20].body, rig->messages[21].body);
	assert_memory_equal(rig->messages[20].body, "2.", 2);
	assert_memory_equal(rig->messages[21].body, "10.", 3);
	assert_int_equal(rig->messages[20].deliveries, 1);
	assert_int_equal(rig->messages[20].receipt, 1);
	settle_run(rig, rig->lanes[1].id, 1, 2);
	rig_close(rig, 5000);
	assert_int_equal(broker_count(pair->broker, pair->broker->queue), 0);
}

static void acks_without_an_answer_are_told_at_the_end(void **state)
{
	struct pair *pair = pair_begin(state, "classic");

	broker_fill(pair->broker, pair->broker->queue, 20);
	for (int timeout_ms = 0; timeout_ms <= 5000; timeout_ms += 5000) {
		struct rig *rig = PAIR_OPEN(pair, "prefetch", "50", "start_prefetch", "50", NULL);

		RIG_WAIT(rig, rig->n_messages >= 10, PATIENCE_MS);
		settle_run(rig, rig->lanes[0].id, 1, 10);
		rig_close(rig, timeout_ms);
		assert_int_equal(rig_measure_sum(rig, QB_UNPROVEN), timeout_ms ? 0 : 10);
		rig_free(rig);
		pair->rig = NULL;
	}
}

static void the_queue_is_asked_for_its_length_and_that_proves_acks(void **state)
{
	struct pair *pair = pair_begin(state, "quorum");

	broker_fill(pair->broker, pair->broker->queue, 30);

	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", "start_prefetch", "10", NULL);

	RIG_WAIT(rig, rig->n_messages == 10, PATIENCE_MS);
	settle_run(rig, rig->lanes[0].id, 1, 10);
	RIG_WAIT(rig, rig->n_messages == 20, PATIENCE_MS);
	RIG_WAIT(rig, rig_measure_newest(rig, QB_LAG) == 10, PATIENCE_MS);
	rig_close(rig, 0);
	assert_int_equal(rig_measure_sum(rig, QB_UNPROVEN), 0);
}

static void a_rejected_message_goes_to_the_dead_letters(void **state)
{
	struct pair *pair = pair_begin(state, NULL);
	char dead[80];

	snprintf(dead, sizeof(dead), "%s-dead", pair->broker->queue);
	broker_declare(pair->broker, dead, "classic", NULL);
	broker_declare(pair->broker, pair->broker->queue, "classic", dead);
	broker_fill(pair->broker, pair->broker->queue, 3);

	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", NULL);

	RIG_WAIT(rig, rig->n_messages == 3, PATIENCE_MS);
	rig_settle(rig, rig->lanes[0].id, 2, QB_REJECT, NULL);
	rig_settle(rig, rig->lanes[0].id, 2, QB_REJECT, NULL);
	rig_settle(rig, rig->lanes[0].id, 1, QB_ACK, NULL);
	rig_settle(rig, rig->lanes[0].id, 3, QB_ACK, NULL);
	RIG_WAIT(rig, broker_count(pair->broker, dead) == 1, PATIENCE_MS);
	broker_delete(pair->broker, dead);
}

static void an_oversized_body_is_rejected_and_the_next_comes(void **state)
{
	struct pair *pair = pair_begin(state, NULL);
	char dead[80], *body = calloc(1, 500000);

	snprintf(dead, sizeof(dead), "%s-dead", pair->broker->queue);
	broker_declare(pair->broker, dead, "classic", NULL);
	broker_declare(pair->broker, pair->broker->queue, "classic", dead);
	broker_publish(pair->broker, pair->broker->queue, NULL, body, 500000);
	broker_publish(pair->broker, pair->broker->queue, NULL, "small", 5);

	struct rig *rig = rig_new(rig_load(QBUS_TEST_PLUGIN), "url", broker_url(), "queue", pair->broker->queue, NULL);

	rig->conf.max_message_bytes = 499999;
	pair_open(pair, rig);
	RIG_WAIT(rig, rig->n_messages == 1, PATIENCE_MS);
	assert_string_equal(rig->messages[0].body, "small");
	assert_int_equal(rig->messages[0].receipt, 2);
	assert_non_null(rig_log_find(rig, "bytes=500000 limit=499999"));
	assert_int_equal(rig_measure_sum(rig, QB_OVERSIZE), 1);
	RIG_WAIT(rig, broker_count(pair->broker, dead) == 1, PATIENCE_MS);
	broker_delete(pair->broker, dead);
	free(body);
}

static void a_large_body_arrives_whole(void **state)
{
	struct pair *pair = pair_begin(state, "classic");
	size_t len = 20000000;
	char *body = malloc(len);

	for (size_t i = 0; i < len; i++)
		body[i] = (char)(i * 7 + i / 131);
	broker_publish(pair->broker, pair->broker->queue, NULL, body, len);
	broker_publish(pair->broker, pair->broker->queue, NULL, NULL, 0);

	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", NULL);

	rig->budget.bytes = 1000; /* what begins within the budget comes whole */
	rig_poll(rig, 1000);
	RIG_WAIT(rig, rig->n_messages == 2, PATIENCE_MS);
	assert_int_equal(rig->messages[0].body_len, len);
	assert_memory_equal(rig->messages[0].body, body, len);
	assert_int_equal(rig->messages[1].body_len, 0);
	assert_non_null(rig->messages[1].body);
	free(body);
}

static void a_deleted_queue_is_noticed_and_consumed_again(void **state)
{
	struct pair *pair = pair_begin(state, "classic");
	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", NULL);
	const char *queue = pair->broker->queue;

	broker_fill(pair->broker, queue, 2);
	RIG_WAIT(rig, rig->n_messages == 2, PATIENCE_MS);
	broker_delete(pair->broker, queue);
	RIG_WAIT(rig, rig_condition_find(rig, QB_CANCELLED, 0), PATIENCE_MS);
	assert_true(rig_condition_find(rig, QB_CANCELLED, 0)->on);

	/* The next attempt finds no queue: the broker closes the channel, and with it the lane. */
	RIG_WAIT(rig, rig->lanes[0].is_closed, PATIENCE_MS);
	rig_settle(rig, rig->lanes[0].id, 1, QB_ACK, NULL);
	broker_declare(pair->broker, queue, "classic", NULL);
	broker_fill(pair->broker, queue, 5);
	RIG_WAIT(rig, rig->n_messages == 7, PATIENCE_MS);
	assert_false(rig_condition_find(rig, QB_CANCELLED, 0)->on);
	assert_int_equal(rig->messages[2].lane, rig->lanes[1].id);
	settle_run(rig, rig->lanes[1].id, 1, 5);
	rig_close(rig, 5000);
	assert_int_equal(broker_count(pair->broker, queue), 0);
}

static void a_drained_source_delivers_what_it_received(void **state)
{
	struct pair *pair = pair_begin(state, "classic");
	struct rig *rig;

	broker_fill(pair->broker, pair->broker->queue, 30);
	rig = PAIR_OPEN(pair, "prefetch", "10", "start_prefetch", "10", NULL);
	rig->budget.messages = 3;
	RIG_WAIT(rig, rig->n_messages >= 3, PATIENCE_MS);
	rig->plugin->drain(rig->source);
	rig->budget = (struct qb_budget){0};
	RIG_WAIT(rig, broker_consumers(pair->broker, pair->broker->queue) == 0, PATIENCE_MS);
	settle_run(rig, rig->lanes[0].id, 1, 3);
	for (int i = 0; i < 3; i++)
		rig_poll(rig, 20);
	assert_false(rig->is_drained); /* what nobody takes yet is still there */
	rig->budget = (struct qb_budget){.messages = 3, .bytes = 1 << 20};
	RIG_WAIT(rig, rig->is_drained, PATIENCE_MS);
	assert_int_equal(rig->n_messages, 10);
	settle_run(rig, rig->lanes[0].id, 4, 10);
	rig_poll(rig, 50);
	assert_int_equal(rig->n_messages, 10);
	rig_close(rig, 5000);
	assert_int_equal(broker_count(pair->broker, pair->broker->queue), 20);
}

/* A new consumer starts before the old one goes, so the queue never sees a moment without. */
static void the_prefetch_grows_with_the_first_acks(void **state)
{
	struct pair *pair = pair_begin(state, NULL);
	struct rig *rig;

	broker_declare_auto_delete(pair->broker, pair->broker->queue);
	broker_fill(pair->broker, pair->broker->queue, 100);
	rig = PAIR_OPEN(pair, "prefetch", "40", "start_prefetch", "5", NULL);
	RIG_WAIT(rig, rig->n_messages == 5, PATIENCE_MS);
	rig_poll(rig, 50);
	assert_int_equal(rig->n_messages, 5);
	settle_run(rig, rig->lanes[0].id, 1, 5);
	RIG_WAIT(rig, rig->n_messages >= 45, PATIENCE_MS);
	RIG_WAIT(rig, broker_consumers(pair->broker, pair->broker->queue) == 1, PATIENCE_MS);

	/* Until it is cancelled the first consumer may get its five again. */
	assert_in_range(rig->n_messages, 45, 50);
	for (size_t i = 0; i < rig->n_messages; i++)
		assert_int_equal(atoi(rig->messages[i].body), i);
}

static void an_empty_budget_delivers_nothing(void **state)
{
	struct pair *pair = pair_begin(state, "classic");
	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", NULL);

	broker_fill(pair->broker, pair->broker->queue, 5);
	rig->budget = (struct qb_budget){0};
	RIG_WAIT(rig, rig_measure_newest(rig, QB_QUEUE_BYTES) > 1000, PATIENCE_MS);
	assert_int_equal(rig->n_messages, 0);
	rig->budget = (struct qb_budget){.messages = 100, .bytes = 1 << 20};
	RIG_WAIT(rig, rig->n_messages == 5, PATIENCE_MS);
}

static void a_long_wait_keeps_the_heartbeat(void **state)
{
	struct pair *pair = pair_begin(state, "classic");
	struct rig *rig = PAIR_OPEN(pair, "heartbeat", "1s", NULL);
	int64_t end_ms = rig_now_ms() + 4000;
	struct qb_outgoing outgoing = {.target = "", .routing_key = pair->broker->queue, .body = {"y", 1}};

	rig->plugin->publish(rig->source, &outgoing, 1);
	while (rig_now_ms() < end_ms) {
		rig_poll(rig, 60000);
		assert_int_equal(rig->result, QB_OK);
	}
	rig->plugin->publish(rig->source, &outgoing, 2);
	RIG_WAIT(rig, rig->n_published == 2, PATIENCE_MS);
	assert_int_equal(rig->published[1].status, 0);
	assert_null(rig_log_find(rig, "publishing connection is lost"));
}

/* Opens a source that must fail; the reason must hold the piece. */
static void refused(struct pair *pair, struct rig *rig, enum qb_result result, const char *piece)
{
	pair->rig = rig;
	assert_int_equal(rig_open(rig), result);
	assert_null(rig->source);
	assert_false(rig_condition_find(rig, QB_CONNECTED, 0)->on);
	if (!strstr(rig_condition_find(rig, QB_CONNECTED, 0)->reason, piece))
		fail_msg("reason: %s", rig_condition_find(rig, QB_CONNECTED, 0)->reason);
	rig_free(rig);
	pair->rig = NULL;
}

static void a_refusal_is_told_from_an_outage(void **state)
{
	struct pair *pair = pair_begin(state, NULL);
	const struct qb_plugin *plugin = rig_load(QBUS_TEST_PLUGIN);
	const char *queue = pair->broker->queue;
	char urls[256];

	refused(pair, rig_new(plugin, "url", broker_url(), "queue", queue, NULL), QB_FATAL, "404 NOT_FOUND");
	refused(pair, rig_new(plugin, "url", broker_url(), "queue", queue, "password", "wrong", NULL), QB_FATAL,
		"403 ACCESS_REFUSED");
	refused(pair, rig_new(plugin, "url", "amqp://localhost:1/", "queue", queue, NULL), QB_LOST, "connecting to");

	/* The second url answers. */
	broker_declare(pair->broker, queue, "classic", NULL);
	snprintf(urls, sizeof(urls), "amqp://localhost:1;%s", broker_url());
	pair->rig = rig_new(plugin, "url", urls, "queue", queue, NULL);
	assert_int_equal(rig_open(pair->rig), QB_OK);
}

static void a_queue_is_declared_as_asked(void **state)
{
	struct pair *pair = pair_begin(state, NULL);
	struct rig *rig = PAIR_OPEN(
		pair, "declare.durable", "true", "declare.arguments", "x-queue-type=quorum;x-delivery-limit=20", NULL);

	broker_fill(pair->broker, pair->broker->queue, 1);
	RIG_WAIT(rig, rig->n_messages == 1, PATIENCE_MS);
	rig_close(rig, 1000);
	refused(pair,
		(rig_free(rig), rig_new(rig_load(QBUS_TEST_PLUGIN), "url", broker_url(), "queue", pair->broker->queue,
							"declare.arguments", "x-queue-type=classic", NULL)),
		QB_FATAL, "406 PRECONDITION_FAILED");
}

/* Tables inside tables, as deep as a frame can hold, have killed consumers by their recursion. */
static void a_bottomless_header_is_no_poison(void **state)
{
	struct pair *pair = pair_begin(state, "classic");
	const int depth = 2500;
	amqp_table_entry_t *entries = calloc((size_t)depth, sizeof(*entries));
	amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG};

	for (int i = 0; i < depth; i++) {
		entries[i].key = amqp_cstring_bytes("");
		entries[i].value.kind = AMQP_FIELD_KIND_TABLE;
		entries[i].value.value.table =
			(amqp_table_t){.num_entries = i + 1 < depth, .entries = i + 1 < depth ? &entries[i + 1] : NULL};
	}
	properties.headers = (amqp_table_t){.num_entries = 1, .entries = entries};
	broker_publish(pair->broker, pair->broker->queue, &properties, "deep", 4);
	broker_publish(pair->broker, pair->broker->queue, NULL, "next", 4);

	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", NULL);

	RIG_WAIT(rig, rig->n_messages == 2, PATIENCE_MS);
	assert_string_equal(rig->messages[0].body, "deep");
	assert_non_null(pair_header(&rig->messages[0], ""));
	free(entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(a_classic_queue_is_emptied),
		PAIR_TEST(a_quorum_queue_is_emptied),
		PAIR_TEST(a_clean_stop_returns_only_what_is_unsettled),
		PAIR_TEST(only_what_is_unsettled_comes_again),
		PAIR_TEST(acks_without_an_answer_are_told_at_the_end),
		PAIR_TEST(the_queue_is_asked_for_its_length_and_that_proves_acks),
		PAIR_TEST(a_rejected_message_goes_to_the_dead_letters),
		PAIR_TEST(an_oversized_body_is_rejected_and_the_next_comes),
		PAIR_TEST(a_large_body_arrives_whole),
		PAIR_TEST(a_deleted_queue_is_noticed_and_consumed_again),
		PAIR_TEST(a_drained_source_delivers_what_it_received),
		PAIR_TEST(the_prefetch_grows_with_the_first_acks),
		PAIR_TEST(an_empty_budget_delivers_nothing),
		PAIR_TEST(a_long_wait_keeps_the_heartbeat),
		PAIR_TEST(a_refusal_is_told_from_an_outage),
		PAIR_TEST(a_queue_is_declared_as_asked),
		PAIR_TEST(a_bottomless_header_is_no_poison),
	};

	pair_skips(sizeof(tests) / sizeof(*tests));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
