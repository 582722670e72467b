/* SPDX-License-Identifier: MIT */
/* Matching: ready messages with workers that have room, in turns, under the ordering rule that the ledger keeps. */
#include "core/verdict.h"

/* MATCH_RUN: the most messages in one piece, so that workers and pipelines take turns. MATCH_HEAD_BYTES: of key and
 * headers that no message is too big for. */
enum { MATCH_RUN = 512, MATCH_HEAD_BYTES = 65536 };

/* Why the message is too big, NULL: it is not. A body of any size can be streamed; key and headers cannot. */
static const char *match_oversize(const struct pipeline_conf *conf, const struct entry *entry)
{
	if ((int64_t)entry->body_len > conf->max_message_bytes && conf->oversize != OVERSIZE_STREAM)
		return "the body is above max_message_bytes";
	if ((int64_t)(entry->row_len - entry->body_len) > conf->max_message_bytes + MATCH_HEAD_BYTES)
		return "key and headers are above max_message_bytes";
	return NULL;
}

/* Deals with a ready message that no handler shall see, as it is too big. */
static bool match_is_dead(struct pipeline *pipeline, struct entry *entry)
{
	const char *oversize = match_oversize(pipeline->conf, entry);
	if (oversize)
		verdict_bury(pipeline, entry, &(struct verdict_cause){REASON_OVERSIZE, oversize, NULL});
	return oversize;
}

static void match_reserve(struct pipeline *pipeline, struct worker *worker, struct entry *entry)
{
	entry->pipeline = pipeline;
	if (!entry->first_delivered_ms)
		entry->first_delivered_ms = pipeline->dispatcher->unix_ms;
	ledger_reserve(&pipeline->ledger, entry, worker_hold(worker, entry));
}

/* Up to `want` ready entries of one attempt, reserved for the worker; messages of closing lanes fall off the ready list
 * and stay where they are until their lane is gone. */
static size_t match_reserve_run(struct pipeline *pipeline, struct worker *worker, size_t want, struct entry **ret)
{
	struct ledger *ledger = &pipeline->ledger;
	size_t n = 0;
	for (struct entry *entry; n < want && (entry = ledger_next(ledger));) {
		if (entry->lane->state != LANE_OPEN) {
			list_remove(&entry->link);
			continue;
		}
		if (match_is_dead(pipeline, entry))
			continue;
		if (n && entry->attempt != ret[0]->attempt)
			break;
		match_reserve(pipeline, worker, entry);
		ret[n++] = entry;
	}
	return n;
}

static void match_deliver(
	struct pipeline *pipeline, struct worker *worker, size_t index, struct entry **entries, size_t n)
{
	struct dispatcher *dispatcher = pipeline->dispatcher;
	bool was_idle = worker->n_held == n;
	pipeline->counts.delivered += n;
	if (entries[0]->attempt == 1)
		histogram_record(&pipeline->times.wait, dispatcher->now_us - entries[0]->admitted_us, n);
	worker->ops->deliver(
		worker, index, entries[0]->id, entries[0]->attempt, pipeline->conf->handler_timeout_us, entries, n);
	if (was_idle)
		deadline_restart(dispatcher, worker, dispatcher->now_us);
	crew_place(worker);
}

/* One suspect for one idle worker, which gets nothing else until it has settled it. When nobody is idle somebody is put
 * to rest, so that a steady stream of other messages cannot keep a suspect waiting. */
static bool match_suspect(struct pipeline *pipeline)
{
	struct ledger *ledger = &pipeline->ledger;
	size_t index, n_free;
	struct list *link = list_peek(&ledger->suspects);
	if (!link || !breaker_room(&pipeline->breaker, ledger->n_in[ENTRY_RESERVED]))
		return false;
	struct entry *entry = list_item(link, struct entry, link);
	if (entry->lane->state != LANE_OPEN) {
		list_remove(&entry->link);
		return true;
	}
	if (match_is_dead(pipeline, entry))
		return true;
	struct worker *worker = crew_pick(pipeline, true, &index, &n_free);
	if (!worker) {
		crew_rest(pipeline);
		return false;
	}
	worker->is_alone = true;
	match_reserve(pipeline, worker, entry);
	match_deliver(pipeline, worker, index, &entry, 1);
	return true;
}

/* One run of messages for one worker. Returns whether something moved. */
static bool match_run(struct pipeline *pipeline)
{
	struct entry *entries[MATCH_RUN];
	size_t index, n_free;
	size_t may = breaker_room(&pipeline->breaker, pipeline->ledger.n_in[ENTRY_RESERVED]);
	if (!may || !ledger_next(&pipeline->ledger))
		return false;
	struct worker *worker = crew_pick(pipeline, false, &index, &n_free);
	if (!worker)
		return false;
	/* An even share, so that one worker does not take what others could begin at once. */
	size_t share = (pipeline->ledger.n_in[ENTRY_READY] + n_free - 1) / n_free;
	size_t want = worker_room(worker);
	want = want < share ? want : share;
	want = want < MATCH_RUN ? want : MATCH_RUN;
	want = want < may ? want : may;
	size_t n = match_reserve_run(pipeline, worker, want ? want : 1, entries);
	if (n)
		match_deliver(pipeline, worker, index, entries, n);
	return n > 0;
}

void match_all(struct dispatcher *dispatcher)
{
	size_t n = dispatcher->n_pipelines;
	for (bool moved = true; moved;) {
		moved = false;
		for (size_t i = 0, first = dispatcher->turn; i < n; i++) {
			struct pipeline *pipeline = dispatcher->pipelines[(first + i) % n];
			bool has_moved = pipeline_is_served(pipeline) && match_suspect(pipeline);
			has_moved = (pipeline_is_served(pipeline) && match_run(pipeline)) || has_moved;
			if (!has_moved)
				continue;
			dispatcher->turn = (first + i + 1) % n; /* who was served comes last next time */
			moved = true;
		}
	}
}
