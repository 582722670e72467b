/* SPDX-License-Identifier: MIT */
/* Publications of the AMQP plugin to a real broker: nothing counts as published that no queue has. */
#include "amqp_pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_publication_is_confirmed_and_keeps_its_headers(void **state)
{
	struct pair *pair = pair_begin(state, "quorum");
	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", NULL);
	struct qb_header headers[] = {
		{{"content-type", 12}, {"text/plain", 10}},
		{{"x-own", 5}, {"1", 1}},
		{{"expiration", 10}, {"1", 1}},
		{{"x-delivery-count", 16}, {"7", 1}},
		{{"priority", 8}, {"300", 3}},
		{{"", 0}, {"nameless", 8}},
	};
	struct qb_outgoing outgoing = {
		.target = "",
		.routing_key = pair->broker->queue,
		.body = {"hello", 5},
		.headers = headers,
		.n_headers = sizeof(headers) / sizeof(*headers),
	};

	rig->plugin->publish(rig->source, &outgoing, 77);
	RIG_WAIT(rig, rig->n_published == 1 && rig->n_messages == 1, PATIENCE_MS);
	assert_int_equal(rig->published[0].token, 77);
	assert_int_equal(rig->published[0].status, 0);
	assert_string_equal(rig->messages[0].routing_key, pair->broker->queue);
	assert_string_equal(rig->messages[0].exchange, "");
	assert_string_equal(pair_header(&rig->messages[0], "content-type"), "text/plain");
	assert_string_equal(pair_header(&rig->messages[0], "x-own"), "1");
	assert_string_equal(pair_header(&rig->messages[0], "expiration"), "1");
	assert_string_equal(pair_header(&rig->messages[0], "delivery-mode"), "2");
	assert_string_equal(pair_header(&rig->messages[0], "priority"), "300");
	assert_string_equal(pair_header(&rig->messages[0], ""), "nameless");
	assert_null(pair_header(&rig->messages[0], "x-delivery-count"));
}

static void a_publication_without_a_queue_fails(void **state)
{
	struct pair *pair = pair_begin(state, "classic");
	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", NULL);
	struct qb_outgoing lost = {.target = "", .routing_key = "nobody-is-here", .body = {"x", 1}};
	struct qb_outgoing kept = {.target = "", .routing_key = pair->broker->queue, .body = {"y", 1}};

	for (uint64_t token = 0; token < 200; token++)
		rig->plugin->publish(rig->source, token % 2 ? &lost : &kept, token);
	RIG_WAIT(rig, rig->n_published == 200, PATIENCE_MS);
	for (size_t i = 0; i < rig->n_published; i++)
		assert_int_equal(rig->published[i].status, rig->published[i].token % 2 ? -ENOENT : 0);
}

static void a_publication_to_a_missing_exchange_fails_and_the_next_works(void **state)
{
	struct pair *pair = pair_begin(state, "classic");
	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", NULL);
	struct qb_outgoing lost = {.target = "no-such-exchange", .body = {"x", 1}};
	struct qb_outgoing kept = {.target = "", .routing_key = pair->broker->queue, .body = {"y", 1}};

	rig->plugin->publish(rig->source, &lost, 1);
	RIG_WAIT(rig, rig->n_published == 1, PATIENCE_MS);
	assert_int_equal(rig->published[0].status, -EIO);
	assert_non_null(strstr(rig->published[0].reason, "404 NOT_FOUND"));
	for (uint64_t token = 2; rig->n_published < 2 || rig->published[rig->n_published - 1].status; token++) {
		rig->plugin->publish(rig->source, &kept, token);
		RIG_WAIT(rig, rig->n_published == token, PATIENCE_MS);
		if (rig->published[token - 1].status)
			rig_poll(rig, 100);
	}
	RIG_WAIT(rig, rig->n_messages == 1, PATIENCE_MS);
}

static bool is_missing(const struct rig *rig)
{
	const struct rig_condition *missing = rig_condition_find(rig, QB_TARGET_MISSING, 0);

	return missing && missing->on;
}

/* The question closes the channel of the publications; those before and behind it are confirmed all the same. */
static void a_missing_exchange_is_told_until_it_is_there_and_asking_disturbs_nothing(void **state)
{
	struct pair *pair = pair_begin(state, "classic");
	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", NULL);
	struct qb_outgoing kept = {.target = "", .routing_key = pair->broker->queue, .body = {"y", 1}};
	const char *exchange = pair->broker->queue; /* as good a name as any */

	for (uint64_t token = 1; token <= 20; token++)
		rig->plugin->publish(rig->source, &kept, token);
	rig->plugin->aim(rig->source, exchange);
	RIG_WAIT(rig, is_missing(rig), PATIENCE_MS);
	assert_non_null(strstr(rig_condition_find(rig, QB_TARGET_MISSING, 0)->reason, exchange));
	for (uint64_t token = 21; token <= 40; token++)
		rig->plugin->publish(rig->source, &kept, token);
	RIG_WAIT(rig, rig->n_published == 40, PATIENCE_MS);
	for (size_t i = 0; i < rig->n_published; i++)
		assert_int_equal(rig->published[i].status, 0);
	assert_null(rig_log_find(rig, "connection is lost"));
	broker_exchange(pair->broker, exchange, true);
	RIG_WAIT(rig, !is_missing(rig), PATIENCE_MS);
	broker_exchange(pair->broker, exchange, false);
}

static void the_default_exchange_and_one_that_is_there_are_not_missed(void **state)
{
	struct pair *pair = pair_begin(state, "classic");
	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", NULL);
	struct qb_outgoing kept = {.target = "amq.direct", .routing_key = "nobody-is-here", .body = {"y", 1}};
	const char *const exchanges[] = {"", "amq.direct"};

	for (uint64_t token = 1; token <= 2; token++) {
		rig->plugin->aim(rig->source, exchanges[token - 1]);
		rig_poll(rig, 0); /* asks */
		rig->plugin->publish(rig->source, &kept, token);
		RIG_WAIT(rig, rig->n_published == token, PATIENCE_MS);
		assert_int_equal(rig->published[token - 1].status, -ENOENT); /* its connection has not been lost over it */
	}
	assert_null(rig_condition_find(rig, QB_TARGET_MISSING, 0));
}

/* The largest body of RabbitMQ 3 is 128 MiB, of RabbitMQ 4 16 MiB; what is open beside the large one has not failed by
 * itself. */
static void a_publication_that_is_too_large_is_told_from_the_others(void **state)
{
	struct pair *pair = pair_begin(state, "classic");
	struct rig *rig = PAIR_OPEN(pair, "prefetch", "10", NULL);
	size_t len = ((size_t)128 << 20) + 1;
	char *body = calloc(1, len);
	struct qb_outgoing large = {.target = "", .routing_key = pair->broker->queue, .body = {body, len}};
	struct qb_outgoing small = {.target = "", .routing_key = pair->broker->queue, .body = {"y", 1}};

	assert_non_null(body);
	rig->plugin->publish(rig->source, &large, 1);
	rig->plugin->publish(rig->source, &small, 2);
	RIG_WAIT(rig, rig->n_published == 2, PATIENCE_MS);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(rig->published[i].status, rig->published[i].token == 1 ? -EMSGSIZE : -EIO);
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(a_publication_is_confirmed_and_keeps_its_headers),
		PAIR_TEST(a_publication_without_a_queue_fails),
		PAIR_TEST(a_publication_to_a_missing_exchange_fails_and_the_next_works),
		PAIR_TEST(a_missing_exchange_is_told_until_it_is_there_and_asking_disturbs_nothing),
		PAIR_TEST(the_default_exchange_and_one_that_is_there_are_not_missed),
		PAIR_TEST(a_publication_that_is_too_large_is_told_from_the_others),
	};

	pair_skips(sizeof(tests) / sizeof(*tests));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
