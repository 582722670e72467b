/* SPDX-License-Identifier: MIT */
/* The thread's side of a source: opens the plugin, polls it for ever, opens it again when it is lost, and packs what it
 * delivers. Every call of the plugin but wake is made here. */
#include "core/source_thread.h"
#include "core/packing.h"
#include "core/retry.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* How long to wait before opening again: a lost broker comes back by itself, a refusal wants an operator. */
static const struct pipeline_backoff source_lost_backoff = {200000, 10000000, 2, 0.5};
static const struct pipeline_backoff source_refused_backoff = {5000000, 30000000, 2, 0.2};

/* SOURCE_POLL_MS: the longest a poll may wait; orders wake it earlier. SOURCE_CONFIRM_MS: the same while the plugin is
 * asked whether it is current. */
enum { SOURCE_POLL_MS = 1000, SOURCE_CONFIRM_MS = 20, SOURCE_TEXT_MAX = 1024 };

/* ---- news -----------------------------------------------------------------------------------------------------------
 */

static struct news *news_new(enum news_kind kind, const void *text, size_t text_len)
{
	struct news *news = alloc_new(sizeof *news + text_len + 1);
	*news = (struct news){.kind = kind, .text_len = text_len};
	if (text_len)
		memcpy(news->text, text, text_len);
	news->text[text_len] = '\0';
	return news;
}

static struct news *news_with_reason(enum news_kind kind, const char *reason)
{
	return news_new(kind, reason, reason ? strnlen(reason, SOURCE_TEXT_MAX) : 0);
}

static void news_post(struct source *source, struct news *news)
{
	mailbox_post(&source->news, &news->mail);
}

static void news_post_state(struct source *source, enum source_state state)
{
	struct news *news = news_new(NEWS_STATE, NULL, 0);
	news->code = (int)state;
	news_post(source, news);
}

/* ---- lanes ----------------------------------------------------------------------------------------------------------
 */

struct source_lane *source_find_lane(const struct source *source, uint64_t number)
{
	size_t low = 0, high = source->n_lanes;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (source->lanes[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < source->n_lanes && source->lanes[low].number == number ? &source->lanes[low] : NULL;
}

/* NULL: the lane is closed. */
static struct news *news_of_lane(const struct source *source, enum news_kind kind, uint64_t number)
{
	const struct source_lane *known = source_find_lane(source, number);
	struct news *news = known ? news_new(kind, NULL, 0) : NULL;
	if (news)
		news->lane = known->lane;
	return news;
}

static uint64_t source_on_lane_open(void *self, const struct qb_lane_info *info)
{
	struct source *source = self;
	uint64_t number = ++source->last_lane;
	struct news *news = news_new(NEWS_LANE_OPEN, info->memo.data, info->memo.data ? info->memo.len : 0);
	news->lane = lane_new(number, info->source.data, info->source.len, info->partition, info->next);
	source->lanes = alloc_resize(source->lanes, (source->n_lanes + 1) * sizeof *source->lanes);
	source->lanes[source->n_lanes++] = (struct source_lane){number, news->lane};
	news_post(source, news);
	return number;
}

static void source_on_lane_closing(void *self, uint64_t number)
{
	struct news *news = news_of_lane(self, NEWS_LANE_CLOSING, number);
	if (news)
		news_post(self, news);
}

static void source_on_lane_close(void *self, uint64_t number)
{
	struct source *source = self;
	struct source_lane *known = source_find_lane(source, number);
	if (!known)
		return;
	struct news *news = news_new(NEWS_LANE_CLOSE, NULL, 0);
	news->lane = known->lane;
	size_t index = (size_t)(known - source->lanes);
	memmove(known, known + 1, (--source->n_lanes - index) * sizeof *known);
	news_post(source, news);
}

/* ---- messages -------------------------------------------------------------------------------------------------------
 */

static void source_on_deliver(void *self, const struct qb_message *messages, size_t n)
{
	struct source *source = self;
	for (size_t count; n; messages += count, n -= count) {
		struct news *news = news_new(NEWS_BATCH, NULL, 0);
		count = packing_fill(source, messages, n, &news->batch);
		atomic_fetch_add(&source->taken_messages, (int64_t)news->batch->n_items);
		atomic_fetch_add(&source->taken_bytes, (int64_t)news->batch->size);
		source->n_failures = 0; /* it works: the next loss is a new one */
		news_post(source, news);
	}
}

/* ---- the other functions of the host ---- */

static void source_on_settled(void *self, uint64_t number, int64_t receipt, int status)
{
	struct news *news = news_of_lane(self, NEWS_KEPT, number);
	if (!news)
		return;
	news->number = receipt;
	news->code = status;
	news_post(self, news);
}

static void source_on_published(void *self, uint64_t token, int status, const char *reason)
{
	struct news *news = news_with_reason(NEWS_PUBLISHED, reason);
	news->number = (int64_t)token;
	news->code = status;
	news_post(self, news);
}

static void source_on_condition(void *self, enum qb_condition what, uint64_t lane, bool on, const char *reason)
{
	struct source *source = self;
	struct source_lane *known = source_find_lane(source, lane);
	struct news *news = news_with_reason(NEWS_CONDITION, reason);
	news->code = (int)what;
	news->on = on;
	news->lane = known ? known->lane : NULL;
	news_post(source, news);
}

static void source_on_measure(void *self, enum qb_measure what, uint64_t lane, int64_t value)
{
	struct source *source = self;
	struct source_lane *known = source_find_lane(source, lane);
	struct news *news = news_new(NEWS_MEASURE, NULL, 0);
	news->code = (int)what;
	news->lane = known ? known->lane : NULL;
	news->number = value;
	news_post(source, news);
}

static void source_on_drained(void *self)
{
	news_post(self, news_new(NEWS_DRAINED, NULL, 0));
}

/* Taken from the budget like one that was delivered, for the ledger will release it. */
static void source_on_passed(void *self, uint64_t number, int64_t receipt)
{
	struct source *source = self;
	struct news *news = news_of_lane(source, NEWS_SKIPPED, number);
	if (!news)
		return;
	news->number = receipt;
	news->code = SOURCE_PASSED;
	source->taken_messages++;
	news_post(source, news);
}

static bool source_on_is_hurried(void *self)
{
	struct source *source = self;
	return atomic_load(&source->is_hurried);
}

static void source_on_log(void *self, enum qb_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void source_on_log(void *self, enum qb_level level, const char *format, ...)
{
	struct source *source = self;
	va_list list;
	va_start(list, format);
	log_say_list((enum log_level)level, source->conf->pipeline, format, list);
	va_end(list);
}

/* ---- orders ---------------------------------------------------------------------------------------------------------
 */

static void source_set_open(struct source *source, bool is_open)
{
	pthread_mutex_lock(&source->wake_lock);
	source->is_open = is_open;
	pthread_mutex_unlock(&source->wake_lock);
}

static void source_answer(struct source *source)
{
	struct news *news = news_new(NEWS_CONFIRMED, NULL, 0);
	news->number = (int64_t)source->question;
	source->question = 0;
	news_post(source, news);
}

static void source_do_settle(struct source *source, const struct source_order *order)
{
	struct qb_settlement *settlements = order->settlements;
	size_t n = 0;
	for (size_t i = 0; i < order->n; i++) /* of open lanes only: receipts of a closed lane are void */
		if (source_find_lane(source, settlements[i].lane))
			settlements[n++] = settlements[i];
	if (n)
		source->plugin->settle(source->instance, settlements, n);
}

/* What the plugin delivered before stands in the mailbox before the answer. The receipt is taken from the budget like
 * one that was delivered, for the ledger will release it. */
static void source_do_skip(struct source *source, const struct source_order *order)
{
	struct source_lane *known = source_find_lane(source, order->number);
	if (!source->instance || !known)
		return;
	struct news *news = news_new(NEWS_SKIPPED, NULL, 0);
	news->lane = known->lane;
	news->number = order->receipt;
	news->code = source->plugin->skip(source->instance, order->number, order->receipt);
	source->taken_messages += news->code == 0;
	news_post(source, news);
}

static void source_do(struct source *source, struct source_order *order)
{
	const struct qb_plugin *plugin = source->plugin;
	switch (order->kind) {
	case ORDER_SETTLE:
		if (source->instance)
			source_do_settle(source, order);
		break;
	case ORDER_FLOW:
		if (source->instance && plugin->flow && source_find_lane(source, order->number))
			plugin->flow(source->instance, order->number, order->on);
		break;
	case ORDER_LANE_DRAINED:
		if (source->instance && source_find_lane(source, order->number))
			plugin->lane_drained(source->instance, order->number);
		break;
	case ORDER_SKIP:
		source_do_skip(source, order);
		break;
	case ORDER_PUBLISH:
		if (source->instance)
			plugin->publish(source->instance, &order->outgoing, order->number);
		else
			source_on_published(source, order->number, -ENOTCONN, "the broker is not connected");
		break;
	case ORDER_DRAIN:
		source->is_draining = true;
		if (source->instance)
			plugin->drain(source->instance);
		break;
	case ORDER_CONFIRM:
		source->question = order->number;
		source->has_looked = false;
		if (!source->instance) /* and so no lane */
			source_answer(source);
		break;
	case ORDER_CLOSE:
		source->is_done = true;
		if (source->instance) {
			source_set_open(source, false);
			plugin->close(source->instance, (int)(order->timeout_us / 1000));
			source->instance = NULL;
		}
		break;
	case ORDER_KINDS:
		assert(!"a kind");
	}
}

static void source_do_orders(struct source *source)
{
	for (struct mail *mail = mailbox_take(&source->orders), *next; mail; mail = next) {
		next = mail->next;
		source_do(source, (struct source_order *)(void *)mail);
		free(mail);
	}
}

/* ---- the thread -----------------------------------------------------------------------------------------------------
 */

/* Every lane is void with the connection. */
static void source_lose(struct source *source)
{
	source_set_open(source, false);
	source->plugin->close(source->instance, 0);
	source->instance = NULL;
	while (source->n_lanes)
		source_on_lane_close(source, source->lanes[source->n_lanes - 1].number);
	if (source->question)
		source_answer(source);
}

static void source_back_off(struct source *source, enum qb_result result)
{
	bool is_lost = result == QB_LOST;
	news_post_state(source, is_lost ? SOURCE_LOST : SOURCE_REFUSED);
	int64_t delay_us =
		retry_delay(is_lost ? &source_lost_backoff : &source_refused_backoff, ++source->n_failures, &source->seed);
	int64_t until_us = clock_now_us() + delay_us;
	for (int64_t now_us; !source->is_done && (now_us = clock_now_us()) < until_us;) {
		struct pollfd wait = {.fd = source->orders.fd, .events = POLLIN};
		poll(&wait, 1, (int)((until_us - now_us) / 1000) + 1);
		source_do_orders(source);
	}
}

static void source_open(struct source *source)
{
	news_post_state(source, SOURCE_OPENING);
	enum qb_result result = source->plugin->open(&source->host, source->conf, &source->instance);
	if (result != QB_OK) {
		source->instance = NULL;
		source_back_off(source, result);
		return;
	}
	source_set_open(source, true);
	news_post_state(source, SOURCE_OPEN);
	if (source->target && QB_HAS(source->plugin, aim))
		source->plugin->aim(source->instance, source->target);
	if (source->is_draining)
		source->plugin->drain(source->instance);
}

/* The most bytes of one poll: what it was promised cannot be taken back. */
enum { SOURCE_POLL_BYTES = 1024 * 1024 };

static struct qb_budget source_budget(const struct source *source)
{
	int64_t max_messages = source->conf->max_outstanding_messages, max_bytes = atomic_load(&source->limit_bytes);
	int64_t messages = max_messages - atomic_load(&source->taken_messages) + atomic_load(&source->released_messages);
	int64_t bytes = max_bytes - atomic_load(&source->taken_bytes) + atomic_load(&source->released_bytes);
	bool is_low = source_is_starved(messages, max_messages) || source_is_starved(bytes, max_bytes) ||
	              atomic_load(&source->is_sated);
	bytes = bytes < SOURCE_POLL_BYTES ? bytes : SOURCE_POLL_BYTES;
	return is_low ? (struct qb_budget){0, 0} : (struct qb_budget){(size_t)messages, (size_t)bytes};
}

/* After a standstill: serves the connection, fetches nothing, until the plugin knows which lanes are still ours. */
static enum qb_result source_poll_confirming(struct source *source)
{
	const struct qb_plugin *plugin = source->plugin;
	/* Asked before the poll, which then tells what the plugin knew. */
	bool is_current = source->has_looked && (!plugin->is_current || plugin->is_current(source->instance));
	int timeout_ms = source->has_looked && !is_current ? SOURCE_CONFIRM_MS : 0;
	enum qb_result result = plugin->poll(source->instance, timeout_ms, &(struct qb_budget){0, 0});
	source->has_looked = true;
	if (is_current && result == QB_OK)
		source_answer(source);
	return result;
}

static enum qb_result source_poll_working(struct source *source)
{
	bool is_shut = source->is_draining && !(source->plugin->traits & QB_FINISH_BUFFERED);
	struct qb_budget budget = {0, 0};
	if (!is_shut)
		budget = source_budget(source);
	if (!is_shut && !budget.messages) {
		atomic_store(&source->is_starving, true); /* announced first, looked again after; see source_feed */
		budget = source_budget(source);
	}
	return source->plugin->poll(source->instance, SOURCE_POLL_MS, &budget);
}

static void source_poll(struct source *source)
{
	enum qb_result result = source->question ? source_poll_confirming(source) : source_poll_working(source);
	if (result == QB_OK)
		return;
	source_lose(source);
	source_back_off(source, result);
}

void *source_thread_main(void *self)
{
	struct source *source = self;
	source->host = (struct qb_host){
		.size = sizeof source->host,
		.self = source,
		.lane_open = source_on_lane_open,
		.lane_closing = source_on_lane_closing,
		.lane_close = source_on_lane_close,
		.deliver = source_on_deliver,
		.settled = source_on_settled,
		.published = source_on_published,
		.condition = source_on_condition,
		.measure = source_on_measure,
		.log = source_on_log,
		.drained = source_on_drained,
		.passed = source_on_passed,
		.is_hurried = source_on_is_hurried,
	};
	source->seed = (uint64_t)clock_now_us() ^ (uint64_t)(uintptr_t)source;
	while (!source->is_done) {
		source_do_orders(source);
		if (source->is_done)
			break;
		if (source->instance)
			source_poll(source);
		else
			source_open(source);
	}
	while (source->n_lanes)
		source_on_lane_close(source, source->lanes[source->n_lanes - 1].number);
	news_post_state(source, SOURCE_CLOSED);
	return NULL;
}
