/* SPDX-License-Identifier: MIT */
/* A source: one opened plugin, its own thread, and two mailboxes that join it to the loop.
 *
 * On the thread: opens the plugin, polls it for ever, backs off and opens again when it is lost, wraps what it delivers
 * into batches. On the loop: source_serve() turns the thread's news into calls of the sink; the source_* orders below
 * are posted and carried out on the thread in their order. The loop never waits for the thread.
 *
 * Budget: the thread may have delivered at most max_outstanding messages and bytes more than the loop has released. So
 * the mailbox is bounded without a lock on the way. The loop may lower the bytes (source_limit). */
#ifndef QBUS_CORE_SOURCE_H
#define QBUS_CORE_SOURCE_H

#include "core/lane.h"
#include "core/msg.h"
#include "core/pipeline_conf.h"

#include <qbus/plugin.h>

struct source;

enum source_state { SOURCE_OPENING, SOURCE_OPEN, SOURCE_LOST, SOURCE_REFUSED, SOURCE_CLOSED };

/* The status of what is skipped. 0: an operator says so; this: no message stands there; negative: it is not skipped. */
enum { SOURCE_PASSED = 1 };

/* News from a source, on the loop's thread, in the order in which they happened. */
struct source_sink {
	void (*lane_open)(void *ctx, struct lane *lane, const char *memo, size_t memo_len); /* the callee owns it now */
	void (*lane_closing)(void *ctx, struct lane *lane);
	void (*lane_close)(void *ctx, struct lane *lane);
	void (*batch)(void *ctx, struct msg_batch *batch); /* the callee owns the reference */
	void (*kept)(void *ctx, struct lane *lane, int64_t receipt, int status);
	void (*skipped)(void *ctx, struct lane *lane, int64_t receipt, int status);
	void (*published)(void *ctx, uint64_t token, int status, const char *reason);
	void (*condition)(void *ctx, enum qb_condition what, struct lane *lane, bool on, const char *reason);
	void (*measure)(void *ctx, enum qb_measure what, struct lane *lane, int64_t value);
	void (*state)(void *ctx, enum source_state state);
	void (*drained)(void *ctx); /* of the source as it is open now: all that was received has been told */
	void (*confirmed)(void *ctx, uint64_t question); /* the answer to source_confirm */
};

/* plugin, conf and codec must outlive the source. Starts nothing. Returns 0 or -errno. */
int source_new(const struct qb_plugin *plugin, const struct qb_source_conf *conf, const struct msg_codec *codec,
	const struct source_sink *sink, void *ctx, struct source **ret_source);
/* Before the start: the header whose value is the key of order. It must outlive the source; NULL: the message's key is.
 */
void source_order_by(struct source *source, const char *header);
/* The same, of where source_publish will write to: the plugin looks whether that is there (QB_TARGET_MISSING). */
void source_aim(struct source *source, const char *target);
int source_start(struct source *source);    /* 0 or -errno; main thread */
int source_fd(const struct source *source); /* readable: call source_serve */
void source_serve(struct source *source);

/* Orders. Lane numbers, because the thread knows no more of a lane. */
void source_settle(struct source *source, const struct qb_settlement *settlements, size_t n); /* copied */
void source_flow(struct source *source, uint64_t lane, bool open);
void source_lane_drained(struct source *source, uint64_t lane);
void source_skip(struct source *source, uint64_t lane, int64_t receipt);                       /* the plugin can */
void source_publish(struct source *source, const struct qb_outgoing *message, uint64_t token); /* copied */
void source_drain(struct source *source);
/* Which lanes are still ours? They that are not are closed before the answer (source_sink.confirmed); a later question
 * takes the place of an earlier one. Nothing is fetched before. */
void source_confirm(struct source *source, uint64_t question);
void source_close(struct source *source, int64_t timeout_us); /* the state SOURCE_CLOSED follows */
void source_hurry(struct source *source); /* closing, it waits for nothing out of courtesy to others */

/* Messages and bytes released by the loop since the start; wakes the thread when it starves. */
void source_released(struct source *source, uint64_t n_messages, uint64_t n_bytes);

/* From now on it may hold at most n_bytes; at first max_outstanding_bytes. One message may always come. */
void source_limit(struct source *source, int64_t n_bytes);
/* Whether it takes nothing for now, however much it may hold. */
void source_sate(struct source *source, bool is_sated);
int64_t source_held_bytes(const struct source *source); /* delivered and not released, what is on its way included */

/* After SOURCE_CLOSED; joins the thread. */
void source_free(struct source *source);

/* Whether so little of a budget is left that the source delivers nothing before something is released. */
bool source_is_starved(int64_t left, int64_t budget);

const char *source_state_name(enum source_state state);

#endif
