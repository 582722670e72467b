/* SPDX-License-Identifier: MIT */
/* Crews: workers that serve the same pipelines, so that finding one with room costs the same for one and for a
 * thousand. Whoever was served longest ago stands in front. */
#include "core/board.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct crew *crew_new(struct dispatcher *dispatcher, struct pipeline **pipelines, size_t n)
{
	struct crew *crew = alloc_zero(sizeof *crew);
	crew->dispatcher = dispatcher;
	crew->pipelines = alloc_new(n * sizeof *pipelines);
	memcpy(crew->pipelines, pipelines, n * sizeof *pipelines);
	crew->n_pipelines = n;
	list_init(&crew->idle);
	list_init(&crew->partial);
	list_init(&crew->full);
	list_add_tail(&dispatcher->crews, &crew->link);
	for (size_t i = 0; i < n; i++) {
		struct pipeline *pipeline = pipelines[i];
		pipeline->servers = alloc_resize(pipeline->servers, (pipeline->n_servers + 1) * sizeof *pipeline->servers);
		pipeline->servers[pipeline->n_servers++] = (struct pipeline_server){crew, i};
	}
	return crew;
}

static void crew_free(struct crew *crew)
{
	for (size_t i = 0; i < crew->n_pipelines; i++) {
		struct pipeline *pipeline = crew->pipelines[i];
		size_t kept = 0;
		for (size_t j = 0; j < pipeline->n_servers; j++)
			if (pipeline->servers[j].crew != crew)
				pipeline->servers[kept++] = pipeline->servers[j];
		pipeline->n_servers = kept;
	}
	list_remove(&crew->link);
	free(crew->pipelines);
	free(crew);
}

struct crew *crew_for(struct dispatcher *dispatcher, struct pipeline **pipelines, size_t n)
{
	list_each(pos, &dispatcher->crews)
	{
		struct crew *crew = list_item(pos, struct crew, link);
		if (crew->n_pipelines == n && memcmp(crew->pipelines, pipelines, n * sizeof *pipelines) == 0)
			return crew;
	}
	return crew_new(dispatcher, pipelines, n);
}

/* The list and the counter that fit the worker's room. */
static struct list *crew_list(struct crew *crew, const struct worker *worker, size_t **ret_count)
{
	bool is_resting = crew->resting == worker && worker->n_held;
	if (!worker_room(worker) || worker->is_alone || is_resting) {
		*ret_count = &crew->n_full;
		return &crew->full;
	}
	*ret_count = worker->n_held ? &crew->n_partial : &crew->n_idle;
	return worker->n_held ? &crew->partial : &crew->idle;
}

void crew_join(struct crew *crew, struct worker *worker)
{
	size_t *count;
	struct list *list = crew_list(crew, worker, &count);
	worker->crew = crew;
	worker->crew_count = count;
	list_add_tail(list, &worker->crew_link);
	++*count;
}

void crew_leave(struct worker *worker)
{
	struct crew *crew = worker->crew;
	list_remove(&worker->crew_link);
	--*worker->crew_count;
	worker->crew = NULL;
	if (crew->resting == worker)
		crew->resting = NULL;
	if (!crew->n_idle && !crew->n_partial && !crew->n_full)
		crew_free(crew);
}

void crew_place(struct worker *worker)
{
	size_t *count;
	if (worker->is_alone && worker->crew->resting == worker)
		worker->crew->resting = NULL;
	struct list *list = crew_list(worker->crew, worker, &count);
	--*worker->crew_count;
	list_remove(&worker->crew_link);
	worker->crew_count = count;
	list_add_tail(list, &worker->crew_link);
	++*count;
}

/* The first of the crews' idle or partial lists that has somebody; counts all that are on such a list. */
static struct worker *crew_pick_from(const struct pipeline *pipeline, bool idle, size_t *ret_index, size_t *ret_n_free)
{
	struct worker *worker = NULL;
	*ret_n_free = 0;
	for (size_t i = 0; i < pipeline->n_servers; i++) {
		struct crew *crew = pipeline->servers[i].crew;
		struct list *link = list_peek(idle ? &crew->idle : &crew->partial);
		*ret_n_free += idle ? crew->n_idle : crew->n_partial;
		if (worker || !link)
			continue;
		worker = list_item(link, struct worker, crew_link);
		*ret_index = pipeline->servers[i].index;
	}
	return worker;
}

struct worker *crew_pick(const struct pipeline *pipeline, bool idle_only, size_t *ret_index, size_t *ret_n_free)
{
	struct worker *worker = crew_pick_from(pipeline, true, ret_index, ret_n_free);
	return worker || idle_only ? worker : crew_pick_from(pipeline, false, ret_index, ret_n_free);
}

size_t crew_count(const struct pipeline *pipeline)
{
	size_t n = 0;
	for (size_t i = 0; i < pipeline->n_servers; i++) {
		const struct crew *crew = pipeline->servers[i].crew;
		n += crew->n_idle + crew->n_partial + crew->n_full;
	}
	return n;
}

/* Of the busy ones: those who cannot take more are as good as those who can. */
static struct worker *crew_find_busy(const struct crew *crew)
{
	const struct list *lists[] = {&crew->partial, &crew->full};
	for (size_t i = 0; i < 2; i++) {
		list_each(pos, lists[i])
		{
			struct worker *worker = list_item(pos, struct worker, crew_link);
			if (!worker->is_alone && !worker->is_leaving)
				return worker;
		}
	}
	return NULL;
}

void crew_rest(const struct pipeline *pipeline)
{
	for (size_t i = 0; i < pipeline->n_servers; i++) {
		struct crew *crew = pipeline->servers[i].crew;
		if (crew->resting || !(crew->resting = crew_find_busy(crew)))
			continue;
		crew_place(crew->resting);
	}
}
