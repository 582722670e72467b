/* SPDX-License-Identifier: MIT */
/* JSON of a snapshot. Times are in seconds, receipts are what the broker calls offset or delivery tag. */
#include "admin/api.h"

#include "admin/text.h"

#include <jansson.h>

const char *snapshot_worker_state_name(enum snapshot_worker_state state)
{
	static const char *const names[SNAPSHOT_WORKER_STATES] = {
		[SNAPSHOT_STARTING] = "starting",
		[SNAPSHOT_IDLE] = "idle",
		[SNAPSHOT_BUSY] = "busy",
		[SNAPSHOT_LEAVING] = "leaving",
	};
	return names[state];
}

static void api_write(FILE *out, json_t *value)
{
	json_dumpf(value, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	fputc('\n', out);
	json_decref(value);
}

static json_t *api_text(const char *text)
{
	char clean[512];
	return text ? json_string(text_clean(text, clean, sizeof clean)) : json_null();
}

static json_t *api_count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *api_seconds(int64_t us)
{
	return json_real((double)us / 1e6);
}

/* ---- ready ---- */

static void api_add_reason(json_t *reasons, const char *reason, const struct snapshot_pipeline *pipeline)
{
	json_t *item = json_pack("{s:s}", "reason", reason);
	if (pipeline)
		json_object_set_new(item, "pipeline", api_text(pipeline->conf->name));
	json_array_append_new(reasons, item);
}

static void api_add_why(json_t *reasons, const char *reason, const struct snapshot_pipeline *pipeline, const char *why)
{
	json_array_append_new(reasons, json_pack("{s:s, s:o, s:o}", "reason", reason, "pipeline",
									   api_text(pipeline->conf->name), "why", api_text(why)));
}

static void api_add_lanes(json_t *reasons, const struct snapshot_pipeline *pipeline)
{
	for (size_t i = 0; i < pipeline->n_lanes; i++) {
		const struct lane *lane = pipeline->lanes[i];
		if (!lane->is_wedged && !lane->is_cancelled)
			continue;
		json_array_append_new(
			reasons, json_pack("{s:s, s:o, s:o, s:i, s:I, s:o}", "reason",
						 lane->is_wedged ? "lane wedged" : "consumer cancelled", "pipeline",
						 api_text(pipeline->conf->name), "source", api_text(lane->source), "partition",
						 (int)lane->partition, "offset", (json_int_t)lane->newest + 1, "why", api_text(lane->trouble)));
	}
}

static json_t *api_reasons(const struct snapshot *snapshot)
{
	json_t *reasons = json_array();
	if (snapshot->is_draining)
		api_add_reason(reasons, "draining", NULL);
	else if (!snapshot->is_listening)
		api_add_reason(reasons, "not listening", NULL);
	for (size_t i = 0; i < snapshot->n_pipelines; i++) {
		const struct snapshot_pipeline *pipeline = &snapshot->pipelines[i];
		if (!pipeline->look.n_workers)
			api_add_reason(reasons, "no worker", pipeline);
		if (!pipeline->counts.is_connected)
			json_array_append_new(
				reasons, json_pack("{s:s, s:o, s:o, s:o*}", "reason", "broker not connected", "pipeline",
							 api_text(pipeline->conf->name), "broker", api_text(pipeline->conf->broker), "why",
							 pipeline->look.absent ? api_text(pipeline->look.absent) : NULL));
		if (pipeline->is_paused)
			api_add_reason(reasons, "pipeline paused", pipeline);
		if (pipeline->look.is_held)
			api_add_reason(reasons, "pipeline paused by an operator", pipeline);
		if (pipeline->look.cancelled)
			api_add_why(reasons, "consumer cancelled", pipeline, pipeline->look.cancelled);
		if (pipeline->look.missing)
			api_add_why(reasons, "dead-letter target missing", pipeline, pipeline->look.missing);
		api_add_lanes(reasons, pipeline);
	}
	for (size_t i = 0; i < snapshot->n_pools; i++)
		if (snapshot->pools[i].crash_loop)
			json_array_append_new(
				reasons, json_pack("{s:s, s:o, s:o}", "reason", "crash loop", "pool", api_text(snapshot->pools[i].name),
							 "why", api_text(snapshot->pools[i].crash_loop)));
	return reasons;
}

bool api_write_ready(FILE *out, const struct snapshot *snapshot)
{
	json_t *reasons = api_reasons(snapshot);
	bool is_ready = json_array_size(reasons) == 0;
	api_write(out, json_pack("{s:b, s:o}", "ready", (int)is_ready, "reasons", reasons));
	return is_ready;
}

/* ---- status ---- */

static json_t *api_lane(const struct lane *lane)
{
	return json_pack("{s:o, s:i, s:s, s:I, s:I, s:I, s:i, s:I, s:b, s:b, s:o}", "source", api_text(lane->source),
		"partition", (int)lane->partition, "state", lane_state_name(lane->state), "position",
		(json_int_t)lane->position, "kept", (json_int_t)lane->kept, "newest", (json_int_t)lane->newest, "gap",
		(int)lane->n_entries, "lag", (json_int_t)lane->lag, "shut", (int)lane->is_shut, "wedged", (int)lane->is_wedged,
		"trouble", api_text(lane->trouble));
}

/* [highest value, how many] of those that are not empty: two moments can be told apart by the difference. */
static json_t *api_buckets(const struct histogram *histogram)
{
	json_t *buckets = json_array();
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		if (histogram->n_in[i])
			json_array_append_new(
				buckets, json_pack("[o, o]", api_seconds(histogram_bucket_end(i)), api_count(histogram->n_in[i])));
	return buckets;
}

static json_t *api_times(const struct histogram *histogram)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "count", api_count(histogram->count), "p50",
		api_seconds(histogram_quantile(histogram, 0.5)), "p90", api_seconds(histogram_quantile(histogram, 0.9)), "p99",
		api_seconds(histogram_quantile(histogram, 0.99)), "p99.9", api_seconds(histogram_quantile(histogram, 0.999)),
		"max", api_seconds(histogram_quantile(histogram, 1)), "buckets", api_buckets(histogram));
}

/* The fields of struct pipeline_counts that are counted since the start. */
static json_t *api_counters(const struct snapshot_pipeline *pipeline)
{
	const struct pipeline_counts *counts = &pipeline->counts;
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"received", api_count(counts->received), "delivered", api_count(counts->delivered), "acked",
		api_count(counts->acked), "retried", api_count(counts->retried), "rejected", api_count(counts->rejected),
		"dead_lettered", api_count(counts->dead_lettered), "returned", api_count(counts->returned), "redelivered",
		api_count(counts->redelivered), "skipped", api_count(counts->skipped), "deadlines",
		api_count(counts->deadlines), "broken", api_count(counts->broken), "ended", api_count(counts->ended),
		"part_deadlines", api_count(counts->limits), "parts_broken", api_count(counts->limits_broken), "commit_errors",
		api_count(counts->commit_errors), "rebalances", api_count(counts->rebalances), "reconnects",
		api_count(pipeline->n_reconnects));
}

/* NULL: nobody does. */
static const char *api_paused_by(const struct snapshot_pipeline *pipeline)
{
	if (pipeline->look.is_held)
		return "operator";
	return pipeline->is_paused ? "dead letter" : NULL;
}

static json_t *api_pipeline(const struct snapshot_pipeline *pipeline)
{
	const struct pipeline_counts *counts = &pipeline->counts;
	const struct pipeline_times *times = pipeline->look.times;
	json_t *lanes = json_array();
	for (size_t i = 0; i < pipeline->n_lanes; i++)
		json_array_append_new(lanes, api_lane(pipeline->lanes[i]));
	json_t *object = json_pack("{s:o, s:s, s:o, s:o, s:s, s:b, s:b, s:s, s:b, s:o, s:I}", "name",
		api_text(pipeline->conf->name), "kind", pipeline->kind, "broker", api_text(pipeline->conf->broker), "pool",
		api_text(pipeline->conf->pool), "source", source_state_name(pipeline->look.source_state), "connected",
		(int)counts->is_connected, "blocked", (int)pipeline->look.is_blocked, "breaker",
		breaker_state_name(pipeline->look.breaker_state), "paused", pipeline->is_paused || pipeline->look.is_held,
		"paused_by", api_text(api_paused_by(pipeline)), "workers", (json_int_t)pipeline->look.n_workers);
	json_t *gauges =
		json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "buffered", api_count(counts->buffered),
			"buffered_bytes", api_count(counts->buffered_bytes), "in_flight", api_count(counts->in_flight), "waiting",
			api_count(counts->waiting), "parked", api_count(counts->parked), "orphans", api_count(counts->orphans),
			"acked_uncommitted", api_count(counts->acked_uncommitted), "ack_gap", api_count(pipeline->ack_gap), "lag",
			(json_int_t)counts->lag, "oldest_in_flight_seconds", api_seconds(pipeline->oldest_in_flight_us));
	json_object_update_new(object, gauges);
	json_object_set_new(object, "growth_bytes_per_1000", json_real(1000 * pipeline->growth));
	json_object_set_new(object, "leaking", json_boolean(pipeline->is_leaking));
	json_object_update_new(object, api_counters(pipeline));
	json_object_set_new(object, "handler_seconds", api_times(&times->handler));
	json_object_set_new(object, "wait_seconds", api_times(&times->wait));
	json_object_set_new(object, "end_to_end_seconds", api_times(&times->end_to_end));
	json_object_set_new(object, "lanes", lanes);
	return object;
}

/* What its handler has to do with now. */
static json_t *api_current(const struct snapshot_worker *worker)
{
	const struct entry *entry = worker->current;
	if (!entry)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:i, s:I, s:i, s:o}", "id", api_count(entry->id), "pipeline",
		api_text(pipeline_conf(entry->pipeline)->name), "source", api_text(entry->lane->source), "partition",
		(int)entry->lane->partition, "offset", (json_int_t)entry->receipt, "attempt", (int)entry->attempt,
		"remaining_seconds", api_seconds(worker->remaining_us));
}

static json_t *api_leaks(const struct snapshot_worker *worker)
{
	json_t *leaks = json_array();
	for (size_t i = 0; i < worker->n_leaks; i++) {
		const struct snapshot_leak *leak = &worker->leaks[i];
		json_array_append_new(
			leaks, json_pack("{s:o, s:o, s:o, s:o}", "path", api_text(leak->path), "looks", api_count(leak->n_looks),
					   "grew", api_count(leak->n_grew), "bytes", api_count(leak->bytes)));
	}
	return leaks;
}

static json_t *api_worker(const struct snapshot_worker *worker)
{
	json_t *pipelines = json_array();
	for (size_t i = 0; i < worker->n_pipelines; i++)
		json_array_append_new(pipelines, api_text(worker->pipelines[i]));
	json_t *object = json_pack("{s:I, s:i, s:o, s:i, s:o, s:s, s:o, s:I, s:I, s:o, s:o, s:o, s:o}", "number",
		(json_int_t)worker->number, "pid", (int)worker->pid, "pool", api_text(worker->pool), "place",
		(int)worker->place, "client", api_text(worker->client), "state", snapshot_worker_state_name(worker->state),
		"pipelines", pipelines, "held", (json_int_t)worker->n_held, "credit", (json_int_t)worker->credit,
		"memory_bytes", api_count(worker->reported_bytes), "rss_bytes", api_count(worker->rss_bytes), "age_seconds",
		api_seconds(worker->age_us), "running_seconds", api_seconds(worker->running_us));
	json_t *growth = json_pack("{s:o, s:f, s:b, s:o, s:o, s:o}", "messages", api_count(worker->n_messages),
		"growth_bytes_per_1000", 1000 * worker->growth, "leaking", (int)worker->is_leaking, "current",
		api_current(worker), "leak_looks", api_count(worker->n_leak_looks), "leaks", api_leaks(worker));
	json_object_update_new(object, growth);
	return object;
}

static json_t *api_pool(const struct snapshot_pool *pool)
{
	json_t *exits = json_object();
	for (size_t i = 0; i < pool->n_exits; i++)
		json_object_set_new(exits, pool->exits[i].reason, api_count(pool->exits[i].n));
	return json_pack("{s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:b, s:o}", "name", api_text(pool->name), "leak_check",
		(json_int_t)pool->leak_check, "wanted", (json_int_t)pool->n_wanted, "alive", (json_int_t)pool->n_alive, "ready",
		(json_int_t)pool->n_ready, "starts", api_count(pool->n_starts), "breaking", api_text(pool->breaking),
		"crash_looping", (int)(pool->crash_loop != NULL), "exits", exits);
}

void api_write_status(FILE *out, const struct snapshot *snapshot)
{
	json_t *reasons = api_reasons(snapshot), *pipelines = json_array(), *workers = json_array(), *pools = json_array();
	for (size_t i = 0; i < snapshot->n_pipelines; i++)
		json_array_append_new(pipelines, api_pipeline(&snapshot->pipelines[i]));
	for (size_t i = 0; i < snapshot->n_workers; i++)
		json_array_append_new(workers, api_worker(&snapshot->workers[i]));
	for (size_t i = 0; i < snapshot->n_pools; i++)
		if (*snapshot->pools[i].name)
			json_array_append_new(pools, api_pool(&snapshot->pools[i]));
	api_write(
		out, json_pack("{s:s, s:i, s:s, s:b, s:o, s:b, s:o, s:{s:o, s:o, s:o}, s:o, s:o, s:o, s:o, s:o, s:o}",
				 "version", snapshot->version, "pid", (int)snapshot->process.pid, "state", snapshot->step,
				 "reload_refused", (int)snapshot->is_reload_refused, "uptime_seconds", api_seconds(snapshot->uptime_us),
				 "ready", json_array_size(reasons) == 0, "reasons", reasons, "memory", "used_bytes",
				 api_count(snapshot->memory_used), "max_bytes", api_count(snapshot->memory_max), "rss_bytes",
				 api_count(snapshot->process.resident_bytes), "late_verdicts", api_count(snapshot->n_late_verdicts),
				 "pipelines", pipelines, "workers", workers, "pools", pools, "breaking",
				 api_text(snapshot->pools[snapshot->n_pools - 1].breaking), "cgroups", api_text(snapshot->cgroups)));
}

/* ---- in flight ---- */

static json_t *api_delivery(const struct snapshot_delivery *delivery)
{
	const struct entry *entry = delivery->entry;
	return json_pack("{s:o, s:o, s:I, s:o, s:i, s:I, s:i, s:I, s:b, s:o, s:o, s:b}", "id", api_count(entry->id),
		"pipeline", api_text(pipeline_conf(entry->pipeline)->name), "worker", (json_int_t)delivery->worker->number,
		"source", api_text(entry->lane->source), "partition", (int)entry->lane->partition, "offset",
		(json_int_t)entry->receipt, "attempt", (int)entry->attempt, "bytes", (json_int_t)entry->body_len, "running",
		(int)delivery->is_running, "running_seconds", api_seconds(delivery->running_us), "age_seconds",
		api_seconds(delivery->age_us), "orphan", entry->state == ENTRY_ORPHAN);
}

void api_write_inflight(FILE *out, const struct snapshot *snapshot)
{
	json_t *deliveries = json_array();
	for (size_t i = 0; i < snapshot->n_deliveries; i++)
		json_array_append_new(deliveries, api_delivery(&snapshot->deliveries[i]));
	api_write(out, json_pack("{s:I, s:I, s:o}", "in_flight", (json_int_t)snapshot->n_in_flight, "shown",
					   (json_int_t)snapshot->n_deliveries, "deliveries", deliveries));
}

/* ---- actions ---- */

void api_write_outcome(FILE *out, bool is_ok, const char *sentence)
{
	api_write(out, json_pack("{s:b, s:o}", "ok", (int)is_ok, "message", api_text(sentence)));
}
