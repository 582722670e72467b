/* SPDX-License-Identifier: MIT */
/* What an operator may do. */
#include "core/steer.h"

#include "core/board.h"
#include "core/deadline.h"
#include "core/verdict.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

int steer_hold(struct dispatcher *dispatcher, const char *name, bool on)
{
	struct pipeline *pipeline = dispatcher_find(dispatcher, name);
	if (!pipeline)
		return -ENOENT;
	if (!on)
		verdict_hurry(pipeline);
	if (pipeline->is_held == on)
		return 0;
	log_say(LOG_WARN, name, on ? "an operator pauses the pipeline" : "an operator lets the pipeline go on");
	pipeline_hold(pipeline, on);
	return 0;
}

static struct lane *steer_find_lane(const struct pipeline *pipeline, const char *source, int32_t partition)
{
	list_each(pos, &pipeline->lanes)
	{
		struct lane *lane = list_item(pos, struct lane, link);
		if (lane->partition == partition && lane->state == LANE_OPEN && strcmp(lane->source, source) == 0)
			return lane;
	}
	return NULL;
}

int steer_skip(struct dispatcher *dispatcher, const char *name, const char *source, int32_t partition, int64_t receipt)
{
	struct pipeline *pipeline = dispatcher_find(dispatcher, name);
	struct lane *lane = pipeline ? steer_find_lane(pipeline, source, partition) : NULL;
	if (!lane)
		return pipeline ? -ENODEV : -ENOENT;
	if (!QB_HAS(pipeline->plugin, skip))
		return -ENOTSUP;
	if (!lane->is_wedged)
		return -EBUSY;
	if (receipt <= lane->newest)
		return -ERANGE;
	log_say(LOG_WARN, name, "an operator gives up what cannot be read source=%s partition=%d from=%lld to=%lld",
		lane->source, lane->partition, (long long)lane->newest + 1, (long long)receipt);
	source_skip(pipeline->source, lane->number, receipt);
	return 0;
}

static struct worker *steer_find_worker(const struct dispatcher *dispatcher, uint64_t id)
{
	list_each(pos, &dispatcher->workers)
	{
		struct worker *worker = list_item(pos, struct worker, link);
		if (worker_find(worker, id))
			return worker;
	}
	return NULL;
}

int steer_cancel(struct dispatcher *dispatcher, uint64_t id, int64_t now_us, uint64_t *ret_before)
{
	struct worker *worker = steer_find_worker(dispatcher, id);
	if (!worker)
		return -ENOENT;
	*ret_before = worker->base_id;
	if (id != worker->base_id)
		return -EAGAIN;
	if (worker->is_overdue || worker->whole.stage != DEADLINE_RUNS)
		return -EALREADY;
	log_say(LOG_WARN, pipeline_conf(worker_find(worker, id)->pipeline)->name,
		"an operator calls a delivery off worker=%u id=%llu", worker->number, (unsigned long long)id);
	deadline_pass(dispatcher, worker, now_us);
	return 0;
}
