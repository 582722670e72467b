/* SPDX-License-Identifier: MIT */
/* One batch of messages on their way out. */
#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "surplus.h"

struct gathering {
	struct batch *batch;
	size_t max_messages, max_bytes;
	size_t bytes;
	batch_error *error;
	void *ctx;
};

static struct qb_header *header_room(struct batch *batch)
{
	if (batch->n_headers == batch->n_headers_room) {
		batch->n_headers_room = batch->n_headers_room ? 2 * batch->n_headers_room : 1024;
		batch->headers = realloc(batch->headers, batch->n_headers_room * sizeof(*batch->headers));
		if (!batch->headers)
			abort();
	}
	return &batch->headers[batch->n_headers++];
}

/* Only the number of the first header is kept: the array may still move. */
static void headers_take(struct batch *batch, const rd_kafka_message_t *from, struct qb_message *message)
{
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t size;

	batch->first_header[batch->n] = batch->n_headers;
	if (record_is_bare(from) || rd_kafka_message_headers(from, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++)
		*header_room(batch) = (struct qb_header){{name, strlen(name)}, {value, size}};
	message->n_headers = batch->n_headers - batch->first_header[batch->n];
}

static void message_take(struct batch *batch, struct lane *lane, rd_kafka_message_t *from)
{
	struct qb_message *message = &batch->messages[batch->n];
	rd_kafka_timestamp_type_t type;

	*message = (struct qb_message){.lane = lane->id,
		.receipt = from->offset,
		.timestamp_ms = rd_kafka_message_timestamp(from, &type),
		.partition = lane->partition,
		.source = {lane->topic, lane->topic_len},
		.key = {from->key, from->key_len},
		.body = {from->payload, from->len}};
	headers_take(batch, from, message);
	batch->taken[batch->n++] = from;
	lane->next = from->offset + 1;
	lane->taken_messages++;
	lane->taken_bytes += from->len;
	lane->is_healed = lane->wedge.reason || lane->is_cancelled;
}

/* What lies behind an error that holds the lane comes again: it is read anew from there. */
static void other_take(struct gathering *gathering, struct lane *lane, rd_kafka_message_t *from)
{
	if (from->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		lane->end = lane->wedge.is_held ? 0 : from->offset;
		gathering->batch->has_ends = true;
	} else {
		lane->is_healed = false;
		if (from->err && !lane->wedge.is_held)
			gathering->error(gathering->ctx, lane, from->err, rd_kafka_message_errstr(from));
	}
	rd_kafka_message_destroy(from);
}

/* How many to ask the lane for: as if all were like the largest of those that came last. */
static size_t lane_share(const struct gathering *gathering, const struct lane *lane)
{
	size_t room = gathering->max_messages - gathering->batch->n;
	size_t fitting = (gathering->max_bytes - gathering->bytes) / lane->largest + 1;

	return fitting < room ? fitting : room;
}

/* Gives on what came from the lane, as far as the batch goes. Returns how many it has dealt with. */
static size_t lane_give(struct gathering *gathering, struct lane *lane, rd_kafka_message_t **from, size_t n)
{
	size_t i, largest = 0;

	for (i = 0; i < n && gathering->bytes < gathering->max_bytes; i++) {
		size_t size = from[i]->len + from[i]->key_len;

		if (from[i]->err || from[i]->offset < lane->next || lane->wedge.is_held) {
			other_take(gathering, lane, from[i]);
			continue;
		}
		largest = size >= largest ? size + 1 : largest;
		gathering->bytes += size;
		message_take(gathering->batch, lane, from[i]);
	}
	lane->largest = largest ? largest : lane->largest;
	if (largest > gathering->batch->largest)
		gathering->batch->largest = largest;
	return i;
}

/* Takes what the lane has, as far as the batch goes. False: its queue is empty. */
static bool lane_take(struct gathering *gathering, struct lane *lane)
{
	struct batch *batch = gathering->batch;

	while (batch->n < gathering->max_messages && gathering->bytes < gathering->max_bytes) {
		rd_kafka_message_t **from = &batch->taken[batch->n]; /* those that are kept move to the front */
		size_t share = lane_share(gathering, lane);
		bool is_surplus = !surplus_is_empty(&lane->surplus);
		ssize_t n = is_surplus ? (ssize_t)surplus_take(&lane->surplus, from, share)
		                       : rd_kafka_consume_batch_queue(lane->queue, 0, from, share);
		size_t n_came = n > 0 ? (size_t)n : 0, n_given = lane_give(gathering, lane, from, n_came);

		if (n_given < n_came)
			surplus_put(&lane->surplus, from + n_given, n_came - n_given);
		else if (lane->wedge.is_held || (!is_surplus && n_came < share))
			return false;
	}
	return true;
}

/* A fetcher that found its queue full sleeps for a second and does not notice that the queue was emptied (before
 * librdkafka 2.2). To be full the queue held its whole limit, so each half of the limit that was taken is a moment to
 * wake it. */
static void wake_count(struct batch *batch, struct lane *lane)
{
	if (!batch->wake_bytes || (lane->taken_bytes < batch->wake_bytes && lane->taken_messages < batch->wake_messages))
		return;
	lane->taken_bytes = 0;
	lane->taken_messages = 0;
	batch->wants_wake = true;
}

void batch_gather(
	struct batch *batch, struct lanes *lanes, const struct qb_budget *budget, batch_error *error, void *ctx)
{
	struct gathering gathering = {.batch = batch, .error = error, .ctx = ctx};
	struct lane *lane;

	gathering.max_messages = budget->messages < BATCH_MESSAGES ? budget->messages : BATCH_MESSAGES;
	gathering.max_bytes = budget->bytes < BATCH_BYTES ? budget->bytes : BATCH_BYTES;
	while (batch->n < gathering.max_messages && gathering.bytes < gathering.max_bytes &&
		   (lane = TAILQ_FIRST(&lanes->ready))) {
		if (lane_take(&gathering, lane))
			lanes_rotate(lanes, lane);
		else
			lanes_rest(lanes, lane);
		wake_count(batch, lane);
	}
	for (size_t i = 0; i < batch->n; i++)
		if (batch->messages[i].n_headers)
			batch->messages[i].headers = &batch->headers[batch->first_header[i]];
}

void batch_release(struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++)
		rd_kafka_message_destroy(batch->taken[i]);
	batch->n = 0;
	batch->n_headers = 0;
}

void batch_done(struct batch *batch)
{
	batch_release(batch);
	free(batch->headers);
}
