/* SPDX-License-Identifier: MIT */
/* For others to look at what the dispatcher holds: lanes, workers, deliveries, times. Nothing is changed; what a
 * visitor is shown lives until it returns, and it must not call the dispatcher. Loop thread only. */
#ifndef QBUS_CORE_LOOK_H
#define QBUS_CORE_LOOK_H

#include "base/histogram.h"
#include "core/breaker.h"
#include "core/source.h"

struct dispatcher;
struct pipeline;
struct worker;

/* How long things took since the start, in microseconds. Each is recorded once for many messages, as they move through
 * the machine in one piece:
 * handler: the time between two SETTLE frames of a worker (or from its first delivery), divided among what they
 * settled; wait: from admission to delivery, of the oldest message of a run delivered, for all of it; first attempts
 * only; end_to_end: from the broker's timestamp to the verdict, of the first message of a SETTLE frame, for all of it.
 */
struct pipeline_times {
	struct histogram handler, wait, end_to_end;
};

/* What pipeline_count does not tell. */
struct pipeline_look {
	const struct pipeline_times *times;
	enum source_state source_state;
	enum breaker_state breaker_state;
	size_t n_workers;       /* that serve it */
	bool is_held;           /* an operator paused it */
	bool is_refused;        /* its dead-letter target makes it wait */
	bool is_settled_singly; /* a queue: the broker wants each receipt */
	bool is_blocked;        /* the broker takes no publications */
	const char *absent;     /* why the broker is not connected; NULL: it is, or nothing is known yet */
	const char *cancelled;  /* why the broker ended the consumer; NULL: it did not */
	const char *missing;    /* why the dead-letter target can take nothing; NULL: nothing is known against it */
};

void look_pipeline(const struct pipeline *pipeline, struct pipeline_look *ret_look);
void look_lanes(const struct pipeline *pipeline, void (*visit)(void *ctx, const struct lane *lane), void *ctx);

void look_workers(
	const struct dispatcher *dispatcher, void (*visit)(void *ctx, const struct worker *worker), void *ctx);
size_t look_n_pipelines(const struct worker *worker); /* that it serves: see dispatcher_worker_pipeline */

/* What a worker holds, oldest first; the pipeline of an orphan may tell it no more. */
void look_held(const struct worker *worker, void (*visit)(void *ctx, const struct entry *entry), void *ctx);

#endif
