/* SPDX-License-Identifier: MIT */
/* The dispatcher: owns pipelines and knows workers; matches ready messages with free credit under the ordering rule,
 * turns verdicts into settlements, and decides what becomes of a message whose worker is gone. No socket, no libevent,
 * no clock: time is an argument, and dispatcher_tick says when it wants to be called again. Loop thread only. */
#ifndef QBUS_CORE_DISPATCHER_H
#define QBUS_CORE_DISPATCHER_H

#include "core/ledger.h"
#include "core/pipeline_conf.h"
#include "core/source.h"
#include "core/worker.h"

struct dispatcher;

/* Why an attempt failed or a message was given up. */
enum pipeline_reason {
	REASON_EXCEPTION,
	REASON_DEADLINE,
	REASON_CRASH,
	REASON_MEMORY,
	REASON_REJECTED,
	REASON_OVERSIZE,
	REASON_EXPIRED,
	REASON_UNREADABLE,
	REASON_OTHER,
	N_REASONS,
};

/* Counters since the start, and gauges of now. */
struct pipeline_counts {
	uint64_t received, delivered, acked, retried, rejected, dead_lettered, returned, late, skipped, unproven;
	uint64_t deadlines, broken,
		ended; /* deliveries whose worker was told, in which a call was broken, whose worker was ended */
	uint64_t limits, limits_broken; /* parts of handlers that were told, in which a call was broken */
	uint64_t commit_errors, rebalances, redelivered, memo_cut, connects, cancels;
	uint64_t retried_by[N_REASONS], rejected_by[N_REASONS], dead_lettered_by[N_REASONS];
	size_t buffered, in_flight, waiting, parked, orphans;
	size_t buffered_bytes;                 /* of batches alive */
	size_t queue_bytes, queue_limit_bytes; /* held by the client library, as it said last; at most */
	size_t acked_uncommitted; /* settled, not yet confirmed as kept by the broker (messages, an upper bound) */
	size_t lanes, wedged;
	int64_t lag;
	bool is_connected;
};

struct dispatcher *dispatcher_new(int64_t now_us);
void dispatcher_free(struct dispatcher *dispatcher); /* no workers, sources closed */

/* What all pipelines and their client libraries hold together stays below (allot.c); 0, as at first: no ceiling. */
void dispatcher_set_memory(struct dispatcher *dispatcher, int64_t max_bytes);
/* So much has the process allocated by now for messages, in whatever library. */
void dispatcher_measure_memory(struct dispatcher *dispatcher, int64_t allocated_bytes);
/* What that is beside the messages that pipelines hold, or what client libraries say of their queues, if it is more. */
int64_t dispatcher_memory_beside(const struct dispatcher *dispatcher);

/* conf, plugin and source_conf must outlive the dispatcher. 0 or -errno. */
int dispatcher_pipeline_add(struct dispatcher *dispatcher, const struct pipeline_conf *conf,
	const struct qb_plugin *plugin, const struct qb_source_conf *source_conf, const struct msg_codec *codec);
size_t dispatcher_n_pipelines(const struct dispatcher *dispatcher);
struct pipeline *dispatcher_find(const struct dispatcher *dispatcher, const char *name); /* NULL: there is none */
struct pipeline *dispatcher_pipeline_at(const struct dispatcher *dispatcher, size_t index);
const struct pipeline_conf *pipeline_conf(const struct pipeline *pipeline);
const char *pipeline_kind(const struct pipeline *pipeline); /* the plugin's name */
struct source *pipeline_source(const struct pipeline *pipeline);
void pipeline_count(const struct pipeline *pipeline, struct pipeline_counts *ret_counts);
const char *pipeline_reason_name(enum pipeline_reason reason); /* as in the log and in x-qbus-reason */

/* The worker handles the pipelines of these names. 0, or -ENOENT with the unknown name's index in *ret_index. */
int dispatcher_worker_add(struct dispatcher *dispatcher, struct worker *worker, const char *const *names, size_t n,
	size_t *ret_index, int64_t now_us);
/* The pipeline behind the worker's index (see worker_ops.deliver). */
const struct pipeline *dispatcher_worker_pipeline(const struct worker *worker, size_t index);

/* The session or process ended; what it held goes back. in_peace: it left by itself between messages (nothing is
 * charged). The worker is not touched any more after this returns. Does nothing for a worker that was never added. */
void dispatcher_worker_gone(
	struct dispatcher *dispatcher, struct worker *worker, bool in_peace, const char *reason, int64_t now_us);
/* Asks one worker to finish what it holds and to leave. */
void dispatcher_worker_retire(struct worker *worker, const char *reason);
/* It takes too much memory and may be ended for it: what it runs is told to stop, once, and fails by REASON_MEMORY
 * unless it is settled well. */
void dispatcher_worker_swollen(struct worker *worker);
/* The worker's credit (0: automatic) or is_full has changed. */
void dispatcher_worker_changed(struct worker *worker);

/* Verdicts. Each returns how many of the ids were not held (late). Call dispatcher_settled once after those of a frame.
 */
size_t dispatcher_ack(struct worker *worker, uint64_t first_id, uint64_t count); /* of broken ones the attempt failed */
size_t dispatcher_ack_meant(struct worker *worker, uint64_t id);                 /* broken or not */
size_t dispatcher_retry(struct worker *worker, uint64_t id, int64_t delay_us, const char *reason,
	int64_t now_us); /* delay_us -1: the pipeline's backoff */
size_t dispatcher_reject(struct worker *worker, uint64_t id, const char *reason);
size_t dispatcher_release(struct worker *worker, uint64_t id);
void dispatcher_settled(struct dispatcher *dispatcher, struct worker *worker, int64_t now_us);

/* What comes until the next tick comes now. unix_ms: the wall clock, for records only; 0, as at first: not known. */
void dispatcher_set_clock(struct dispatcher *dispatcher, int64_t now_us, int64_t unix_ms);

/* The process stood still so long: brokers may have given its lanes to others. To be called before anything else of the
 * turn; nothing is delivered until each source has confirmed what is its own, or 5 s have passed. */
void dispatcher_thaw(struct dispatcher *dispatcher, int64_t stood_us, int64_t now_us);

/* Does everything that is due, matches, and hands collected settlements to the sources. Call it after each turn of the
 * loop; returns the next moment at which something is due, or CLOCK_NEVER. */
int64_t dispatcher_tick(struct dispatcher *dispatcher, int64_t now_us);

/* Drain: fetching stops, running handlers finish; what is buffered is handled where a return costs an attempt. */
void dispatcher_stop(struct dispatcher *dispatcher);
bool dispatcher_is_idle(const struct dispatcher *dispatcher); /* nothing in flight that a stop waits for */
/* Asks every worker to finish what it holds and to leave. */
void dispatcher_drain_workers(struct dispatcher *dispatcher, const char *reason);
/* Last settlements go out and the sources close; is_closed tells when all have. */
void dispatcher_close(struct dispatcher *dispatcher, int64_t timeout_us, int64_t now_us);
void dispatcher_hurry(struct dispatcher *dispatcher); /* closing, sources wait for nothing out of courtesy to others */
bool dispatcher_is_closed(const struct dispatcher *dispatcher);

/* The sentence that is wrong, or NULL. O(everything). */
const char *dispatcher_check(const struct dispatcher *dispatcher);

#endif
