/* SPDX-License-Identifier: MIT */
/* The memory plugin, driven through the contract. Each test has a pipeline of its own, so the stores do not mix. */
#include "rig.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OPEN(pipeline_, ...) open_rig(rig_new(rig_load(QBUS_TEST_PLUGIN), __VA_ARGS__, NULL), pipeline_)

static struct rig *open_rig(struct rig *rig, const char *pipeline)
{
	rig->conf.pipeline = pipeline;
	assert_int_equal(rig_open(rig), QB_OK);
	return rig;
}

static void reopen(struct rig *rig)
{
	rig_close(rig, 1000);
	assert_int_equal(rig_open(rig), QB_OK);
}

static void every_message_tells_its_place(void **state)
{
	(void)state;
	struct rig *rig =
		OPEN("places", "messages", "10", "lanes", "3", "keys", "2", "headers", "1", "first", "5", "body_bytes", "64");

	RIG_WAIT(rig, rig->n_messages == 10, 60000);
	for (size_t i = 0; i < rig->n_messages; i++) {
		const struct rig_message *message = &rig->messages[i];
		char head[64];

		snprintf(head, sizeof(head), "%d:%lld.", (int)message->partition, (long long)message->receipt);
		assert_memory_equal(message->body, head, strlen(head));
		assert_int_equal(message->body_len, 64);
		snprintf(head, sizeof(head), "%d/%lld", (int)message->partition, (long long)message->receipt % 2);
		assert_string_equal(message->key, head);
		assert_int_equal(message->n_headers, 1);
	}
	assert_int_equal(rig->lanes[0].n_messages, 4);
	assert_int_equal(rig->lanes[2].n_messages, 3);
	assert_int_equal(rig->lanes[0].last, 8);
	rig_free(rig);
}

static void a_budget_ends_a_poll(void **state)
{
	(void)state;
	struct rig *rig = OPEN("budget", "body_bytes", "100");

	rig->budget = (struct qb_budget){.messages = 7, .bytes = 1 << 20};
	rig_poll(rig, 1000);
	assert_int_equal(rig->n_messages, 7);
	rig->budget = (struct qb_budget){.messages = 1000, .bytes = 150};
	rig_poll(rig, 1000);
	assert_int_equal(rig->n_messages, 9);
	rig->budget = (struct qb_budget){.messages = 0, .bytes = 0};
	rig_poll(rig, 5);
	assert_int_equal(rig->n_messages, 9);
	rig_free(rig);
}

static void a_source_goes_on_where_the_settlements_ended(void **state)
{
	(void)state;
	struct rig *rig = OPEN("resume", "messages", "20");

	RIG_WAIT(rig, rig->n_messages == 20, 60000);
	rig_settle(rig, rig->lanes[0].id, 11, QB_ACK, "1:13-14");
	assert_int_equal(rig->lanes[0].settled, 11);
	reopen(rig);
	assert_int_equal(rig->lanes[1].next, 12);
	assert_string_equal(rig->lanes[1].memo, "1:13-14");
	RIG_WAIT(rig, rig->n_messages == 28, 60000);
	assert_int_equal(rig->messages[20].receipt, 12);
	rig_poll(rig, 5);
	assert_int_equal(rig->n_messages, 28);
	rig_free(rig);
}

static void a_shut_lane_delivers_nothing_and_loses_nothing(void **state)
{
	(void)state;
	struct rig *rig = OPEN("valve", "messages", "6", "lanes", "2");

	rig->plugin->flow(rig->source, rig->lanes[0].id, false);
	RIG_WAIT(rig, rig->n_messages == 3, 60000);
	rig_poll(rig, 5);
	assert_int_equal(rig->lanes[0].n_messages, 0);
	rig->plugin->flow(rig->source, rig->lanes[0].id, true);
	RIG_WAIT(rig, rig->n_messages == 6, 60000);
	rig_free(rig);
}

static void a_drained_source_delivers_nothing(void **state)
{
	(void)state;
	struct rig *rig = OPEN("drain", "body_bytes", "10");

	rig->plugin->drain(rig->source);
	rig_poll(rig, 5);
	assert_int_equal(rig->n_messages, 0);
	rig_free(rig);
}

static void the_script_loses_the_connection_once(void **state)
{
	(void)state;
	struct rig *rig = OPEN("lost", "messages", "30", "script", "lost@10");

	rig_poll(rig, 1000);
	assert_int_equal(rig->result, QB_LOST);
	assert_int_equal(rig->n_messages, 10);
	assert_false(rig_condition_find(rig, QB_CONNECTED, 0)->on);
	reopen(rig);
	RIG_WAIT(rig, rig->n_messages == 40, 60000);
	assert_int_equal(rig->result, QB_OK);
	rig_free(rig);
}

static void the_script_closes_a_lane_without_warning(void **state)
{
	(void)state;
	struct rig *rig = OPEN("close", "messages", "10", "script", "close@4");

	RIG_WAIT(rig, rig->n_messages == 14, 60000);
	assert_true(rig->lanes[0].is_closed);
	assert_false(rig->lanes[0].is_closing);
	assert_int_equal(rig->lanes[1].n_messages, 10);
	rig_free(rig);
}

static void the_script_gives_a_lane_up_in_peace(void **state)
{
	(void)state;
	struct rig *rig = OPEN("revoke", "messages", "10", "script", "revoke@4");

	rig->settles_all = true;
	RIG_WAIT(rig, rig->n_messages == 10, 60000);
	assert_true(rig->lanes[0].is_drained);
	assert_true(rig->lanes[0].is_closed);
	assert_int_equal(rig->lanes[1].next, 4);
	assert_int_equal(rig->lanes[1].n_messages, 6);
	rig_free(rig);
}

static void a_rate_is_kept(void **state)
{
	(void)state;
	int64_t begin_ms = rig_now_ms();
	struct rig *rig = OPEN("rate", "rate", "2000");

	RIG_WAIT(rig, rig->n_messages >= 400, 60000);

	int64_t elapsed_ms = rig_now_ms() - begin_ms;

	assert_true(elapsed_ms >= 195);
	assert_true((int64_t)rig->n_messages <= elapsed_ms * 2 + 20);
	rig_free(rig);
}

static void *wake(void *arg)
{
	struct rig *rig = arg;

	rig->plugin->wake(rig->source);
	return NULL;
}

static void a_wake_ends_a_waiting_poll(void **state)
{
	(void)state;
	struct rig *rig = OPEN("wake", "messages", "1");
	pthread_t thread;

	RIG_WAIT(rig, rig->n_messages == 1, 60000);

	int64_t begin_ms = rig_now_ms();

	assert_int_equal(pthread_create(&thread, NULL, wake, rig), 0);
	rig_poll(rig, 20000);
	assert_true(rig_now_ms() - begin_ms < 10000);
	pthread_join(thread, NULL);
	rig_free(rig);
}

static void a_poll_without_messages_waits_its_time(void **state)
{
	(void)state;
	struct rig *rig = OPEN("wait", "messages", "1");

	RIG_WAIT(rig, rig->n_messages == 1, 60000);

	int64_t begin_ms = rig_now_ms();

	rig_poll(rig, 50);
	assert_true(rig_now_ms() - begin_ms >= 49);
	rig_free(rig);
}

static void publications_are_refused_as_often_as_asked(void **state)
{
	(void)state;
	struct rig *rig = OPEN("publish", "messages", "1", "refuse_publishing", "1");
	const struct qb_outgoing message = {.target = "dead", .body = {"x", 1}};

	rig->plugin->publish(rig->source, &message, 1);
	rig->plugin->publish(rig->source, &message, 2);
	RIG_WAIT(rig, rig->n_published == 2, 60000);
	assert_int_equal(rig->published[0].status, -EIO);
	assert_int_equal(rig->published[1].status, 0);
	rig_close(rig, 0);
	assert_non_null(rig_log_find(rig, "published=1 refused=1"));
	rig_free(rig);
}

static void a_wedged_lane_goes_on_behind_what_is_skipped(void **state)
{
	(void)state;
	struct rig *rig = OPEN("wedge", "messages", "10", "script", "wedge@4");

	RIG_WAIT(rig, rig_condition_find(rig, QB_WEDGED, rig->lanes[0].id), 60000);
	rig_poll(rig, 0);
	assert_int_equal(rig->n_messages, 4);
	assert_int_equal((rig->plugin->skip)(rig->source, rig->lanes[0].id, 3), -ERANGE);
	assert_int_equal((rig->plugin->skip)(rig->source, rig->lanes[0].id, 10), -ERANGE);
	assert_int_equal((rig->plugin->skip)(rig->source, rig->lanes[0].id, 5), 0);
	assert_false(rig_condition_find(rig, QB_WEDGED, rig->lanes[0].id)->on);
	assert_int_equal((rig->plugin->skip)(rig->source, rig->lanes[0].id, 7), -EBUSY);
	RIG_WAIT(rig, rig->n_messages == 8, 60000);
	assert_int_equal(rig->messages[4].receipt, 6);
	rig_free(rig);
}

static void a_script_with_a_typo_is_refused(void **state)
{
	(void)state;
	const struct qb_plugin *plugin = rig_load(QBUS_TEST_PLUGIN);
	static const char *const scripts[] = {"lots@5", "lost", "lost@", "lost@-1", "lost@5x", "lost@9;lost@5"};

	for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
		struct rig *rig = rig_new(plugin, "script", scripts[i], NULL);

		assert_int_equal(rig_check(rig), 1);
		rig_free(rig);
	}
	struct rig *rig = rig_new(plugin, "script", "lost@5;close@5;revoke@70;fatal@80", NULL);

	assert_int_equal(rig_check(rig), 0);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_tells_its_place),
		cmocka_unit_test(a_budget_ends_a_poll),
		cmocka_unit_test(a_source_goes_on_where_the_settlements_ended),
		cmocka_unit_test(a_shut_lane_delivers_nothing_and_loses_nothing),
		cmocka_unit_test(a_drained_source_delivers_nothing),
		cmocka_unit_test(the_script_loses_the_connection_once),
		cmocka_unit_test(the_script_closes_a_lane_without_warning),
		cmocka_unit_test(the_script_gives_a_lane_up_in_peace),
		cmocka_unit_test(a_rate_is_kept),
		cmocka_unit_test(a_wake_ends_a_waiting_poll),
		cmocka_unit_test(a_poll_without_messages_waits_its_time),
		cmocka_unit_test(publications_are_refused_as_often_as_asked),
		cmocka_unit_test(a_wedged_lane_goes_on_behind_what_is_skipped),
		cmocka_unit_test(a_script_with_a_typo_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
