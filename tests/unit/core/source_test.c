/* SPDX-License-Identifier: MIT */
/* A source with its real thread and a plugin made of this test: order of news, budget, loss, reopening, closing. */
#include "base/clock.h"
#include "base/log.h"
#include "core/source.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the plugin: delivers numbers as fast as the budget lets it ---- */

static struct {
	const struct qb_host *host;
	int fd;
	uint64_t lane;
	int64_t next;
	_Atomic int64_t settled;
	_Atomic int n_opens, n_drains, n_drained;
	_Atomic bool be_lost, refuse, is_stale, lose_lane;
	_Atomic int n_polls;
} fake;

/* Changes now and then, and may be the nameless one. */
static struct qb_bytes exchange_of(int64_t receipt)
{
	static const char *const names[] = {"", "orders", "orders", "mail"};
	const char *name = names[receipt / 3 % 4];
	return (struct qb_bytes){name, strlen(name)};
}

static const char *fake_library(void)
{
	return "fake 1";
}

static enum qb_result fake_open(const struct qb_host *host, const struct qb_source_conf *conf, void **ret_source)
{
	(void)conf;
	fake.n_opens++;
	fake.host = host;
	if (atomic_exchange(&fake.refuse, false)) {
		host->condition(host->self, QB_CONNECTED, 0, false, "refused");
		return QB_LOST;
	}
	fake.lane = host->lane_open(host->self, &(struct qb_lane_info){.source = {"topic", 5}, .next = fake.next});
	*ret_source = &fake;
	return QB_OK;
}

static enum qb_result fake_poll(void *source, int timeout_ms, const struct qb_budget *budget)
{
	char body[64] = {0};
	(void)source;
	fake.n_polls++;
	if (atomic_exchange(&fake.lose_lane, false))
		fake.host->lane_close(fake.host->self, fake.lane);
	if (atomic_exchange(&fake.be_lost, false))
		return QB_LOST;
	if (!budget->messages) {
		struct pollfd wait = {.fd = fake.fd, .events = POLLIN};
		uint64_t count;
		if (poll(&wait, 1, timeout_ms) > 0 && read(fake.fd, &count, sizeof count) < 0)
			return QB_FATAL;
		return QB_OK;
	}
	struct qb_message messages[8];
	size_t n = budget->messages < 8 ? budget->messages : 8;
	for (size_t i = 0; i < n; i++) {
		struct qb_bytes exchange = exchange_of(fake.next);
		messages[i] = (struct qb_message){
			.lane = fake.lane, .receipt = fake.next++, .exchange = exchange, .body = {body, sizeof body}};
	}
	fake.host->deliver(fake.host->self, messages, n);
	return QB_OK;
}

static void fake_settle(void *source, const struct qb_settlement *settlements, size_t n)
{
	(void)source;
	for (size_t i = 0; i < n; i++) {
		fake.settled = settlements[i].receipt;
		fake.host->settled(fake.host->self, settlements[i].lane, settlements[i].receipt, 0);
	}
}

static void fake_drain(void *source)
{
	(void)source;
	fake.n_drains++;
}

static void fake_lane_drained(void *source, uint64_t lane)
{
	(void)source, (void)lane;
	fake.n_drained++;
}

static void fake_close(void *source, int timeout_ms)
{
	(void)source, (void)timeout_ms;
}

static void fake_wake(void *source)
{
	uint64_t one = 1;
	(void)source;
	ssize_t ignored = write(fake.fd, &one, sizeof one);
	(void)ignored;
}

static bool fake_is_current(void *source)
{
	(void)source;
	return !fake.is_stale;
}

static const struct qb_plugin plugin = {
	.abi = QB_ABI,
	.size = sizeof plugin,
	.name = "fake",
	.traits = QB_SETTLE_PREFIX,
	.library = fake_library,
	.open = fake_open,
	.poll = fake_poll,
	.settle = fake_settle,
	.drain = fake_drain,
	.lane_drained = fake_lane_drained,
	.close = fake_close,
	.wake = fake_wake,
	.is_current = fake_is_current,
};

static size_t row_bound(const struct qb_message *message)
{
	return message->body.len;
}

static size_t row_write(const struct qb_message *message, uint8_t *ret_row)
{
	memcpy(ret_row, message->body.data, message->body.len);
	return message->body.len;
}

static const struct msg_codec codec = {row_bound, row_write, NULL};

/* ---- the loop's side ---- */

struct loop {
	struct source *source;
	struct lane *lane;
	size_t n_messages, n_opened, n_closed, n_kept, n_states[5];
	int64_t newest;
	size_t released_bytes;
	uint64_t confirmed;
	bool had_lane; /* when that came */
};

static void on_lane_open(void *ctx, struct lane *lane, const char *memo, size_t memo_len)
{
	struct loop *loop = ctx;
	(void)memo, (void)memo_len;
	loop->lane = lane;
	loop->n_opened++;
}

static void on_lane_close(void *ctx, struct lane *lane)
{
	struct loop *loop = ctx;
	assert_ptr_equal(lane, loop->lane);
	lane_free(lane);
	loop->lane = NULL;
	loop->n_closed++;
}

static void exchange_is(const struct msg_batch *batch, const uint8_t *row, int64_t receipt)
{
	struct qb_bytes exchange = msg_exchange(batch, row), sent = exchange_of(receipt);
	assert_int_equal(exchange.len, sent.len);
	assert_memory_equal(exchange.data, sent.data, sent.len);
}

static void on_batch(void *ctx, struct msg_batch *batch)
{
	struct loop *loop = ctx;
	for (uint32_t i = 0; i < batch->n_items; i++) {
		assert_ptr_equal(batch->items[i].lane, loop->lane); /* never of a lane that is not open */
		assert_int_equal(batch->items[i].receipt, loop->newest + 1);
		const uint8_t *row = batch->rows + batch->items[i].row_offset;
		exchange_is(batch, row, batch->items[i].receipt);
		struct msg_batch *own = msg_batch_of_one(batch, row);
		exchange_is(own, own->rows, batch->items[i].receipt);
		assert_memory_equal(own->rows, row, batch->items[i].row_len);
		own->released = NULL;
		msg_batch_unref(own);
		loop->newest++;
	}
	loop->n_messages += batch->n_items;
	batch->released = &loop->released_bytes;
	msg_batch_unref(batch);
}

static void on_kept(void *ctx, struct lane *lane, int64_t receipt, int status)
{
	struct loop *loop = ctx;
	(void)lane, (void)receipt;
	assert_int_equal(status, 0);
	loop->n_kept++;
}

static void on_condition(void *ctx, enum qb_condition what, struct lane *lane, bool on, const char *reason)
{
	(void)ctx, (void)what, (void)lane, (void)on;
	assert_string_equal(reason, "refused");
}

static void on_state(void *ctx, enum source_state state)
{
	struct loop *loop = ctx;
	loop->n_states[state]++;
}

static void on_confirmed(void *ctx, uint64_t question)
{
	struct loop *loop = ctx;
	loop->confirmed = question;
	loop->had_lane = loop->lane;
}

static const struct source_sink sink = {
	.lane_open = on_lane_open,
	.lane_close = on_lane_close,
	.batch = on_batch,
	.kept = on_kept,
	.condition = on_condition,
	.state = on_state,
	.confirmed = on_confirmed,
};

static const struct qb_source_conf conf = {
	.pipeline = "fake", .max_outstanding_messages = 100, .max_outstanding_bytes = 1 << 20};

static void loop_open(struct loop *loop)
{
	log_configure(LOG_ERROR, false);
	memset(&fake, 0, sizeof fake);
	fake.fd = eventfd(0, EFD_NONBLOCK);
	*loop = (struct loop){.newest = -1};
	assert_int_equal(source_new(&plugin, &conf, &codec, &sink, loop, &loop->source), 0);
}

/* Serves news until the condition is true; fails after 20 s. */
#define serve_until(loop, condition)                                                                                   \
	for (int64_t until_us = clock_now_us() + 20000000; !(condition);) {                                                \
		struct pollfd wait = {.fd = source_fd((loop)->source), .events = POLLIN};                                      \
		assert_true(clock_now_us() < until_us);                                                                        \
		poll(&wait, 1, 10);                                                                                            \
		source_serve((loop)->source);                                                                                  \
	}

static void loop_close(struct loop *loop)
{
	source_close(loop->source, 1000000);
	serve_until(loop, loop->n_states[SOURCE_CLOSED]);
	source_free(loop->source);
	close(fake.fd);
}

static void no_more_is_delivered_than_the_budget_allows(void **state)
{
	struct loop loop;
	(void)state;
	loop_open(&loop);
	assert_int_equal(source_start(loop.source), 0);
	serve_until(&loop, loop.n_messages >= 85);
	assert_true(loop.n_messages <= 100);
	size_t before = loop.n_messages;
	source_released(loop.source, before, loop.released_bytes);
	serve_until(&loop, loop.n_messages > before + 80);
	assert_true(loop.n_messages <= before + 100);
	loop_close(&loop);
}

static void a_sated_source_delivers_nothing_until_it_is_hungry(void **state)
{
	struct loop loop;
	(void)state;
	loop_open(&loop);
	source_sate(loop.source, true);
	assert_int_equal(source_start(loop.source), 0);
	serve_until(&loop, fake.n_polls > 0);
	source_released(loop.source, 0, 0); /* room alone does not wake it */
	source_flow(loop.source, 0, true);  /* an order does */
	serve_until(&loop, fake.n_polls > 1);
	assert_int_equal(loop.n_messages, 0);
	source_sate(loop.source, false);
	serve_until(&loop, loop.n_messages >= 85);
	loop_close(&loop);
}

static void a_lost_source_voids_its_lanes_and_opens_again(void **state)
{
	struct loop loop;
	(void)state;
	loop_open(&loop);
	atomic_store(&fake.refuse, true);
	assert_int_equal(source_start(loop.source), 0);
	serve_until(&loop, loop.n_messages >= 85);
	assert_int_equal(fake.n_opens, 2);
	assert_int_equal(loop.n_states[SOURCE_LOST], 1);
	atomic_store(&fake.be_lost, true);
	source_released(loop.source, loop.n_messages, loop.released_bytes);
	serve_until(&loop, loop.n_opened == 2);
	assert_int_equal(loop.n_closed, 1);
	loop_close(&loop);
	assert_int_equal(loop.n_closed, 2);
}

static void settlements_reach_the_plugin_in_order_and_not_for_closed_lanes(void **state)
{
	struct loop loop;
	(void)state;
	loop_open(&loop);
	assert_int_equal(source_start(loop.source), 0);
	serve_until(&loop, loop.lane);
	for (int64_t receipt = 0; receipt < 50; receipt++)
		source_settle(loop.source, &(struct qb_settlement){loop.lane->number, receipt, QB_ACK, {"m", 1}}, 1);
	source_settle(loop.source, &(struct qb_settlement){loop.lane->number + 1, 999, QB_ACK, {"", 0}}, 1);
	source_lane_drained(loop.source, loop.lane->number);
	source_drain(loop.source);
	serve_until(&loop, loop.n_kept == 50 && fake.n_drains && fake.n_drained);
	assert_int_equal(fake.settled, 49);
	loop_close(&loop);
}

static void what_is_lost_is_told_before_the_rest_is_confirmed(void **state)
{
	struct loop loop;
	(void)state;
	loop_open(&loop);
	atomic_store(&fake.is_stale, true);
	assert_int_equal(source_start(loop.source), 0);
	serve_until(&loop, loop.n_messages >= 85);
	source_released(loop.source, loop.n_messages, loop.released_bytes);
	source_confirm(loop.source, 1);
	source_confirm(loop.source, 2);
	int n_polls = fake.n_polls;
	serve_until(&loop, fake.n_polls > n_polls + 5);
	assert_int_equal(loop.confirmed, 0);
	atomic_store(&fake.lose_lane, true);
	atomic_store(&fake.is_stale, false);
	serve_until(&loop, loop.confirmed);
	assert_int_equal(loop.confirmed, 2);
	assert_false(loop.had_lane);
	loop_close(&loop);
}

static void a_source_that_is_not_open_has_nothing_to_confirm(void **state)
{
	struct loop loop;
	(void)state;
	loop_open(&loop);
	atomic_store(&fake.is_stale, true);
	assert_int_equal(source_start(loop.source), 0);
	serve_until(&loop, loop.lane);
	source_confirm(loop.source, 1);
	atomic_store(&fake.be_lost, true);
	serve_until(&loop, loop.confirmed == 1);
	assert_false(loop.had_lane);
	loop_close(&loop);
}

static void a_source_that_never_opened_closes_too(void **state)
{
	struct loop loop;
	(void)state;
	loop_open(&loop);
	source_close(loop.source, 0);
	assert_int_equal(source_start(loop.source), 0);
	serve_until(&loop, loop.n_states[SOURCE_CLOSED]);
	assert_int_equal(fake.n_opens, 0);
	source_free(loop.source);
	close(fake.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_more_is_delivered_than_the_budget_allows),
		cmocka_unit_test(a_sated_source_delivers_nothing_until_it_is_hungry),
		cmocka_unit_test(a_lost_source_voids_its_lanes_and_opens_again),
		cmocka_unit_test(settlements_reach_the_plugin_in_order_and_not_for_closed_lanes),
		cmocka_unit_test(what_is_lost_is_told_before_the_rest_is_confirmed),
		cmocka_unit_test(a_source_that_is_not_open_has_nothing_to_confirm),
		cmocka_unit_test(a_source_that_never_opened_closes_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
