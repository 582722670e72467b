/* SPDX-License-Identifier: MIT */
/* The two sides of a source and what lies between them. Only source.c (the loop's side) and source_thread.c (the
 * thread's) include this. */
#ifndef QBUS_CORE_SOURCE_THREAD_H
#define QBUS_CORE_SOURCE_THREAD_H

#include "base/mailbox.h"
#include "core/source.h"

#include <pthread.h>
#include <stdatomic.h>

enum news_kind {
	NEWS_LANE_OPEN,
	NEWS_LANE_CLOSING,
	NEWS_LANE_CLOSE,
	NEWS_BATCH,
	NEWS_KEPT,
	NEWS_SKIPPED,
	NEWS_PUBLISHED,
	NEWS_CONDITION,
	NEWS_MEASURE,
	NEWS_DRAINED,
	NEWS_CONFIRMED,
	NEWS_STATE,
	NEWS_KINDS,
};

/* From the thread to the loop. Which fields count is said by the kind. */
struct news {
	struct mail mail;
	enum news_kind kind;
	struct lane *lane;
	struct msg_batch *batch;
	int64_t number; /* receipt, token, value, question */
	int code;       /* status, condition, measure, state */
	bool on;
	size_t text_len;
	char text[]; /* reason or memo */
};

enum order_kind {
	ORDER_SETTLE,
	ORDER_FLOW,
	ORDER_LANE_DRAINED,
	ORDER_SKIP,
	ORDER_PUBLISH,
	ORDER_DRAIN,
	ORDER_CONFIRM,
	ORDER_CLOSE,
	ORDER_KINDS,
};

/* From the loop to the thread. Settlements and the publication are copied behind the order, in one allocation. */
struct source_order {
	struct mail mail;
	enum order_kind kind;
	uint64_t number; /* lane, token or question */
	bool on;
	int64_t receipt;
	int64_t timeout_us;
	size_t n;
	struct qb_settlement *settlements;
	struct qb_outgoing outgoing;
};

struct source_lane {
	uint64_t number;
	struct lane *lane; /* opaque here: the loop's */
};

struct source {
	const struct qb_plugin *plugin;
	const struct qb_source_conf *conf;
	const struct msg_codec *codec;
	const struct source_sink *sink;
	void *ctx;
	const char *ordering_header; /* NULL: none */
	const char *target;          /* of publications; NULL: none */
	pthread_t thread;
	bool is_started;
	struct mailbox news, orders; /* orders' fd wakes the thread while nothing is open */

	pthread_mutex_t wake_lock; /* guards is_open against a wake that comes while the plugin closes */
	bool is_open;
	atomic_bool is_hurried; /* an operator does not want to wait */
	_Atomic int64_t released_messages, released_bytes;
	_Atomic int64_t taken_messages, taken_bytes; /* delivered since the start; written by the thread only */
	_Atomic int64_t limit_bytes;                 /* most that may be taken and not released */
	_Atomic bool is_sated;                       /* nothing is to be taken, for the loop has plenty */
	_Atomic bool is_starving;                    /* the thread wants to be woken when there is room again */

	/* the thread's own */
	struct qb_host host;
	void *instance;
	struct source_lane *lanes; /* open ones, by ascending number */
	size_t n_lanes;
	uint64_t last_lane;
	uint64_t seed;
	uint32_t n_failures;
	uint64_t question; /* to be answered when the lanes are known to be ours; 0: none */
	bool has_looked;   /* polled since the question came */
	bool is_draining, is_done;
};

void *source_thread_main(void *source);
struct source_lane *source_find_lane(const struct source *source, uint64_t number); /* NULL: not open; the thread's */
void source_wake(struct source *source);

#endif
