/* SPDX-License-Identifier: MIT */
/* The dispatcher: knows pipelines and workers, takes verdicts.
 *
 * The way out: pipeline_on_batch -> ledger_admit -> match_all -> ledger_reserve -> ops->deliver.
 * The way back: dispatcher_ack -> pipeline_settle -> lane position -> pipeline_flush -> source_settle. */
#include "core/board.h"
#include "core/retry.h"
#include "core/verdict.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How the reason of a verdict begins when the handler gave up because its time was over (PROTOCOL.md). */
#define DISPATCH_DEADLINE "deadline:"
#define DISPATCH_BROKEN DISPATCH_DEADLINE " the handler returned after a call of its was broken"

struct dispatcher *dispatcher_new(int64_t now_us)
{
	struct dispatcher *dispatcher = alloc_zero(sizeof *dispatcher);
	list_init(&dispatcher->crews);
	list_init(&dispatcher->workers);
	dispatcher->now_us = now_us;
	dispatcher->seed = (uint64_t)dispatcher->now_us;
	return dispatcher;
}

void dispatcher_free(struct dispatcher *dispatcher)
{
	if (!dispatcher)
		return;
	assert(list_is_empty(&dispatcher->workers));
	for (size_t i = 0; i < dispatcher->n_pipelines; i++)
		pipeline_free(dispatcher->pipelines[i]);
	heap_done(&dispatcher->deadlines);
	free(dispatcher->pipelines);
	free(dispatcher);
}

int dispatcher_pipeline_add(struct dispatcher *dispatcher, const struct pipeline_conf *conf,
	const struct qb_plugin *plugin, const struct qb_source_conf *source_conf, const struct msg_codec *codec)
{
	struct pipeline *pipeline = alloc_zero(sizeof *pipeline);
	pipeline->dispatcher = dispatcher;
	pipeline->conf = conf;
	pipeline->plugin = plugin;
	pipeline->codec = codec;
	pipeline->limit_bytes = conf->max_outstanding_bytes;
	list_init(&pipeline->lanes);
	list_init(&pipeline->dirty);
	ledger_init(&pipeline->ledger, conf);
	breaker_init(&pipeline->breaker, &conf->breaker);
	int status = source_new(plugin, source_conf, codec, pipeline_sink(), pipeline, &pipeline->source);
	if (status < 0) {
		ledger_done(&pipeline->ledger);
		free(pipeline);
		return status;
	}
	source_order_by(pipeline->source, conf->ordering_header);
	if (!conf->dead_letter.reject)
		source_aim(pipeline->source, conf->dead_letter.target);
	dispatcher->pipelines =
		alloc_resize(dispatcher->pipelines, (dispatcher->n_pipelines + 1) * sizeof *dispatcher->pipelines);
	dispatcher->pipelines[dispatcher->n_pipelines++] = pipeline;
	return 0;
}

void dispatcher_set_memory(struct dispatcher *dispatcher, int64_t max_bytes)
{
	dispatcher->memory_max_bytes = max_bytes;
	allot_memory(dispatcher);
}

void dispatcher_measure_memory(struct dispatcher *dispatcher, int64_t allocated_bytes)
{
	dispatcher->memory_allocated_bytes = allocated_bytes;
	dispatcher->is_memory_measured = true;
}

int64_t dispatcher_memory_beside(const struct dispatcher *dispatcher)
{
	int64_t queue_bytes = 0;
	for (size_t i = 0; i < dispatcher->n_pipelines; i++)
		queue_bytes += dispatcher->pipelines[i]->queue_bytes;
	return queue_bytes > dispatcher->memory_beside_bytes ? queue_bytes : dispatcher->memory_beside_bytes;
}

size_t dispatcher_n_pipelines(const struct dispatcher *dispatcher)
{
	return dispatcher->n_pipelines;
}

struct pipeline *dispatcher_pipeline_at(const struct dispatcher *dispatcher, size_t index)
{
	return dispatcher->pipelines[index];
}

/* ---- workers --------------------------------------------------------------------------------------------------------
 */

struct pipeline *dispatcher_find(const struct dispatcher *dispatcher, const char *name)
{
	for (size_t i = 0; i < dispatcher->n_pipelines; i++)
		if (strcmp(dispatcher->pipelines[i]->conf->name, name) == 0)
			return dispatcher->pipelines[i];
	return NULL;
}

int dispatcher_worker_add(struct dispatcher *dispatcher, struct worker *worker, const char *const *names, size_t n,
	size_t *ret_index, int64_t now_us)
{
	struct pipeline **pipelines = alloc_new(n * sizeof *pipelines);
	for (size_t i = 0; i < n; i++) {
		pipelines[i] = dispatcher_find(dispatcher, names[i]);
		if (!pipelines[i]) {
			*ret_index = i;
			free(pipelines);
			return -ENOENT;
		}
	}
	worker->busy_since_us = now_us;
	for (size_t i = 0; i < n; i++)
		worker_limit(worker, (uint32_t)pipelines[i]->conf->credit);
	worker_set_credit(worker);
	crew_join(crew_for(dispatcher, pipelines, n), worker);
	list_add_tail(&dispatcher->workers, &worker->link);
	free(pipelines);
	return 0;
}

const struct pipeline *dispatcher_worker_pipeline(const struct worker *worker, size_t index)
{
	return worker->crew->pipelines[index];
}

void dispatcher_worker_changed(struct worker *worker)
{
	if (!worker->crew)
		return;
	worker_set_credit(worker);
	crew_place(worker);
}

void dispatcher_worker_retire(struct worker *worker, const char *reason)
{
	worker->is_leaving = true;
	crew_place(worker);
	worker->ops->drain(worker, reason);
}

void dispatcher_worker_swollen(struct worker *worker)
{
	const struct entry *entry = worker_find(worker, worker->base_id);
	if (!entry || worker->swollen_id == worker->base_id)
		return;
	worker->swollen_id = worker->base_id;
	log_say(LOG_WARN, entry->pipeline->conf->name,
		"handler takes too much memory worker=%u source=%s partition=%d receipt=%lld", worker->number,
		entry->lane->source, entry->lane->partition, (long long)entry->receipt);
	worker->ops->cancel(worker, entry->id, 0);
}

/* Alone: it was running, so it is charged. One of several: any of them may have been running when the worker died;
 * nobody is charged, and each is delivered alone next time, so that the culprit shows itself. */
static void dispatcher_take_back(struct worker *worker, bool in_peace, const char *reason, int64_t now_us)
{
	bool was_alone = worker->n_held == 1;
	struct verdict_cause cause = {REASON_CRASH, reason, worker->exit};
	if (worker->is_overdue)
		cause = (struct verdict_cause){
			REASON_DEADLINE, "the handler did not end within its deadline and grace", worker->exit};
	else if (worker->swollen_id == worker->base_id)
		cause = (struct verdict_cause){REASON_MEMORY, "the worker took more than max_worker_memory.hard", worker->exit};
	for (uint64_t id = worker->next_id; worker->n_held && id-- > worker->base_id;) {
		struct entry *entry = worker_find(worker, id);
		if (!entry)
			continue;
		struct pipeline *pipeline = entry->pipeline;
		struct lane *lane = entry->state == ENTRY_ORPHAN ? NULL : entry->lane;
		worker_drop(worker, id);
		pipeline->counts.returned++;
		if (!in_peace && was_alone) {
			verdict_failed(pipeline, entry, &cause, -1, now_us);
			continue;
		}
		entry->is_suspect |= !in_peace && !was_alone;
		if (ledger_return(&pipeline->ledger, entry) && lane)
			pipeline_lane_changed(pipeline, lane);
	}
}

void dispatcher_worker_gone(
	struct dispatcher *dispatcher, struct worker *worker, bool in_peace, const char *reason, int64_t now_us)
{
	if (!worker->crew)
		return;
	deadline_stop(dispatcher, worker);
	dispatcher_take_back(worker, in_peace, reason, now_us);
	crew_leave(worker);
	list_remove(&worker->link);
}

/* ---- verdicts -------------------------------------------------------------------------------------------------------
 */

/* Takes the delivery from the worker; NULL: it does not hold it. */
static struct entry *dispatcher_take(struct worker *worker, uint64_t id)
{
	struct entry *entry = worker_find(worker, id);
	if (!entry)
		return NULL;
	worker_drop(worker, id);
	if (worker->n_parts)
		deadline_settled(worker, id, worker->crew->dispatcher->now_us);
	if (!worker->n_settled++) {
		worker->settled_of = entry->pipeline;
		worker->settled_stamp_ms = entry->timestamp_ms;
	}
	return entry;
}

static void dispatcher_keep(struct entry *entry)
{
	entry->pipeline->counts.acked += entry->state != ENTRY_ORPHAN;
	pipeline_settle(entry->pipeline, entry, QB_ACK);
}

/* What returned after something of it was broken may have read a short success. */
static void dispatcher_distrust(struct entry *entry)
{
	struct verdict_cause cause = {REASON_DEADLINE, DISPATCH_BROKEN, NULL};
	verdict_failed(entry->pipeline, entry, &cause, -1, entry->pipeline->dispatcher->now_us);
}

size_t dispatcher_ack(struct worker *worker, uint64_t first_id, uint64_t count)
{
	size_t n_late = 0;
	/* What lies outside the worker's ids needs no walk: a run may claim 2^63 of them. */
	uint64_t end = count > UINT64_MAX - first_id ? UINT64_MAX : first_id + count;
	uint64_t from = first_id < worker->base_id ? worker->base_id : first_id;
	uint64_t until = end > worker->next_id ? worker->next_id : end;
	for (uint64_t id = from; id < until; id++) {
		struct entry *entry = dispatcher_take(worker, id);
		if (!entry) {
			n_late++;
			continue;
		}
		if (entry->is_broken)
			dispatcher_distrust(entry);
		else
			dispatcher_keep(entry);
	}
	return until > from ? n_late + (size_t)(count - (until - from)) : (size_t)count;
}

size_t dispatcher_ack_meant(struct worker *worker, uint64_t id)
{
	struct entry *entry = dispatcher_take(worker, id);
	if (!entry)
		return 1;
	dispatcher_keep(entry);
	return 0;
}

size_t dispatcher_retry(struct worker *worker, uint64_t id, int64_t delay_us, const char *reason, int64_t now_us)
{
	/* The client's clock may be the first to see it. */
	bool was_told = (worker->whole.stage != DEADLINE_RUNS && id == worker->clock_id) ||
	                (reason && strncmp(reason, DISPATCH_DEADLINE, sizeof DISPATCH_DEADLINE - 1) == 0);
	bool was_swollen = id == worker->swollen_id;
	struct entry *entry = dispatcher_take(worker, id);
	if (!entry)
		return 1;
	was_told |= entry->is_broken;
	enum pipeline_reason why = was_swollen ? REASON_MEMORY : was_told ? REASON_DEADLINE : REASON_EXCEPTION;
	struct verdict_cause cause = {why, reason, NULL};
	verdict_failed(entry->pipeline, entry, &cause, delay_us, now_us);
	return 0;
}

size_t dispatcher_reject(struct worker *worker, uint64_t id, const char *reason)
{
	struct entry *entry = dispatcher_take(worker, id);
	if (!entry)
		return 1;
	if (entry->is_broken) { /* half an answer can look like a bad message: an outage must not fill the dead letters */
		struct verdict_cause cause = {REASON_DEADLINE, reason, NULL};
		verdict_failed(entry->pipeline, entry, &cause, -1, entry->pipeline->dispatcher->now_us);
		return 0;
	}
	entry->pipeline->n_judged++;
	verdict_bury(entry->pipeline, entry, &(struct verdict_cause){REASON_REJECTED, reason, NULL});
	return 0;
}

size_t dispatcher_release(struct worker *worker, uint64_t id)
{
	struct entry *entry = dispatcher_take(worker, id);
	if (!entry)
		return 1;
	struct pipeline *pipeline = entry->pipeline;
	struct lane *lane = entry->lane;
	pipeline->counts.returned++;
	if (ledger_return(&pipeline->ledger, entry))
		pipeline_lane_changed(pipeline, lane);
	return 0;
}

/* Once for all that a frame settled: the first message of it stands for the others. */
static void dispatcher_record(const struct dispatcher *dispatcher, const struct worker *worker, int64_t busy_us)
{
	struct pipeline_times *times = &worker->settled_of->times;
	histogram_record(&times->handler, busy_us / worker->n_settled, worker->n_settled);
	if (dispatcher->unix_ms && worker->settled_stamp_ms > 0)
		histogram_record(
			&times->end_to_end, 1000 * (dispatcher->unix_ms - worker->settled_stamp_ms), worker->n_settled);
}

void dispatcher_settled(struct dispatcher *dispatcher, struct worker *worker, int64_t now_us)
{
	if (!worker->crew || !worker->n_settled)
		return;
	dispatcher_record(dispatcher, worker, now_us - worker->busy_since_us);
	worker_measure(worker, worker->n_settled, now_us - worker->busy_since_us);
	worker->n_settled = 0;
	worker->is_alone = worker->is_alone && worker->n_held;
	deadline_restart(dispatcher, worker, now_us);
	crew_place(worker);
}

/* ---- the turn -------------------------------------------------------------------------------------------------------
 */

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

void dispatcher_set_clock(struct dispatcher *dispatcher, int64_t now_us, int64_t unix_ms)
{
	dispatcher->now_us = now_us;
	dispatcher->unix_ms = unix_ms;
}

int64_t dispatcher_tick(struct dispatcher *dispatcher, int64_t now_us)
{
	int64_t next_us = CLOCK_NEVER;
	dispatcher->now_us = now_us;
	deadline_tick(dispatcher);
	for (size_t i = 0; i < dispatcher->n_pipelines; i++) {
		struct pipeline *pipeline = dispatcher->pipelines[i];
		next_us = earlier(next_us, pipeline_unfreeze(pipeline, now_us));
		next_us = earlier(next_us, pipeline_watch_failures(pipeline, now_us));
		next_us = earlier(next_us, ledger_wake(&pipeline->ledger, now_us, pipeline->breaker.state == BREAKER_CLOSED));
		verdict_republish(pipeline);
	}
	match_all(dispatcher);
	for (size_t i = 0; i < dispatcher->n_pipelines; i++) {
		struct pipeline *pipeline = dispatcher->pipelines[i];
		pipeline_flush(pipeline, now_us);
		if (pipeline->commit_due_us)
			next_us = earlier(next_us, pipeline->commit_due_us);
	}
	allot_memory(dispatcher);
	struct heap_node *node = heap_peek(&dispatcher->deadlines);
	return node ? earlier(next_us, node->at_us) : next_us;
}

void dispatcher_thaw(struct dispatcher *dispatcher, int64_t stood_us, int64_t now_us)
{
	log_say(LOG_WARN, NULL,
		"stood still, delivers again when sources have confirmed what is still theirs milliseconds=%lld",
		(long long)(stood_us / 1000));
	for (size_t i = 0; i < dispatcher->n_pipelines; i++)
		pipeline_thaw(dispatcher->pipelines[i], now_us);
}

void dispatcher_stop(struct dispatcher *dispatcher)
{
	if (dispatcher->is_stopping)
		return;
	dispatcher->is_stopping = true;
	for (size_t i = 0; i < dispatcher->n_pipelines; i++)
		source_drain(dispatcher->pipelines[i]->source);
}

void dispatcher_drain_workers(struct dispatcher *dispatcher, const char *reason)
{
	list_each(pos, &dispatcher->workers) dispatcher_worker_retire(list_item(pos, struct worker, link), reason);
}

bool dispatcher_is_idle(const struct dispatcher *dispatcher)
{
	for (size_t i = 0; i < dispatcher->n_pipelines; i++) {
		const struct pipeline *pipeline = dispatcher->pipelines[i];
		const size_t *n_in = pipeline->ledger.n_in;
		if (n_in[ENTRY_RESERVED] || n_in[ENTRY_PARKED])
			return false;
		/* What waits for a retry, or behind such a one, is not waited for: it comes again, with its attempt lost. */
		if (pipeline_goes_on(pipeline) && (n_in[ENTRY_READY] || pipeline_awaits_more(pipeline)) &&
			pipeline->n_servers && breaker_room(&pipeline->breaker, 0))
			return false;
	}
	return true;
}

void dispatcher_close(struct dispatcher *dispatcher, int64_t timeout_us, int64_t now_us)
{
	if (dispatcher->is_closing)
		return;
	dispatcher->is_closing = dispatcher->is_stopping = true;
	for (size_t i = 0; i < dispatcher->n_pipelines; i++) {
		struct pipeline *pipeline = dispatcher->pipelines[i];
		pipeline_commit(pipeline);
		pipeline_flush(pipeline, now_us);
		source_close(pipeline->source, timeout_us);
	}
}

void dispatcher_hurry(struct dispatcher *dispatcher)
{
	for (size_t i = 0; i < dispatcher->n_pipelines; i++)
		source_hurry(dispatcher->pipelines[i]->source);
}

bool dispatcher_is_closed(const struct dispatcher *dispatcher)
{
	for (size_t i = 0; i < dispatcher->n_pipelines; i++)
		if (dispatcher->pipelines[i]->source_state != SOURCE_CLOSED)
			return false;
	return true;
}

const char *dispatcher_check(const struct dispatcher *dispatcher)
{
	const char *wrong = heap_check(&dispatcher->deadlines);
	for (size_t i = 0; i < dispatcher->n_pipelines && !wrong; i++)
		wrong = ledger_check(&dispatcher->pipelines[i]->ledger, &dispatcher->pipelines[i]->lanes);
	list_each(pos, &dispatcher->workers) wrong = wrong ? wrong : worker_check(list_item(pos, struct worker, link));
	return wrong;
}
