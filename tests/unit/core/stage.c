/* SPDX-License-Identifier: MIT */
/* The core on a stage. */
#include "stage.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t stage_row_bound(const struct qb_message *message)
{
	return message->body.len;
}

static size_t stage_row_write(const struct qb_message *message, uint8_t *ret_row)
{
	memcpy(ret_row, message->body.data, message->body.len);
	return message->body.len;
}

static int stage_row_read(
	const uint8_t *row, size_t len, struct qb_message *ret, struct qb_header *headers, size_t *n_headers)
{
	(void)headers;
	*n_headers = 0;
	*ret = (struct qb_message){.body = {row, len}, .routing_key = {"new", 3}};
	return 0;
}

static const struct msg_codec stage_codec = {stage_row_bound, stage_row_write, stage_row_read};

static void stage_on_deliver(struct worker *self, size_t index, uint64_t first_id, uint32_t attempt,
	int64_t remaining_us, struct entry *const *entries, size_t n)
{
	struct stage_worker *worker = list_item(self, struct stage_worker, worker);
	(void)index, (void)remaining_us;
	for (size_t i = 0; i < n; i++) {
		assert(worker->n_ids < sizeof worker->ids / sizeof *worker->ids);
		assert(entries[i]->id == first_id + i && entries[i]->attempt == attempt);
		worker->ids[worker->n_ids] = first_id + i;
		worker->receipts[worker->n_ids] = entries[i]->receipt;
		worker->lanes[worker->n_ids] = entries[i]->lane->number;
		worker->attempts[worker->n_ids++] = attempt;
	}
}

static void stage_on_cancel(struct worker *self, uint64_t id, int64_t grace_us)
{
	(void)id, (void)grace_us;
	list_item(self, struct stage_worker, worker)->was_cancelled = true;
}

static void stage_on_drain(struct worker *self, const char *reason)
{
	(void)self, (void)reason;
}

static void stage_on_end(struct worker *self, const char *code, const char *reason)
{
	(void)code, (void)reason;
	list_item(self, struct stage_worker, worker)->was_ended = true;
}

static void stage_on_remind(struct worker *self)
{
	list_item(self, struct stage_worker, worker)->n_reminded++;
}

static void stage_on_break_begin(struct worker *self)
{
	struct stage_worker *worker = list_item(self, struct stage_worker, worker);
	assert(!worker->is_being_broken);
	worker->is_being_broken = true;
	worker->n_begun++;
}

static void stage_on_break_end(struct worker *self)
{
	struct stage_worker *worker = list_item(self, struct stage_worker, worker);
	assert(worker->is_being_broken);
	worker->is_being_broken = false;
}

static const struct worker_ops stage_ops = {
	.deliver = stage_on_deliver,
	.cancel = stage_on_cancel,
	.remind = stage_on_remind,
	.break_begin = stage_on_break_begin,
	.break_end = stage_on_break_end,
	.drain = stage_on_drain,
	.end = stage_on_end,
};

static void stage_publish(void *source, const struct qb_outgoing *message, uint64_t token)
{
	(void)source, (void)message, (void)token; /* never called: the source has no thread */
}

void stage_init(struct stage *stage, uint32_t traits, enum pipeline_ordering ordering)
{
	*stage = (struct stage){
		.conf =
			{
				.name = "stage",
				.ordering = ordering,
				.commit_interval_us = 1000000,
				.max_ack_gap = 1000000,
				.max_outstanding_messages = 1000000,
				.max_message_bytes = 1 << 20,
				.handler_timeout_us = 30000000,
				.handler_break_us = 100000,
				.handler_grace_us = 5000000,
				.max_extension_us = 600000000,
				.max_attempts = 5,
				.backoff = {100000, 1000000, 2, 0},
			},
		.plugin = {.abi = QB_ABI, .name = "stage", .traits = traits, .publish = stage_publish},
		.now_us = 1000000,
	};
	stage->dispatcher = dispatcher_new(1000000);
	int status =
		dispatcher_pipeline_add(stage->dispatcher, &stage->conf, &stage->plugin, &stage->source_conf, &stage_codec);
	assert(status == 0);
	(void)status;
	stage->pipeline = dispatcher_pipeline_at(stage->dispatcher, 0);
	stage_turn(stage, 0);
}

void stage_done(struct stage *stage)
{
	dispatcher_free(stage->dispatcher);
}

struct lane *stage_lane(struct stage *stage, int partition, int64_t next, const char *memo)
{
	struct lane *lane = lane_new(++stage->last_lane, "topic", 5, partition, next);
	pipeline_sink()->lane_open(stage->pipeline, lane, memo, strlen(memo));
	return lane;
}

void stage_lane_closing(struct stage *stage, struct lane *lane)
{
	pipeline_sink()->lane_closing(stage->pipeline, lane);
}

void stage_lane_close(struct stage *stage, struct lane *lane)
{
	pipeline_sink()->lane_close(stage->pipeline, lane);
}

void stage_arrive(struct stage *stage, struct lane *lane, int64_t receipt, uint64_t key)
{
	struct msg_batch *batch = msg_batch_new(1, 14);
	batch->items[0] = (struct msg_item){.lane = lane,
		.receipt = receipt,
		.key_hash = key,
		.row_len = 8,
		.body_len = 8,
		.exchange_offset = 8,
		.exchange_len = 6};
	memcpy(batch->rows, &receipt, 8);
	memcpy(batch->rows + 8, "orders", 6);
	pipeline_sink()->batch(stage->pipeline, batch);
}

void stage_worker_join(struct stage *stage, struct stage_worker *worker, uint32_t credit)
{
	const char *name = "stage";
	size_t index;
	memset(worker, 0, sizeof *worker);
	worker_init(&worker->worker, &stage_ops, ++stage->last_worker);
	worker->worker.wanted = credit;
	worker->is_there = true;
	int status = dispatcher_worker_add(stage->dispatcher, &worker->worker, &name, 1, &index, stage->now_us);
	assert(status == 0);
	(void)status;
}

void stage_worker_die(struct stage *stage, struct stage_worker *worker, bool in_peace)
{
	dispatcher_worker_gone(stage->dispatcher, &worker->worker, in_peace, "it died", stage->now_us);
	worker_done(&worker->worker);
	worker->is_there = false;
	worker->n_ids = 0;
}

uint64_t stage_take(struct stage_worker *worker, size_t index)
{
	uint64_t id = worker->ids[index];
	size_t n_after = --worker->n_ids - index;
	memmove(&worker->ids[index], &worker->ids[index + 1], n_after * sizeof *worker->ids);
	memmove(&worker->receipts[index], &worker->receipts[index + 1], n_after * sizeof *worker->receipts);
	memmove(&worker->lanes[index], &worker->lanes[index + 1], n_after * sizeof *worker->lanes);
	memmove(&worker->attempts[index], &worker->attempts[index + 1], n_after * sizeof *worker->attempts);
	return id;
}

void stage_ack(struct stage *stage, struct stage_worker *worker, uint64_t id)
{
	size_t n_late = dispatcher_ack(&worker->worker, id, 1);
	assert(n_late == 0);
	(void)n_late;
	dispatcher_settled(stage->dispatcher, &worker->worker, stage->now_us);
}

void stage_turn(struct stage *stage, int64_t later_us)
{
	stage->now_us += later_us;
	dispatcher_tick(stage->dispatcher, stage->now_us);
}

struct source_order *stage_order(struct stage *stage, enum order_kind kind)
{
	struct source *source = stage->pipeline->source;
	struct source_order *found = NULL;
	for (struct mail *mail = mailbox_take(&source->orders), *next; mail; mail = next) {
		struct source_order *order = (struct source_order *)(void *)mail;
		next = mail->next;
		if (found)
			mailbox_post(&source->orders, mail);
		else if (order->kind == kind)
			found = order;
		else
			free(order);
	}
	return found;
}
