/* SPDX-License-Identifier: MIT */
/* Taking a snapshot: pipelines and their lanes, then sessions, then what the dispatcher knows of their workers. */
#include "host/glance_take.h"

#include "base/alloc.h"
#include "base/log.h"
#include "core/growth.h"
#include "host/version.h"
#include "pool/process.h"
#include "wire/leaks.h"

#include <stdlib.h>
#include <string.h>

/* A snapshot that is being filled, and what visitors need beside it. */
struct taking {
	const struct runtime *runtime;
	struct snapshot *snapshot;
	struct snapshot_pipeline *pipeline; /* whose lanes are visited */
	const struct worker *worker;        /* whose deliveries are visited */
	const char *only;                   /* the pipeline that is wanted; NULL: all */
	size_t n_delivery_slots;
	int64_t now_us;
};

/* ---- pipelines ---- */

static void take_lane(void *ctx, const struct lane *lane)
{
	struct snapshot_pipeline *pipeline = ((struct taking *)ctx)->pipeline;
	pipeline->lanes[pipeline->n_lanes++] = lane;
	if (lane->n_entries > pipeline->ack_gap)
		pipeline->ack_gap = lane->n_entries;
}

static int compare_lanes(const void *a, const void *b)
{
	const struct lane *left = *(const struct lane *const *)a, *right = *(const struct lane *const *)b;
	int order = strcmp(left->source, right->source);
	return order ? order : (left->partition > right->partition) - (left->partition < right->partition);
}

static void take_pipeline(struct taking *taking, const struct pipeline *from)
{
	struct snapshot *snapshot = taking->snapshot;
	struct snapshot_pipeline *pipeline = &snapshot->pipelines[snapshot->n_pipelines++];
	pipeline->conf = pipeline_conf(from);
	pipeline->kind = pipeline_kind(from);
	pipeline_count(from, &pipeline->counts);
	look_pipeline(from, &pipeline->look);
	pipeline->n_reconnects = pipeline->counts.connects ? pipeline->counts.connects - 1 : 0;
	pipeline->is_paused = pipeline->look.is_refused;
	pipeline->is_target_missing = pipeline->look.missing;
	pipeline->is_breaker_open = pipeline->look.breaker_state != BREAKER_CLOSED;
	pipeline->lanes = alloc_new(pipeline->counts.lanes * sizeof *pipeline->lanes);
	taking->pipeline = pipeline;
	look_lanes(from, take_lane, taking);
	qsort(pipeline->lanes, pipeline->n_lanes, sizeof *pipeline->lanes, compare_lanes);
	snapshot->memory_used += pipeline->counts.buffered_bytes;
	snapshot->n_in_flight += pipeline->counts.in_flight + pipeline->counts.orphans;
}

static void take_pipelines(struct taking *taking)
{
	const struct dispatcher *dispatcher = taking->runtime->dispatcher;
	size_t n = dispatcher_n_pipelines(dispatcher);
	taking->snapshot->pipelines = alloc_zero(n * sizeof *taking->snapshot->pipelines);
	for (size_t i = 0; i < n; i++)
		take_pipeline(taking, dispatcher_pipeline_at(dispatcher, i));
}

/* ---- workers ---- */

static enum snapshot_worker_state state_of(const struct session_info *info)
{
	if (info->state == SESSION_HANDSHAKE)
		return SNAPSHOT_STARTING;
	if (info->state != SESSION_OPEN)
		return SNAPSHOT_LEAVING;
	return info->n_held ? SNAPSHOT_BUSY : SNAPSHOT_IDLE;
}

static uint32_t place_of(const struct runtime *runtime, const struct session_info *info)
{
	for (size_t i = 0; info->pool && i < runtime->n_pools; i++)
		if (strcmp(pool_name(runtime->pools[i]), info->pool) == 0)
			return pool_find(runtime->pools[i], info->peer.pid);
	return 0;
}

static void take_growth(const struct session_info *info, struct snapshot_worker *worker)
{
	const struct leaks *leaks = info->leaks;
	worker->growth = growth_slope(info->growth);
	worker->is_leaking = info->growth->is_steady;
	worker->n_messages = info->n_settled;
	if (!leaks)
		return;
	worker->n_leak_looks = leaks->n_looks;
	worker->n_leaks = leaks->n;
	worker->leaks = alloc_new(leaks->n * sizeof *worker->leaks);
	for (size_t i = 0; i < leaks->n; i++) {
		const struct leak *leak = &leaks->leaks[i];
		worker->leaks[i] = (struct snapshot_leak){leak->path, leak->n_looks, leak->n_grew, leak->bytes};
	}
}

static void take_session(void *ctx, struct session *session)
{
	struct taking *taking = ctx;
	struct snapshot *snapshot = taking->snapshot;
	struct session_info info;
	session_tell(session, &info);
	snapshot->workers[snapshot->n_workers++] = (struct snapshot_worker){
		.number = info.number,
		.pid = info.peer.pid,
		.pool = info.pool,
		.place = place_of(taking->runtime, &info),
		.client = info.client,
		.state = state_of(&info),
		.n_held = (uint32_t)info.n_held,
		.reported_bytes = info.memory_bytes,
		.rss_bytes = process_resident_bytes(info.peer.pid),
		.age_us = taking->now_us - info.opened_us,
	};
	take_growth(&info, &snapshot->workers[snapshot->n_workers - 1]);
}

static int compare_numbers(const void *number, const void *worker)
{
	uint32_t left = *(const uint32_t *)number, right = ((const struct snapshot_worker *)worker)->number;
	return (left > right) - (left < right);
}

/* The handler that runs longest, of the pipeline that the worker's oldest delivery belongs to. */
static void take_running(struct taking *taking, const struct pipeline *pipeline, int64_t running_us)
{
	struct snapshot *snapshot = taking->snapshot;
	for (size_t i = 0; i < snapshot->n_pipelines; i++)
		if (snapshot->pipelines[i].conf == pipeline_conf(pipeline) &&
			snapshot->pipelines[i].oldest_in_flight_us < running_us)
			snapshot->pipelines[i].oldest_in_flight_us = running_us;
}

static void take_pipeline_growth(
	struct snapshot *snapshot, const struct pipeline_conf *conf, const struct snapshot_worker *worker)
{
	for (size_t i = 0; i < snapshot->n_pipelines; i++) {
		struct snapshot_pipeline *pipeline = &snapshot->pipelines[i];
		if (pipeline->conf != conf)
			continue;
		if (worker->growth > pipeline->growth)
			pipeline->growth = worker->growth;
		pipeline->is_leaking |= worker->is_leaking;
	}
}

/* Sessions stand in the order of their numbers. */
static void take_worker(void *ctx, const struct worker *from)
{
	struct taking *taking = ctx;
	struct snapshot *snapshot = taking->snapshot;
	struct snapshot_worker *worker =
		bsearch(&from->number, snapshot->workers, snapshot->n_workers, sizeof *snapshot->workers, compare_numbers);
	if (!worker)
		return;
	worker->credit = from->credit;
	worker->n_pipelines = look_n_pipelines(from);
	worker->pipelines = alloc_new(worker->n_pipelines * sizeof *worker->pipelines);
	for (size_t i = 0; i < worker->n_pipelines; i++) {
		const struct pipeline_conf *conf = pipeline_conf(dispatcher_worker_pipeline(from, i));
		worker->pipelines[i] = conf->name;
		take_pipeline_growth(snapshot, conf, worker);
	}
	const struct entry *oldest = worker_find(from, from->base_id);
	if (!oldest)
		return;
	worker->current = oldest;
	worker->remaining_us = from->whole.at_us - taking->now_us;
	worker->running_us = taking->now_us - from->busy_since_us;
	take_running(taking, oldest->pipeline, worker->running_us);
}

static void take_workers(struct taking *taking)
{
	struct session_set *sessions = taking->runtime->sessions;
	taking->snapshot->workers = alloc_zero(session_set_count(sessions) * sizeof *taking->snapshot->workers);
	session_set_each(sessions, take_session, taking);
	look_workers(taking->runtime->dispatcher, take_worker, taking);
}

/* ---- pools ---- */

static void take_pool_states(struct snapshot *snapshot, struct snapshot_pool *pool)
{
	size_t n_attached = 0;
	for (size_t i = 0; i < snapshot->n_workers; i++) {
		const struct snapshot_worker *worker = &snapshot->workers[i];
		if (strcmp(worker->pool ? worker->pool : "", pool->name) != 0)
			continue;
		pool->n_in[worker->state]++;
		n_attached++;
	}
	if (pool->n_alive > n_attached)
		pool->n_in[SNAPSHOT_STARTING] += pool->n_alive - n_attached;
}

static void take_exits(struct snapshot_pool *to, const struct pool *pool)
{
	struct snapshot_exits *exits = alloc_zero(N_POOL_EXITS * sizeof *exits);
	for (enum pool_exit why = POOL_EXIT_NONE + 1; why < N_POOL_EXITS; why++)
		exits[to->n_exits++] = (struct snapshot_exits){pool_exit_name(why), pool_n_exits(pool, why)};
	to->exits = exits;
}

static void take_pools(struct taking *taking)
{
	const struct runtime *runtime = taking->runtime;
	struct snapshot *snapshot = taking->snapshot;
	snapshot->n_pools = runtime->n_pools + 1;
	snapshot->pools = alloc_zero(snapshot->n_pools * sizeof *snapshot->pools);
	snapshot->pools[runtime->n_pools].name = "";
	for (size_t i = 0; i < runtime->n_pools; i++) {
		const struct pool *pool = runtime->pools[i];
		snapshot->pools[i] = (struct snapshot_pool){
			.name = pool_name(pool),
			.n_wanted = pool_n_workers(pool),
			.n_alive = pool_n_alive(pool),
			.n_ready = pool_n_ready(pool),
			.n_starts = pool_n_starts(pool),
			.leak_check = (uint64_t)runtime->conf->pools[i].leak_check,
			.crash_loop = pool_is_crash_looping(pool) ? pool_trouble(pool) : NULL,
		};
		take_exits(&snapshot->pools[i], pool);
	}
	for (size_t i = 0; i < snapshot->n_pools; i++) {
		struct snapshot_pool *pool = &snapshot->pools[i];
		const struct unblock_stages *stages = breaking_stages(runtime->breaking, *pool->name ? pool->name : NULL);
		unblock_stages_describe(stages, pool->breaking, sizeof pool->breaking);
		take_pool_states(snapshot, pool);
	}
}

/* ---- deliveries ---- */

static void take_entry(void *ctx, const struct entry *entry)
{
	struct taking *taking = ctx;
	struct snapshot *snapshot = taking->snapshot;
	const struct worker *worker = taking->worker;
	bool is_running = entry->id == worker->base_id;
	if (snapshot->n_deliveries == taking->n_delivery_slots)
		return;
	if (taking->only && strcmp(pipeline_conf(entry->pipeline)->name, taking->only) != 0)
		return;
	snapshot->deliveries[snapshot->n_deliveries++] = (struct snapshot_delivery){
		.worker = worker,
		.entry = entry,
		.age_us = taking->now_us - entry->admitted_us,
		.running_us = is_running ? taking->now_us - worker->busy_since_us : 0,
		.is_running = is_running,
	};
}

static void take_held(void *ctx, const struct worker *worker)
{
	struct taking *taking = ctx;
	taking->worker = worker;
	look_held(worker, take_entry, ctx);
}

/* Who runs longest stands first, then who came first. */
static int compare_deliveries(const void *a, const void *b)
{
	const struct snapshot_delivery *left = a, *right = b;
	if (left->running_us != right->running_us)
		return left->running_us > right->running_us ? -1 : 1;
	return (left->age_us < right->age_us) - (left->age_us > right->age_us);
}

static void take_deliveries(struct taking *taking)
{
	struct snapshot *snapshot = taking->snapshot;
	taking->n_delivery_slots = snapshot->n_in_flight;
	snapshot->deliveries = alloc_new(snapshot->n_in_flight * sizeof *snapshot->deliveries);
	look_workers(taking->runtime->dispatcher, take_held, taking);
	qsort(snapshot->deliveries, snapshot->n_deliveries, sizeof *snapshot->deliveries, compare_deliveries);
	if (snapshot->n_deliveries > SNAPSHOT_DELIVERIES_MAX)
		snapshot->n_deliveries = SNAPSHOT_DELIVERIES_MAX;
}

/* ---- the whole ---- */

/* Leaves the pipeline of that name alone in the snapshot; false: there is none. */
static bool take_only(struct snapshot *snapshot, const char *name)
{
	size_t n = 0;
	for (size_t i = 0; i < snapshot->n_pipelines; i++) {
		struct snapshot_pipeline *pipeline = &snapshot->pipelines[i];
		if (strcmp(pipeline->conf->name, name) == 0)
			snapshot->pipelines[n++] = *pipeline;
		else
			free(pipeline->lanes);
	}
	snapshot->n_pipelines = n;
	if (n)
		snapshot->n_in_flight = snapshot->pipelines->counts.in_flight + snapshot->pipelines->counts.orphans;
	return n;
}

bool glance_take(const struct glance_origin *origin, const char *only, bool wants_deliveries, int64_t now_us,
	struct snapshot *ret_snapshot)
{
	const struct runtime *runtime = origin->runtime;
	struct taking taking = {.runtime = runtime, .snapshot = ret_snapshot, .only = only, .now_us = now_us};
	*ret_snapshot = (struct snapshot){
		.version = version_own(),
		.cgroups = runtime->cgroups_text,
		.libraries = origin->libraries,
		.n_libraries = origin->n_libraries,
		.step = shutdown_step_name(runtime->step),
		.is_listening = runtime->listener,
		.is_draining = runtime->step != SHUTDOWN_NOT,
		.is_reload_refused = runtime->reload.is_refused,
		.uptime_us = now_us - origin->opened_us,
		.memory_max = (uint64_t)runtime->conf->memory_max_bytes,
		.n_late_verdicts = session_set_n_late(runtime->sessions),
		.n_log_dropped = log_dropped(),
	};
	glance_process(&ret_snapshot->process);
	ret_snapshot->process.start_seconds = (double)origin->opened_unix_ms / 1e3;
	take_pipelines(&taking);
	ret_snapshot->memory_used += (uint64_t)dispatcher_memory_beside(runtime->dispatcher);
	take_workers(&taking);
	take_pools(&taking);
	if (wants_deliveries)
		take_deliveries(&taking);
	if (!only || take_only(ret_snapshot, only))
		return true;
	glance_drop(ret_snapshot);
	return false;
}

void glance_drop(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->n_pipelines; i++)
		free(snapshot->pipelines[i].lanes);
	for (size_t i = 0; i < snapshot->n_workers; i++) {
		free(snapshot->workers[i].pipelines);
		free(snapshot->workers[i].leaks);
	}
	for (size_t i = 0; i < snapshot->n_pools; i++)
		free((void *)snapshot->pools[i].exits);
	free(snapshot->pipelines);
	free(snapshot->workers);
	free(snapshot->pools);
	free(snapshot->deliveries);
}
