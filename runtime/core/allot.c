/* SPDX-License-Identifier: MIT */
/* Shares memory.max_bytes out among the pipelines, once a turn. O(pipelines).
 *
 * What the client libraries may fetch ahead comes off first: nobody can take it from them again but by handling it.
 * Where the process has allocated more than that beside the messages held here (buffers that one message of many pins,
 * batches that grew when they were unpacked), that comes off. Of what is left each pipeline that holds something may
 * take an equal part more than it holds. So all together stay below the ceiling, but for what a poll that is under way
 * was promised before, and what one lets go is offered to all. A minimum is kept for each, so that none is starved out;
 * it holds also when the libraries alone are above the ceiling. */
#include "core/board.h"

#include "base/log.h"

/* The minima of all pipelines together are this part of the ceiling. */
enum { ALLOT_MINIMA_SHARE = 32 };

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void allot_warn(struct dispatcher *dispatcher, int64_t beside_bytes)
{
	bool is_short = beside_bytes > dispatcher->memory_max_bytes;
	if (is_short && !dispatcher->is_memory_short)
		log_say(LOG_WARN, NULL, "client libraries alone hold more than memory.max_bytes bytes=%lld",
			(long long)beside_bytes);
	dispatcher->is_memory_short = is_short;
}

static struct pipeline *allot_find_widest(const struct dispatcher *dispatcher)
{
	struct pipeline *widest = dispatcher->pipelines[0];
	for (size_t i = 1; i < dispatcher->n_pipelines; i++)
		if (dispatcher->pipelines[i]->queue_limit_bytes > widest->queue_limit_bytes)
			widest = dispatcher->pipelines[i];
	return widest;
}

/* Before the memory is gone: a file cannot tell how many partitions there will be, nor how large their messages. The
 * same number is not said again after the next rebalance, nor whenever a message is a bit larger than all before: one
 * that is a quarter higher is. */
static void allot_warn_ahead(struct dispatcher *dispatcher, int64_t ahead_bytes)
{
	if (ahead_bytes <= larger(dispatcher->memory_max_bytes, dispatcher->memory_ahead_bytes / 4 * 5))
		return;
	const struct pipeline *widest = allot_find_widest(dispatcher);
	struct pipeline_counts counts;
	pipeline_count(widest, &counts);
	log_say(LOG_WARN, widest->conf->name,
		"what client libraries may fetch ahead does not fit memory.max_bytes: raise it, or lower fetch.queue_bytes and "
		"fetch.max_partition_bytes; a larger message comes whole all the same bytes=%lld memory_max_bytes=%lld "
		"lanes=%zu lane_bytes=%lld",
		(long long)ahead_bytes, (long long)dispatcher->memory_max_bytes, counts.lanes,
		(long long)(widest->queue_limit_bytes / larger((int64_t)counts.lanes, 1)));
	dispatcher->memory_ahead_bytes = ahead_bytes;
}

void allot_memory(struct dispatcher *dispatcher)
{
	int64_t n = (int64_t)dispatcher->n_pipelines, n_busy = 0, max = dispatcher->memory_max_bytes;
	if (!max || !n)
		return;
	int64_t least = max / ALLOT_MINIMA_SHARE / n, queue_bytes = 0, left = max, held_bytes = 0, ahead_bytes = 0;
	for (int64_t i = 0; i < n; i++) {
		struct pipeline *pipeline = dispatcher->pipelines[i];
		pipeline->held_bytes = source_held_bytes(pipeline->source); /* once: its thread goes on */
		n_busy += pipeline->held_bytes > 0;
		left -= larger(pipeline->held_bytes, least);
		held_bytes += pipeline->held_bytes;
		queue_bytes += larger(pipeline->queue_bytes, pipeline->queue_limit_bytes);
		ahead_bytes += pipeline->queue_limit_bytes;
	}
	if (dispatcher->is_memory_measured)
		dispatcher->memory_beside_bytes = dispatcher->memory_allocated_bytes - held_bytes;
	dispatcher->is_memory_measured = false;
	allot_warn(dispatcher, dispatcher_memory_beside(dispatcher));
	allot_warn_ahead(dispatcher, ahead_bytes);
	int64_t share = (left - larger(queue_bytes, dispatcher->memory_beside_bytes)) / larger(n_busy, 1);
	for (int64_t i = 0; i < n; i++) {
		struct pipeline *pipeline = dispatcher->pipelines[i];
		int64_t held = pipeline->held_bytes;
		int64_t limit = held > 0 ? larger(larger(held, least) + share, least) : least;
		pipeline->limit_bytes = smaller(limit, pipeline->conf->max_outstanding_bytes);
		source_limit(pipeline->source, pipeline->limit_bytes);
	}
}
