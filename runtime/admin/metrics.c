/* SPDX-License-Identifier: MIT */
/* Metrics. Most are rows of one table: a field of a pipeline, under a name. */
#include "admin/metrics.h"

#include "admin/text.h"

#include <inttypes.h>
#include <string.h>

/* How a field is kept, which decides how it is printed. */
enum metrics_kind { METRICS_COUNT, METRICS_FLAG, METRICS_SECONDS };

struct metrics_row {
	const char *name, *type;
	enum metrics_kind kind;
	size_t offset; /* in struct snapshot_pipeline: uint64_t or size_t, bool, int64_t in microseconds */
	const char *help;
};

/* Counts by reason; the reasons that are shown although nothing was counted. */
struct metrics_reasons {
	const char *name;
	size_t offset;
	unsigned always;
	const char *help;
};

struct metrics_times {
	const char *name;
	size_t offset; /* in struct pipeline_times */
	const char *help;
};

enum { METRICS_STAGES = 3 };

struct metrics_stages {
	const char *name;
	struct {
		const char *name;
		size_t offset; /* in struct pipeline_counts */
	} stages[METRICS_STAGES];
	const char *help;
};

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "one way of reading serves both");

#define COUNTER(field) "counter", METRICS_COUNT, offsetof(struct snapshot_pipeline, field)
#define GAUGE(field) "gauge", METRICS_COUNT, offsetof(struct snapshot_pipeline, field)
#define FLAG(field) "gauge", METRICS_FLAG, offsetof(struct snapshot_pipeline, field)
#define SECONDS(field) "gauge", METRICS_SECONDS, offsetof(struct snapshot_pipeline, field)

static const struct metrics_row rows[] = {
	{"qbus_messages_received_total", COUNTER(counts.received), "Messages that came from the broker."},
	{"qbus_messages_redelivered_total", COUNTER(counts.redelivered), "Of these, those that the broker sent again."},
	{"qbus_messages_skipped_total", COUNTER(counts.skipped), "Of these, those that an earlier owner had settled."},
	{"qbus_messages_delivered_total", COUNTER(counts.delivered), "Deliveries to workers, every attempt counted."},
	{"qbus_messages_acked_total", COUNTER(counts.acked), "Messages that a handler acked."},
	{"qbus_messages_returned_total", COUNTER(counts.returned), "Deliveries that came back without a verdict."},
	{"qbus_buffered_messages", GAUGE(counts.buffered), "Messages that wait for a worker."},
	{"qbus_buffered_bytes", GAUGE(counts.buffered_bytes), "Bytes of all messages that are held."},
	{"qbus_library_queue_bytes", GAUGE(counts.queue_bytes), "Bytes that the client library has fetched ahead."},
	{"qbus_library_queue_limit_bytes", GAUGE(counts.queue_limit_bytes),
		"Most that it may fetch ahead of the lanes that are open."},
	{"qbus_in_flight_messages", GAUGE(counts.in_flight), "Messages that workers hold."},
	{"qbus_waiting_retries", GAUGE(counts.waiting), "Messages that wait for their next attempt."},
	{"qbus_parked_messages", GAUGE(counts.parked), "Messages whose dead letter is not confirmed yet."},
	{"qbus_orphaned_messages", GAUGE(counts.orphans), "Messages in flight whose lane is gone."},
	{"qbus_acked_uncommitted_messages", GAUGE(counts.acked_uncommitted),
		"Messages that are settled but not yet committed, an upper bound."},
	{"qbus_ack_gap_messages", GAUGE(ack_gap), "Messages from the lowest unsettled one on, in the worst lane."},
	{"qbus_oldest_in_flight_seconds", SECONDS(oldest_in_flight_us), "How long the handler that runs longest has run."},
	{"qbus_lanes", GAUGE(counts.lanes), "Lanes that are open: partitions or channels."},
	{"qbus_broker_connected", FLAG(counts.is_connected), "Whether the broker answers."},
	{"qbus_broker_reconnects_total", COUNTER(n_reconnects), "Connections made after the first."},
	{"qbus_rebalances_total", COUNTER(counts.rebalances), "Rebalances of the consumer group."},
	{"qbus_commit_errors_total", COUNTER(counts.commit_errors), "Commits that the broker refused."},
	{"qbus_commit_memo_cut_total", COUNTER(counts.memo_cut),
		"Messages acked out of order that did not fit into a commit; a restart would deliver them again."},
	{"qbus_consumer_cancelled_total", COUNTER(counts.cancels), "How often the broker ended the consumer."},
	{"qbus_connection_blocked", FLAG(look.is_blocked), "Whether the broker takes no publications."},
	{"qbus_worker_leaking", FLAG(is_leaking), "Whether the memory of one of its workers rises steadily."},
	{"qbus_breaker_open", FLAG(is_breaker_open), "Whether failures have stopped delivery or let only probes through."},
	{"qbus_pipeline_paused", FLAG(is_paused), "Whether delivery stands still because the dead-letter target refused."},
	{"qbus_dead_letter_target_missing", FLAG(is_target_missing),
		"Whether the dead-letter target is not there, or not ours to write."},
	{"qbus_pipeline_held", FLAG(look.is_held), "Whether delivery stands still because an operator paused it."},
};

#define REASON(reason) (1u << (reason))
#define ATTEMPT_REASONS (REASON(REASON_EXCEPTION) | REASON(REASON_DEADLINE) | REASON(REASON_CRASH))
#define BURIAL_REASONS (ATTEMPT_REASONS | REASON(REASON_REJECTED) | REASON(REASON_OVERSIZE) | REASON(REASON_EXPIRED))
#define REJECT_REASONS (BURIAL_REASONS | REASON(REASON_UNREADABLE))
#define COUNTS(field) offsetof(struct pipeline_counts, field)

static const struct metrics_reasons reason_rows[] = {
	{"qbus_messages_retried_total", COUNTS(retried_by), ATTEMPT_REASONS, "Attempts that failed and are repeated."},
	{"qbus_messages_dead_lettered_total", COUNTS(dead_lettered_by), BURIAL_REASONS,
		"Messages whose dead letter the broker confirmed."},
	{"qbus_messages_rejected_total", COUNTS(rejected_by), REJECT_REASONS,
		"Messages that were given up without a dead letter of ours."},
};

static const struct metrics_stages stages_rows[] = {
	{"qbus_deadline_total", {{"told", COUNTS(deadlines)}, {"broken", COUNTS(broken)}, {"ended", COUNTS(ended)}},
		"Handlers past their deadline: told to stop, a call of theirs broken, ended with their worker."},
	{"qbus_part_deadline_total", {{"told", COUNTS(limits)}, {"broken", COUNTS(limits_broken)}},
		"Parts of handlers past their own limit: told to stop, a call of theirs broken."},
};

static const struct metrics_times times_rows[] = {
	{"qbus_handler_duration_seconds", offsetof(struct pipeline_times, handler),
		"Time a handler took for a message, averaged over the messages of one answer."},
	{"qbus_dispatch_wait_seconds", offsetof(struct pipeline_times, wait),
		"Time from a message's arrival to its first delivery, of the oldest message delivered in one piece."},
	{"qbus_end_to_end_seconds", offsetof(struct pipeline_times, end_to_end),
		"Time from the broker's timestamp to the verdict, of the first message of one answer."},
};

#define N_ROWS(table) (sizeof(table) / sizeof *(table))

/* ---- pieces ---- */

static void metrics_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and line feed are escaped, what is no UTF-8 becomes a question mark. */
static void metrics_quote(FILE *out, const char *value)
{
	fputc('"', out);
	while (*value) {
		size_t len = text_sequence(value);
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '"' || *value == '\\')
			fprintf(out, "\\%c", *value);
		else if (len)
			fwrite(value, 1, len, out);
		else
			fputc('?', out);
		value += len ? len : 1;
	}
	fputc('"', out);
}

static void metrics_label(FILE *out, const char *before, const char *label, const char *value)
{
	fprintf(out, "%s%s=", before, label);
	metrics_quote(out, value);
}

static void metrics_single(FILE *out, const char *name, const char *type, const char *help, double value)
{
	metrics_head(out, name, type, help);
	fprintf(out, "%s %.17g\n", name, value);
}

/* ---- pipelines ---- */

static void metrics_row_write(FILE *out, const struct snapshot *snapshot, const struct metrics_row *row)
{
	metrics_head(out, row->name, row->type, row->help);
	for (size_t i = 0; i < snapshot->n_pipelines; i++) {
		const struct snapshot_pipeline *pipeline = &snapshot->pipelines[i];
		const void *field = (const char *)pipeline + row->offset;
		fputs(row->name, out);
		metrics_label(out, "{", "pipeline", pipeline->conf->name);
		if (row->kind == METRICS_COUNT)
			fprintf(out, "} %" PRIu64 "\n", *(const uint64_t *)field);
		else if (row->kind == METRICS_FLAG)
			fprintf(out, "} %d\n", *(const bool *)field);
		else
			fprintf(out, "} %.6f\n", (double)*(const int64_t *)field / 1e6);
	}
}

static void metrics_reasons_write(FILE *out, const struct snapshot *snapshot, const struct metrics_reasons *row)
{
	metrics_head(out, row->name, "counter", row->help);
	for (size_t i = 0; i < snapshot->n_pipelines; i++) {
		const struct snapshot_pipeline *pipeline = &snapshot->pipelines[i];
		const uint64_t *n_by = (const void *)((const char *)&pipeline->counts + row->offset);
		for (int reason = 0; reason < N_REASONS; reason++) {
			if (!n_by[reason] && !(row->always & REASON(reason)))
				continue;
			fputs(row->name, out);
			metrics_label(out, "{", "pipeline", pipeline->conf->name);
			metrics_label(out, ",", "reason", pipeline_reason_name(reason));
			fprintf(out, "} %" PRIu64 "\n", n_by[reason]);
		}
	}
}

static void metrics_deadlines(FILE *out, const struct snapshot *snapshot, const struct metrics_stages *row)
{
	metrics_head(out, row->name, "counter", row->help);
	for (size_t i = 0; i < snapshot->n_pipelines; i++) {
		const struct snapshot_pipeline *pipeline = &snapshot->pipelines[i];
		for (size_t stage = 0; stage < METRICS_STAGES && row->stages[stage].name; stage++) {
			const void *field = (const char *)&pipeline->counts + row->stages[stage].offset;
			fputs(row->name, out);
			metrics_label(out, "{", "pipeline", pipeline->conf->name);
			fprintf(out, ",stage=\"%s\"} %" PRIu64 "\n", row->stages[stage].name, *(const uint64_t *)field);
		}
	}
}

static void metrics_growth(FILE *out, const struct snapshot *snapshot)
{
	const char *name = "qbus_worker_growth_bytes_per_message";
	metrics_head(
		out, name, "gauge", "Memory that PHP allocates more for each message, of the worker that grows the most.");
	for (size_t i = 0; i < snapshot->n_pipelines; i++) {
		fputs(name, out);
		metrics_label(out, "{", "pipeline", snapshot->pipelines[i].conf->name);
		fprintf(out, "} %.6g\n", snapshot->pipelines[i].growth);
	}
}

/* One line for each topic or queue: the sum over its lanes, which stand together. */
static void metrics_lanes(FILE *out, const struct snapshot_pipeline *pipeline, const char *name, bool wants_wedged)
{
	for (size_t i = 0; i < pipeline->n_lanes;) {
		const char *source = pipeline->lanes[i]->source;
		int64_t sum = 0;
		for (; i < pipeline->n_lanes && strcmp(pipeline->lanes[i]->source, source) == 0; i++) {
			const struct lane *lane = pipeline->lanes[i];
			sum += wants_wedged ? lane->is_wedged : lane->lag > 0 ? lane->lag : 0;
		}
		fputs(name, out);
		metrics_label(out, "{", "pipeline", pipeline->conf->name);
		metrics_label(out, ",", pipeline->look.is_settled_singly ? "queue" : "topic", source);
		fprintf(out, "} %" PRId64 "\n", sum);
	}
}

static void metrics_sources(FILE *out, const struct snapshot *snapshot)
{
	metrics_head(out, "qbus_consumer_lag_messages", "gauge",
		"Kafka: messages behind the committed offset, by topic; RabbitMQ: messages ready in the queue.");
	for (size_t i = 0; i < snapshot->n_pipelines; i++)
		metrics_lanes(out, &snapshot->pipelines[i], "qbus_consumer_lag_messages", false);
	metrics_head(out, "qbus_lane_wedged", "gauge", "Lanes that cannot be read until an operator does something.");
	for (size_t i = 0; i < snapshot->n_pipelines; i++)
		metrics_lanes(out, &snapshot->pipelines[i], "qbus_lane_wedged", true);
}

static void metrics_histogram(
	FILE *out, const struct snapshot_pipeline *pipeline, const char *name, const struct histogram *histogram)
{
	static const char *const edges[] = {"0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1",
		"2.5", "5", "7.5", "10", "30", "60", "300"};
	static const int64_t bounds_us[N_ROWS(edges)] = {5000, 10000, 25000, 50000, 75000, 100000, 250000, 500000, 750000,
		1000000, 2500000, 5000000, 7500000, 10000000, 30000000, 60000000, 300000000};
	uint64_t n[N_ROWS(edges)];
	histogram_n_upto(histogram, bounds_us, n, N_ROWS(edges));
	for (size_t i = 0; i <= N_ROWS(edges); i++) {
		bool is_last = i == N_ROWS(edges);
		fprintf(out, "%s_bucket", name);
		metrics_label(out, "{", "pipeline", pipeline->conf->name);
		fprintf(out, ",le=\"%s\"} %" PRIu64 "\n", is_last ? "+Inf" : edges[i], is_last ? histogram->count : n[i]);
	}
	fprintf(out, "%s_sum", name);
	metrics_label(out, "{", "pipeline", pipeline->conf->name);
	fprintf(out, "} %.6f\n%s_count", (double)histogram->sum / 1e6, name);
	metrics_label(out, "{", "pipeline", pipeline->conf->name);
	fprintf(out, "} %" PRIu64 "\n", histogram->count);
}

static void metrics_times_write(FILE *out, const struct snapshot *snapshot, const struct metrics_times *row)
{
	metrics_head(out, row->name, "histogram", row->help);
	for (size_t i = 0; i < snapshot->n_pipelines; i++) {
		const struct snapshot_pipeline *pipeline = &snapshot->pipelines[i];
		metrics_histogram(out, pipeline, row->name, (const void *)((const char *)pipeline->look.times + row->offset));
	}
}

/* ---- workers and the process ---- */

static void metrics_exits(FILE *out, const struct snapshot *snapshot)
{
	metrics_head(out, "qbus_worker_exits_total", "counter", "Worker processes that ended, by reason.");
	for (size_t i = 0; i < snapshot->n_pools; i++) {
		const struct snapshot_pool *pool = &snapshot->pools[i];
		for (size_t j = 0; j < pool->n_exits; j++) {
			metrics_label(out, "qbus_worker_exits_total{", "pool", pool->name);
			fprintf(out, ",reason=\"%s\"} %" PRIu64 "\n", pool->exits[j].reason, pool->exits[j].n);
		}
	}
	metrics_head(out, "qbus_pool_crash_looping", "gauge", "1 while no worker of the pool lives long.");
	for (size_t i = 0; i < snapshot->n_pools; i++) {
		if (!*snapshot->pools[i].name)
			continue;
		metrics_label(out, "qbus_pool_crash_looping{", "pool", snapshot->pools[i].name);
		fprintf(out, "} %d\n", snapshot->pools[i].crash_loop != NULL);
	}
}

static void metrics_workers(FILE *out, const struct snapshot *snapshot)
{
	metrics_head(out, "qbus_workers", "gauge", "Workers by pool (empty: not started by qbus-proxy) and state.");
	for (size_t i = 0; i < snapshot->n_pools; i++) {
		for (int state = 0; state < SNAPSHOT_WORKER_STATES; state++) {
			metrics_label(out, "qbus_workers{", "pool", snapshot->pools[i].name);
			metrics_label(out, ",", "state", snapshot_worker_state_name(state));
			fprintf(out, "} %zu\n", snapshot->pools[i].n_in[state]);
		}
	}
	metrics_head(out, "qbus_worker_starts_total", "counter", "Worker processes started.");
	for (size_t i = 0; i < snapshot->n_pools; i++) {
		if (!*snapshot->pools[i].name)
			continue;
		metrics_label(out, "qbus_worker_starts_total{", "pool", snapshot->pools[i].name);
		fprintf(out, "} %" PRIu64 "\n", snapshot->pools[i].n_starts);
	}
	metrics_exits(out, snapshot);
	metrics_head(out, "qbus_worker_rss_bytes", "gauge", "Resident memory of a worker, by its place in the pool.");
	for (size_t i = 0; i < snapshot->n_workers; i++) {
		const struct snapshot_worker *worker = &snapshot->workers[i];
		if (!worker->place)
			continue;
		metrics_label(out, "qbus_worker_rss_bytes{", "pool", worker->pool);
		fprintf(out, ",worker=\"%u\"} %" PRIu64 "\n", worker->place, worker->rss_bytes);
	}
}

static void metrics_build(FILE *out, const struct snapshot *snapshot)
{
	metrics_head(out, "qbus_build_info", "gauge", "Always 1; its labels are the versions.");
	metrics_label(out, "qbus_build_info{", "version", snapshot->version);
	for (size_t i = 0; i < snapshot->n_libraries; i++)
		metrics_label(out, ",", snapshot->libraries[i].name, snapshot->libraries[i].version);
	fputs("} 1\n", out);
}

static void metrics_process(FILE *out, const struct snapshot *snapshot)
{
	const struct snapshot_process *process = &snapshot->process;
	metrics_single(out, "qbus_late_verdicts_total", "counter", "Verdicts for what their worker did not hold any more.",
		(double)snapshot->n_late_verdicts);
	metrics_single(out, "qbus_log_dropped_total", "counter", "Log lines that nobody read in time.",
		(double)snapshot->n_log_dropped);
	metrics_single(out, "qbus_memory_used_bytes", "gauge",
		"Bytes of all messages held, here and in the client libraries.", (double)snapshot->memory_used);
	metrics_single(
		out, "qbus_memory_max_bytes", "gauge", "memory.max_bytes of the configuration.", (double)snapshot->memory_max);
	metrics_single(out, "qbus_config_last_reload_successful", "gauge",
		"1 when the configuration that is served is the one that was last asked for.", !snapshot->is_reload_refused);
	metrics_single(out, "qbus_config_last_reload_success_timestamp_seconds", "gauge",
		"When the configuration that is served was read, since the epoch.", process->start_seconds);
	metrics_single(
		out, "process_cpu_seconds_total", "counter", "Processor time, user and system.", process->cpu_seconds);
	metrics_single(
		out, "process_start_time_seconds", "gauge", "When the process began, since the epoch.", process->start_seconds);
	metrics_single(out, "process_resident_memory_bytes", "gauge", "Resident memory.", (double)process->resident_bytes);
	metrics_single(out, "process_virtual_memory_bytes", "gauge", "Address space.", (double)process->virtual_bytes);
	metrics_single(out, "process_open_fds", "gauge", "Open file descriptors.", (double)process->n_descriptors);
	metrics_single(
		out, "process_max_fds", "gauge", "Limit of open file descriptors.", (double)process->max_descriptors);
}

void metrics_write(FILE *out, const struct snapshot *snapshot)
{
	for (size_t i = 0; i < N_ROWS(rows); i++)
		metrics_row_write(out, snapshot, &rows[i]);
	for (size_t i = 0; i < N_ROWS(reason_rows); i++)
		metrics_reasons_write(out, snapshot, &reason_rows[i]);
	for (size_t i = 0; i < N_ROWS(stages_rows); i++)
		metrics_deadlines(out, snapshot, &stages_rows[i]);
	metrics_growth(out, snapshot);
	metrics_sources(out, snapshot);
	for (size_t i = 0; i < N_ROWS(times_rows); i++)
		metrics_times_write(out, snapshot, &times_rows[i]);
	metrics_workers(out, snapshot);
	metrics_process(out, snapshot);
	metrics_build(out, snapshot);
}
