/* SPDX-License-Identifier: MIT */
/* Looks at the board. */
#include "core/look.h"

#include "core/board.h"
#include "core/verdict.h"

static size_t look_n_servers(const struct pipeline *pipeline)
{
	size_t n = 0;
	for (size_t i = 0; i < pipeline->n_servers; i++) {
		const struct crew *crew = pipeline->servers[i].crew;
		n += crew->n_idle + crew->n_partial + crew->n_full;
	}
	return n;
}

void look_pipeline(const struct pipeline *pipeline, struct pipeline_look *ret_look)
{
	*ret_look = (struct pipeline_look){
		.times = &pipeline->times,
		.source_state = pipeline->source_state,
		.breaker_state = pipeline->breaker.state,
		.n_workers = look_n_servers(pipeline),
		.is_held = pipeline->is_held,
		.is_refused = verdict_is_refused(pipeline),
		.is_settled_singly = pipeline->plugin->traits & QB_SETTLE_EACH,
		.is_blocked = pipeline->is_blocked,
		.absent = pipeline->absent,
		.cancelled = pipeline->cancelled,
		.missing = pipeline->missing,
	};
}

void look_lanes(const struct pipeline *pipeline, void (*visit)(void *ctx, const struct lane *lane), void *ctx)
{
	list_each(pos, &pipeline->lanes) visit(ctx, list_item(pos, struct lane, link));
}

void look_workers(const struct dispatcher *dispatcher, void (*visit)(void *ctx, const struct worker *worker), void *ctx)
{
	list_each(pos, &dispatcher->workers) visit(ctx, list_item(pos, struct worker, link));
}

size_t look_n_pipelines(const struct worker *worker)
{
	return worker->crew->n_pipelines;
}

void look_held(const struct worker *worker, void (*visit)(void *ctx, const struct entry *entry), void *ctx)
{
	for (uint64_t id = worker->base_id; id < worker->next_id; id++) {
		const struct entry *entry = worker_find(worker, id);
		if (entry)
			visit(ctx, entry);
	}
}
