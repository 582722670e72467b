/* SPDX-License-Identifier: MIT */
/* A proxy on one thread. */
#include "proxy.h"

#include "base/alloc.h"
#include "core/board.h"
#include "core/source_thread.h"
#include "wire/proto.h"
#include "wire/session.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* PROXY_TURN_US: how far a turn moves the clock, so that commits fall due as often in each scenario. */
enum { PROXY_TURN_US = 1000, PROXY_KEYS = 10000 };

struct proxy {
	struct event_base *base;
	struct dispatcher *dispatcher;
	struct pipeline *pipeline;
	struct session_set *sessions;
	struct pipeline_conf conf;
	struct qb_plugin plugin;
	struct qb_source_conf source_conf;
	struct lane **lanes;
	int64_t *receipts; /* the next of each lane */
	size_t n_lanes, turn_lane;
	uint64_t n_received;
	char key_bytes[PROXY_KEYS][8];
	struct qb_bytes keys[PROXY_KEYS];
	int64_t now_us;
};

static int64_t proxy_now(void *ctx)
{
	return ((struct proxy *)ctx)->now_us;
}

static const char *proxy_pool_of(void *ctx, pid_t pid)
{
	(void)ctx, (void)pid;
	return NULL;
}

static void proxy_hears(void *ctx)
{
	(void)ctx; /* every turn ticks */
}

static void proxy_closed(void *ctx, const struct session *session)
{
	(void)ctx, (void)session;
}

static const struct session_host proxy_host = {
	.server = "regress",
	.now = proxy_now,
	.pool_of = proxy_pool_of,
	.changed = proxy_hears,
	.closed = proxy_closed,
};

static void proxy_die(const char *what)
{
	perror(what);
	exit(1);
}

static void proxy_open_lanes(struct proxy *proxy, size_t n)
{
	proxy->n_lanes = n;
	proxy->lanes = alloc_new(n * sizeof *proxy->lanes);
	proxy->receipts = alloc_zero(n * sizeof *proxy->receipts);
	for (size_t i = 0; i < n; i++) {
		proxy->lanes[i] = lane_new(i + 1, "orders", 6, (int)i, 0);
		pipeline_sink()->lane_open(proxy->pipeline, proxy->lanes[i], "", 0);
	}
}

static void proxy_make_keys(struct proxy *proxy)
{
	for (size_t i = 0; i < PROXY_KEYS; i++) {
		int len = snprintf(proxy->key_bytes[i], sizeof proxy->key_bytes[i], "k%zu", i);
		proxy->keys[i] = (struct qb_bytes){proxy->key_bytes[i], (size_t)len};
	}
}

struct proxy *proxy_new(enum pipeline_ordering ordering, size_t n_lanes)
{
	struct proxy *proxy = alloc_zero(sizeof *proxy);
	proxy->now_us = 1000000;
	proxy->conf = (struct pipeline_conf){
		.name = "orders",
		.ordering = ordering,
		.commit_interval_us = 1000000,
		.max_ack_gap = INT64_MAX,
		.max_outstanding_messages = INT64_MAX,
		.max_outstanding_bytes = INT64_MAX,
		.max_message_bytes = 1 << 20,
		.stream_threshold = 1 << 20,
		.handler_timeout_us = INT64_C(86400000000),
		.handler_grace_us = 5000000,
		.max_attempts = 5,
		.backoff = {100000, 1000000, 2, 0},
	};
	proxy->plugin = (struct qb_plugin){.abi = QB_ABI, .name = "made", .traits = QB_SETTLE_PREFIX};
	proxy->dispatcher = dispatcher_new(proxy->now_us);
	if (dispatcher_pipeline_add(proxy->dispatcher, &proxy->conf, &proxy->plugin, &proxy->source_conf, proto_codec()) <
		0)
		proxy_die("pipeline");
	proxy->pipeline = dispatcher_pipeline_at(proxy->dispatcher, 0);
	proxy->base = event_base_new();
	proxy->sessions = session_set_new(proxy->base, proxy->dispatcher, &proxy_host, proxy);
	proxy_make_keys(proxy);
	proxy_open_lanes(proxy, n_lanes);
	return proxy;
}

void proxy_free(struct proxy *proxy)
{
	session_set_free(proxy->sessions);
	for (size_t i = 0; i < proxy->n_lanes; i++)
		pipeline_sink()->lane_close(proxy->pipeline, proxy->lanes[i]);
	proxy_drop_orders(proxy);
	dispatcher_free(proxy->dispatcher);
	event_base_free(proxy->base);
	free(proxy->lanes);
	free(proxy->receipts);
	free(proxy);
}

int proxy_attach(struct proxy *proxy)
{
	int pair[2];
	struct session_peer peer = {getpid(), getuid(), getgid()};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		proxy_die("socketpair");
	if (session_open(proxy->sessions, pair[0], &peer) < 0)
		proxy_die("session");
	return pair[1];
}

/* ---- counted ---- */

static struct msg_batch *proxy_pack(struct proxy *proxy, size_t n)
{
	static const uint8_t body[PROXY_BODY_BYTES];
	const struct msg_codec *codec = proto_codec();
	struct qb_message message = {.source = {"orders", 6}, .timestamp_ms = 1, .body = {body, sizeof body}};
	struct msg_batch *batch = msg_batch_new(n, n * (sizeof body + 128));
	uint32_t offset = 0;
	for (size_t i = 0; i < n; i++) {
		size_t at = proxy->turn_lane++ % proxy->n_lanes;
		message.key = proxy->keys[proxy->n_received++ % PROXY_KEYS];
		message.receipt = proxy->receipts[at]++;
		message.partition = (int32_t)at;
		batch->items[i] = (struct msg_item){
			.lane = proxy->lanes[at],
			.receipt = message.receipt,
			.timestamp_ms = message.timestamp_ms,
			.key_hash = msg_key_hash(message.key),
			.row_offset = offset,
			.row_len = (uint32_t)codec->row_write(&message, batch->rows + offset),
			.body_len = sizeof body,
		};
		offset += batch->items[i].row_len;
	}
	return batch;
}

void proxy_receive(struct proxy *proxy, size_t n)
{
	for (size_t count; n; n -= count) {
		count = n < 200 ? n : 200; /* as many as fit into MSG_BATCH_BYTES */
		pipeline_sink()->batch(proxy->pipeline, proxy_pack(proxy, count));
	}
}

void proxy_turn(struct proxy *proxy)
{
	proxy->now_us += PROXY_TURN_US;
	dispatcher_set_clock(proxy->dispatcher, proxy->now_us, 0);
	event_base_loop(proxy->base, EVLOOP_NONBLOCK);
	dispatcher_tick(proxy->dispatcher, proxy->now_us);
	session_set_flush(proxy->sessions);
}

/* ---- */

void proxy_drop_orders(struct proxy *proxy)
{
	for (struct mail *mail = mailbox_take(&proxy->pipeline->source->orders), *next; mail; mail = next) {
		next = mail->next;
		free(mail);
	}
}

uint64_t proxy_n_acked(const struct proxy *proxy)
{
	return proxy->pipeline->counts.acked;
}

size_t proxy_n_in_flight(const struct proxy *proxy)
{
	return proxy->pipeline->ledger.n_in[ENTRY_RESERVED];
}
