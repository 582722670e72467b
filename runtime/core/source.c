/* SPDX-License-Identifier: MIT */
/* The loop's side of a source: orders out, news in. */
#include "core/source.h"
#include "core/source_thread.h"

#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* rabbitmq-c decodes nested header tables recursively: 21,000 levels, which fit one frame, need more than 2 MiB. */
enum { SOURCE_STACK_BYTES = 16 * 1024 * 1024 };

static const char *const source_state_names[] = {
	[SOURCE_OPENING] = "opening",
	[SOURCE_OPEN] = "open",
	[SOURCE_LOST] = "lost",
	[SOURCE_REFUSED] = "refused",
	[SOURCE_CLOSED] = "closed",
};

const char *source_state_name(enum source_state state)
{
	return source_state_names[state];
}

/* The share of a budget that must be free before a starving thread is woken. */
enum { SOURCE_OPEN_SHARE = 4 };

/* One part of eight, so that a slow loop gets few large batches and not many small ones. */
bool source_is_starved(int64_t left, int64_t budget)
{
	return left <= budget / 8;
}

int source_new(const struct qb_plugin *plugin, const struct qb_source_conf *conf, const struct msg_codec *codec,
	const struct source_sink *sink, void *ctx, struct source **ret_source)
{
	struct source *source = alloc_zero(sizeof *source);
	*source = (struct source){.plugin = plugin, .conf = conf, .codec = codec, .sink = sink, .ctx = ctx};
	atomic_init(&source->limit_bytes, conf->max_outstanding_bytes);
	int status = mailbox_init(&source->news, true);
	if (status == 0 && (status = mailbox_init(&source->orders, true)) < 0)
		mailbox_done(&source->news);
	if (status < 0) {
		free(source);
		return status;
	}
	pthread_mutex_init(&source->wake_lock, NULL);
	*ret_source = source;
	return 0;
}

void source_order_by(struct source *source, const char *header)
{
	source->ordering_header = header;
}

void source_aim(struct source *source, const char *target)
{
	source->target = target;
}

int source_start(struct source *source)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, SOURCE_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals belong to the main thread */
	int status = pthread_create(&source->thread, &attr, source_thread_main, source);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	source->is_started = status == 0;
	return -status;
}

int source_fd(const struct source *source)
{
	return source->news.fd;
}

void source_wake(struct source *source)
{
	pthread_mutex_lock(&source->wake_lock);
	if (source->is_open)
		source->plugin->wake(source->instance);
	pthread_mutex_unlock(&source->wake_lock);
}

static void source_post(struct source *source, struct source_order *order)
{
	if (mailbox_post(&source->orders, &order->mail))
		source_wake(source);
}

static struct source_order *source_order_new(enum order_kind kind, size_t extra)
{
	struct source_order *order = alloc_new(sizeof *order + extra);
	*order = (struct source_order){.kind = kind};
	return order;
}

/* Appends a copy of the bytes behind the order and returns where it lies. */
static void *source_order_add(uint8_t **at, const void *bytes, size_t len)
{
	void *copy = *at;
	if (len)
		memcpy(copy, bytes, len);
	*at += len;
	return copy;
}

void source_settle(struct source *source, const struct qb_settlement *settlements, size_t n)
{
	size_t extra = n * sizeof *settlements;
	for (size_t i = 0; i < n; i++)
		extra += settlements[i].memo.len;
	struct source_order *order = source_order_new(ORDER_SETTLE, extra);
	uint8_t *at = (uint8_t *)(order + 1);
	order->n = n;
	order->settlements = source_order_add(&at, settlements, n * sizeof *settlements);
	for (size_t i = 0; i < n; i++)
		order->settlements[i].memo.data = source_order_add(&at, settlements[i].memo.data, settlements[i].memo.len);
	source_post(source, order);
}

void source_flow(struct source *source, uint64_t lane, bool open)
{
	struct source_order *order = source_order_new(ORDER_FLOW, 0);
	order->number = lane;
	order->on = open;
	source_post(source, order);
}

void source_lane_drained(struct source *source, uint64_t lane)
{
	struct source_order *order = source_order_new(ORDER_LANE_DRAINED, 0);
	order->number = lane;
	source_post(source, order);
}

void source_skip(struct source *source, uint64_t lane, int64_t receipt)
{
	struct source_order *order = source_order_new(ORDER_SKIP, 0);
	order->number = lane;
	order->receipt = receipt;
	source_post(source, order);
}

static struct qb_bytes source_bytes_add(uint8_t **at, struct qb_bytes bytes)
{
	return (struct qb_bytes){bytes.data ? source_order_add(at, bytes.data, bytes.len) : NULL, bytes.len};
}

void source_publish(struct source *source, const struct qb_outgoing *message, uint64_t token)
{
	size_t headers_len = message->n_headers * sizeof *message->headers;
	size_t target_len = strlen(message->target) + 1;
	size_t routing_len = message->routing_key ? strlen(message->routing_key) + 1 : 0;
	size_t extra = headers_len + target_len + routing_len + message->key.len + message->body.len;
	for (size_t i = 0; i < message->n_headers; i++)
		extra += message->headers[i].name.len + message->headers[i].value.len;
	struct source_order *order = source_order_new(ORDER_PUBLISH, extra);
	uint8_t *at = (uint8_t *)(order + 1);
	struct qb_header *headers = source_order_add(&at, message->headers, headers_len);
	for (size_t i = 0; i < message->n_headers; i++) {
		headers[i].name = source_bytes_add(&at, message->headers[i].name);
		headers[i].value = source_bytes_add(&at, message->headers[i].value);
	}
	order->number = token;
	order->outgoing = (struct qb_outgoing){
		.target = source_order_add(&at, message->target, target_len),
		.routing_key = routing_len ? source_order_add(&at, message->routing_key, routing_len) : NULL,
		.key = source_bytes_add(&at, message->key),
		.body = source_bytes_add(&at, message->body),
		.headers = headers,
		.n_headers = message->n_headers,
	};
	source_post(source, order);
}

void source_drain(struct source *source)
{
	source_post(source, source_order_new(ORDER_DRAIN, 0));
}

void source_confirm(struct source *source, uint64_t question)
{
	struct source_order *order = source_order_new(ORDER_CONFIRM, 0);
	order->number = question;
	source_post(source, order);
}

void source_close(struct source *source, int64_t timeout_us)
{
	struct source_order *order = source_order_new(ORDER_CLOSE, 0);
	order->timeout_us = timeout_us;
	source_post(source, order);
}

void source_hurry(struct source *source)
{
	atomic_store(&source->is_hurried, true);
}

/* The thread says that it starves before it looks at the budget for the last time, and this looks after the budget has
 * grown: so one of the two sees the other. */
static void source_feed(struct source *source)
{
	if (!atomic_load(&source->is_starving) || atomic_load(&source->is_sated))
		return;
	int64_t messages = source->conf->max_outstanding_messages, bytes = atomic_load(&source->limit_bytes);
	int64_t n_held = atomic_load(&source->taken_messages) - atomic_load(&source->released_messages);
	if (messages - n_held < messages / SOURCE_OPEN_SHARE ||
		bytes - source_held_bytes(source) < bytes / SOURCE_OPEN_SHARE)
		return;
	atomic_store(&source->is_starving, false);
	source_wake(source);
}

void source_released(struct source *source, uint64_t n_messages, uint64_t n_bytes)
{
	atomic_store(&source->released_messages, (int64_t)n_messages);
	atomic_store(&source->released_bytes, (int64_t)n_bytes);
	source_feed(source);
}

void source_limit(struct source *source, int64_t n_bytes)
{
	if (n_bytes == atomic_load_explicit(&source->limit_bytes, memory_order_relaxed))
		return;
	atomic_store(&source->limit_bytes, n_bytes);
	source_feed(source);
}

void source_sate(struct source *source, bool is_sated)
{
	if (is_sated == atomic_load_explicit(&source->is_sated, memory_order_relaxed))
		return;
	atomic_store(&source->is_sated, is_sated);
	source_feed(source);
}

int64_t source_held_bytes(const struct source *source)
{
	return atomic_load(&source->taken_bytes) - atomic_load(&source->released_bytes);
}

/* ---- news -----------------------------------------------------------------------------------------------------------
 */

static void source_tell(const struct source *source, struct news *news)
{
	const struct source_sink *sink = source->sink;
	const char *text = news->text_len ? news->text : NULL;
	switch (news->kind) {
	case NEWS_LANE_OPEN:
		sink->lane_open(source->ctx, news->lane, news->text, news->text_len);
		break;
	case NEWS_LANE_CLOSING:
		sink->lane_closing(source->ctx, news->lane);
		break;
	case NEWS_LANE_CLOSE:
		sink->lane_close(source->ctx, news->lane);
		break;
	case NEWS_BATCH:
		sink->batch(source->ctx, news->batch);
		break;
	case NEWS_KEPT:
		sink->kept(source->ctx, news->lane, news->number, news->code);
		break;
	case NEWS_SKIPPED:
		sink->skipped(source->ctx, news->lane, news->number, news->code);
		break;
	case NEWS_PUBLISHED:
		sink->published(source->ctx, (uint64_t)news->number, news->code, text);
		break;
	case NEWS_CONDITION:
		sink->condition(source->ctx, (enum qb_condition)news->code, news->lane, news->on, text);
		break;
	case NEWS_MEASURE:
		sink->measure(source->ctx, (enum qb_measure)news->code, news->lane, news->number);
		break;
	case NEWS_DRAINED:
		sink->drained(source->ctx);
		break;
	case NEWS_CONFIRMED:
		sink->confirmed(source->ctx, (uint64_t)news->number);
		break;
	case NEWS_STATE:
		sink->state(source->ctx, (enum source_state)news->code);
		break;
	case NEWS_KINDS:
		assert(!"a kind");
	}
}

void source_serve(struct source *source)
{
	for (struct mail *mail = mailbox_take(&source->news), *next; mail; mail = next) {
		struct news *news = (struct news *)(void *)mail;
		next = mail->next;
		source_tell(source, news);
		free(news);
	}
}

void source_free(struct source *source)
{
	if (!source)
		return;
	if (source->is_started)
		pthread_join(source->thread, NULL);
	source_serve(source);
	for (struct mail *mail = mailbox_take(&source->orders), *next; mail; mail = next) {
		next = mail->next;
		free(mail);
	}
	mailbox_done(&source->news);
	mailbox_done(&source->orders);
	pthread_mutex_destroy(&source->wake_lock);
	free(source->lanes);
	free(source);
}
