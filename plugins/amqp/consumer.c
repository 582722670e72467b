/* SPDX-License-Identifier: MIT */
/* The life of the channel, the way of frames into the inbox, and the way of acks back. */
#include "consumer.h"

#include "acks.h"
#include "clock.h"
#include "subscribe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_ACKS 4u /* acks before the prefetch may grow */
#define RESIZE_PAUSE_US 5000000
#define RETRY_FIRST_US 1000000
#define RETRY_MAX_US 30000000
#define FRAMES_A_TURN 4096
#define PART_US 1000000
#define PAUSE_MIN_US 20000
#define PAUSE_MAX_US 500000

/* ---- how many messages at a time ---- */

static int prefetch_wanted(const struct consumer *consumer)
{
	const struct options *options = consumer->options;
	int64_t wanted = options->prefetch;

	if (!consumer->is_resizable)
		return options->prefetch;
	if (consumer->n_acked < START_ACKS && options->start_prefetch < wanted)
		return options->start_prefetch;
	if (consumer->mean_bytes && options->max_outstanding_bytes / consumer->mean_bytes < wanted)
		wanted = options->max_outstanding_bytes / consumer->mean_bytes;
	return wanted < 1 ? 1 : (int)wanted;
}

/* Small changes are not worth a new consumer. */
static bool resize_is_due(const struct consumer *consumer, int wanted, int64_t now_us)
{
	bool grows =
		wanted >= 2 * consumer->prefetch || (wanted == consumer->options->prefetch && wanted > consumer->prefetch);

	return (grows || wanted * 2 <= consumer->prefetch) && now_us >= consumer->resize_at_us;
}

static void lane_begin(struct consumer *consumer)
{
	const char *queue = consumer->options->queue;
	const struct qb_lane_info info = {
		.source = {.data = queue, .len = strlen(queue)},
		.partition = -1,
		.next = 1,
		.memo = {.data = "", .len = 0},
	};

	consumer->lane = consumer->host->lane_open(consumer->host->self, &info);
}

static void retry_later(struct consumer *consumer, int64_t now_us)
{
	consumer->retry_at_us = now_us + consumer->retry_us;
	consumer->retry_us = consumer->retry_us * 2 < RETRY_MAX_US ? consumer->retry_us * 2 : RETRY_MAX_US;
}

/* The channel is closed and the broker has taken its messages back: every ack that was under way counts as unsent. */
static void channel_lost(struct consumer *consumer, int64_t now_us)
{
	const struct qb_host *host = consumer->host;

	/* What the library put by while it waited for an answer bears tags of this channel, the next one counts anew. */
	for (amqp_frame_t frame; amqp_frames_enqueued(consumer->connection.state);)
		if (connection_read(&consumer->connection, &frame) < 0)
			break;
	assemble_clear(&consumer->assemble);
	inbox_clear(&consumer->inbox);
	proof_end(consumer);
	tags_clear(&consumer->tags);
	consumer->tag[0] = '\0';
	consumer->quiet.is_on = false;
	retry_later(consumer, now_us);
	if (consumer->lane)
		host->lane_close(host->self, consumer->lane);
	consumer->lane = 0;
	host->condition(host->self, QB_CANCELLED, 0, true, consumer->connection.reason);
}

static enum qb_result consume_again(struct consumer *consumer, int64_t now_us)
{
	const struct qb_host *host = consumer->host;
	enum qb_result result;
	uint16_t code = 0;

	if (!consumer->lane && (result = connection_open_channel(&consumer->connection)) != QB_OK)
		return result;
	result = subscribe_begin(consumer, prefetch_wanted(consumer), &code);
	if (code) {
		channel_lost(consumer, now_us);
		return QB_OK;
	}
	if (result != QB_OK)
		return result;
	if (!consumer->lane)
		lane_begin(consumer);
	host->condition(host->self, QB_CANCELLED, 0, false, NULL);
	return QB_OK;
}

static enum qb_result resize(struct consumer *consumer, int prefetch, int64_t now_us)
{
	char old[sizeof(consumer->tag)];
	uint16_t code = 0;
	enum qb_result result;

	memcpy(old, consumer->tag, sizeof(old));
	consumer->resize_at_us = now_us + RESIZE_PAUSE_US;
	result = subscribe_begin(consumer, prefetch, &code);
	if (result == QB_OK)
		result = subscribe_end(consumer, old, &code);
	if (code) {
		channel_lost(consumer, now_us);
		return QB_OK;
	}
	consumer->host->log(consumer->host->self, QB_DEBUG, "prefetch changes queue=%s prefetch=%d mean_bytes=%" PRId64,
		consumer->options->queue, prefetch, consumer->mean_bytes);
	return result;
}

/* ---- acks ---- */

/* While draining no message waits for the room of an ack, so gaps are left to close. */
static void acks_send_due(struct consumer *consumer, int64_t now_us)
{
	if (consumer->quiet.is_on || !tags_is_due(&consumer->tags, (size_t)consumer->prefetch, now_us))
		return;
	if (consumer->is_draining)
		acks_send_run(&consumer->connection, &consumer->tags);
	else
		acks_send_all(&consumer->connection, &consumer->tags, 0, 0);
}

void consumer_settle(struct consumer *consumer, const struct qb_settlement *settlements, size_t n, int64_t now_us)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t tag = (uint64_t)settlements[i].receipt;

		if (!consumer->lane || settlements[i].lane != consumer->lane)
			continue;
		if (settlements[i].verdict == QB_ACK) {
			bool is_held = tags_settle(&consumer->tags, tag, now_us);

			consumer->n_acked += is_held;
			consumer->proof.n_answered += is_held;
			consumer->retry_us = RETRY_FIRST_US;
		} else if (tags_remove(&consumer->tags, tag)) {
			consumer->proof.n_answered++;
			acks_reject(&consumer->connection, tag);
		}
	}
	acks_send_due(consumer, now_us);
}

/* ---- frames ---- */

/* What is too large is given to the queue's dead-letter exchange, where it has one. */
static void oversize(struct consumer *consumer, struct message *message)
{
	const struct qb_host *host = consumer->host;

	host->log(host->self, QB_WARN,
		"message is rejected, its body is above what max_message_bytes and max_outstanding_bytes allow "
		"queue=%s tag=%" PRIu64 " bytes=%" PRIu64 " limit=%" PRId64,
		consumer->options->queue, message->tag, consumer->assemble.size, consumer->assemble.max_body);
	acks_reject(&consumer->connection, message->tag);
	host->measure(host->self, QB_OVERSIZE, consumer->lane, 1);
	inbox_drop(&consumer->inbox, message);
}

static void received(struct consumer *consumer, struct message *message)
{
	int64_t bytes = (int64_t)message->body.len + 1;

	consumer->mean_bytes = consumer->mean_bytes ? consumer->mean_bytes + (bytes - consumer->mean_bytes) / 8 : bytes;
	tags_add(&consumer->tags, message->tag);
	inbox_give(&consumer->inbox, message);
}

static enum qb_result content_take(struct consumer *consumer, const amqp_frame_t *frame)
{
	struct message *message = NULL;
	enum assemble_result result = assemble_frame(&consumer->assemble, frame, &message);

	/* Header and body are copied or skipped now; without this a large body is in memory twice. */
	if (frame->frame_type != AMQP_FRAME_METHOD)
		amqp_maybe_release_buffers_on_channel(consumer->connection.state, CONNECTION_CHANNEL);
	switch (result) {
	case ASSEMBLE_READY:
		received(consumer, message);
		return QB_OK;
	case ASSEMBLE_OVERSIZE:
		oversize(consumer, message);
		return QB_OK;
	case ASSEMBLE_MORE:
		return QB_OK;
	case ASSEMBLE_MEMORY:
		snprintf(consumer->connection.reason, REASON_MAX, "there is no memory for a body of %" PRIu64 " bytes",
			consumer->assemble.size);
		return QB_LOST;
	case ASSEMBLE_STREAM:
		return subscribe_refuse(consumer);
	case ASSEMBLE_PROTOCOL:
		break;
	}
	snprintf(
		consumer->connection.reason, REASON_MAX, "%s sends frames in an impossible order", consumer->connection.peer);
	return QB_LOST;
}

static void cancelled(struct consumer *consumer, const amqp_basic_cancel_t *notice, int64_t now_us)
{
	const struct qb_host *host = consumer->host;
	size_t len = strlen(consumer->tag);
	char reason[REASON_MAX];

	if (notice->consumer_tag.len != len || memcmp(notice->consumer_tag.bytes, consumer->tag, len))
		return;
	consumer->tag[0] = '\0';
	consumer->quiet.is_on = false;
	retry_later(consumer, now_us);
	snprintf(reason, sizeof(reason), "the broker ended the consumer of queue %s; the queue may be deleted",
		consumer->options->queue);
	host->condition(host->self, QB_CANCELLED, 0, true, reason);
}

static enum qb_result method_take(struct consumer *consumer, const amqp_method_t *method, int64_t now_us)
{
	uint16_t code;
	enum qb_result result;

	switch (method->id) {
	case AMQP_BASIC_CANCEL_METHOD:
		cancelled(consumer, method->decoded, now_us);
		return QB_OK;
	case AMQP_QUEUE_DECLARE_OK_METHOD:
		proof_answer(consumer, method->decoded);
		return QB_OK;
	case AMQP_CHANNEL_CLOSE_METHOD:
		connection_take_close(&consumer->connection, method, &code);
		consumer->host->log(consumer->host->self, QB_WARN, "broker closes the channel queue=%s code=%u",
			consumer->options->queue, code);
		channel_lost(consumer, now_us);
		return QB_OK;
	case AMQP_CONNECTION_CLOSE_METHOD:
		result = connection_take_close(&consumer->connection, method, &code);
		return result == QB_OK ? QB_LOST : result;
	default:
		return QB_OK; /* late answers, and words of a newer broker */
	}
}

static enum qb_result frame_take(struct consumer *consumer, const amqp_frame_t *frame, int64_t now_us)
{
	bool is_method = frame->frame_type == AMQP_FRAME_METHOD;

	if (is_method && frame->payload.method.id != AMQP_BASIC_DELIVER_METHOD)
		return method_take(consumer, &frame->payload.method, now_us);
	return content_take(consumer, frame);
}

/* What cannot be decoded would come again for ever, so it goes to the queue's dead-letter exchange, where it has one.
 * The library can read no more of this connection, so the others come again; what was acked is said before. */
static void unreadable(struct consumer *consumer, uint64_t tag)
{
	const struct qb_host *host = consumer->host;
	struct connection *connection = &consumer->connection;
	bool is_taken;

	acks_reject(connection, tag);
	acks_send_all(connection, &consumer->tags, 0, 0);
	is_taken = connection_part(connection, PART_US);
	if (is_taken)
		proof_all(consumer);
	host->log(host->self, QB_ERROR, "message is rejected, its header cannot be decoded%s queue=%s tag=%" PRIu64,
		is_taken ? "" : "; the broker has not shown that it has the reject", consumer->options->queue, tag);
	host->measure(host->self, QB_UNREADABLE, consumer->lane, 1);
}

static enum qb_result frames_read(struct consumer *consumer, int64_t now_us, bool *ret_more)
{
	amqp_frame_t frame;
	int status = 0;

	*ret_more = true;
	for (int i = 0; i < FRAMES_A_TURN; i++) {
		status = connection_read(&consumer->connection, &frame);
		if (status <= 0)
			break;

		enum qb_result result = frame_take(consumer, &frame, now_us);

		if (result != QB_OK)
			return result;
	}
	if (status > 0)
		return QB_OK;
	*ret_more = false;

	if (status == -EBADMSG && assemble_tag(&consumer->assemble))
		unreadable(consumer, assemble_tag(&consumer->assemble));
	return status < 0 ? QB_LOST : QB_OK;
}

/* ---- the doors ---- */

static enum qb_result queue_ask(struct consumer *consumer, int64_t now_us)
{
	uint16_t code;
	uint32_t n_ready;
	enum qb_result result = subscribe_count(consumer, &n_ready, &code);

	if (result == QB_OK)
		quiet_answer(&consumer->quiet, n_ready, now_us);
	if (!code)
		return result;
	channel_lost(consumer, now_us);
	return QB_OK;
}

static void consumer_end(struct consumer *consumer)
{
	int64_t begin_us = clock_now_us();

	if (!consumer->tag[0] || consumer->connection.is_lost)
		return;
	if (subscribe_end(consumer, consumer->tag, NULL) == QB_OK)
		proof_all(consumer);
	else
		consumer->connection.is_lost = true;
	consumer->tag[0] = '\0';
	consumer->barrier_us = clock_now_us() - begin_us;
}

/* Waits until the broker owes nothing, then cancels, with a successor or without. */
static enum qb_result quieten(struct consumer *consumer, int64_t now_us, bool *ret_more)
{
	size_t n_open = tags_count(&consumer->tags, consumer->before);

	if (quiet_is_over(&consumer->quiet, n_open, (size_t)consumer->prefetch, now_us)) {
		*ret_more = true; /* frames may have come with the answers */
		if (!consumer->is_draining)
			return resize(consumer, prefetch_wanted(consumer), now_us);
		consumer_end(consumer);
	} else if (quiet_wants_count(&consumer->quiet, now_us) && !consumer->proof.is_asked) {
		*ret_more = true;
		return queue_ask(consumer, now_us);
	}
	return QB_OK;
}

/* Keeps a consumer of the right prefetch at the broker. */
static enum qb_result tend(struct consumer *consumer, int64_t now_us, bool *ret_more)
{
	if (consumer->quiet.is_on)
		return quieten(consumer, now_us, ret_more);
	if (consumer->is_draining)
		return QB_OK;
	if (!consumer->tag[0])
		return now_us >= consumer->retry_at_us ? consume_again(consumer, now_us) : QB_OK;
	if (resize_is_due(consumer, prefetch_wanted(consumer), now_us)) {
		quiet_begin(&consumer->quiet, now_us);
		*ret_more = true;
	}
	return QB_OK;
}

enum qb_result consumer_turn(struct consumer *consumer, int64_t now_us, bool *ret_more)
{
	struct connection *connection = &consumer->connection;
	enum qb_result result = connection->is_lost ? QB_LOST : frames_read(consumer, now_us, ret_more);

	if (result == QB_OK && consumer->lane) {
		acks_send_due(consumer, now_us);
		proof_turn(consumer, now_us);
	}
	if (result == QB_OK && connection->is_lost)
		result = QB_LOST;
	if (result == QB_OK)
		result = tend(consumer, now_us, ret_more);
	connection->is_lost = result != QB_OK;
	return result;
}

size_t consumer_deliver(struct consumer *consumer, const struct qb_budget *budget)
{
	const struct qb_host *host = consumer->host;
	size_t n = inbox_deliver(&consumer->inbox, host, consumer->lane, consumer->options->queue, budget);

	if (consumer->told_bytes != (int64_t)consumer->inbox.n_bytes) {
		consumer->told_bytes = (int64_t)consumer->inbox.n_bytes;
		host->measure(host->self, QB_QUEUE_BYTES, 0, consumer->told_bytes);
	}
	return n;
}

int64_t consumer_due_us(const struct consumer *consumer)
{
	int64_t due_us = tags_due_us(&consumer->tags);

	if (consumer->quiet.is_on)
		return quiet_due_us(&consumer->quiet, !consumer->proof.is_asked);
	if (consumer->is_draining)
		return INT64_MAX;
	if (!consumer->tag[0] && consumer->retry_at_us < due_us)
		due_us = consumer->retry_at_us;
	return due_us;
}

void consumer_drain(struct consumer *consumer, int64_t now_us)
{
	consumer->is_draining = true;
	if (consumer->tag[0])
		quiet_begin(&consumer->quiet, now_us);
}

/* The answer to the cancel came behind the last delivery, so who has read all since then has them all. */
void consumer_rest(struct consumer *consumer)
{
	const struct qb_host *host = consumer->host;

	if (!consumer->is_draining || consumer->is_drained || consumer->tag[0] || consumer->inbox.n)
		return;
	consumer->is_drained = true;
	if (QB_HAS(host, drained))
		host->drained(host->self);
}

enum qb_result consumer_open(
	struct consumer *consumer, const struct qb_host *host, const struct options *options, int64_t now_us)
{
	enum qb_result result;

	*consumer = (struct consumer){.host = host, .options = options, .retry_us = RETRY_FIRST_US};
	consumer->is_resizable = !options_find(options->declare_arguments, "x-single-active-consumer");
	inbox_init(&consumer->inbox);
	assemble_init(&consumer->assemble, &consumer->inbox, options->max_message_bytes);
	tags_init(&consumer->tags);
	result = connection_open(&consumer->connection, options, "consumer", options->heartbeat_s);
	if (result == QB_OK && options->has_declare)
		result = subscribe_declare(consumer);
	if (result == QB_OK)
		result = subscribe_begin(consumer, prefetch_wanted(consumer), NULL);
	if (result != QB_OK) {
		consumer_close(consumer, 0);
		return result;
	}
	consumer->resize_at_us = now_us;
	lane_begin(consumer);
	return QB_OK;
}

/* The last acks. With a consumer the cancel is the barrier: a quorum queue answers it after what was sent before.
 * Without one there is no such word; twice the time that the cancel took must do. */
static void farewell(struct consumer *consumer, int64_t timeout_us)
{
	int64_t pause_us = consumer->barrier_us * 2;

	pause_us = pause_us < PAUSE_MIN_US ? PAUSE_MIN_US : pause_us < PAUSE_MAX_US ? pause_us : PAUSE_MAX_US;
	acks_send_all(&consumer->connection, &consumer->tags, consumer->tag[0] ? 0 : pause_us, clock_now_us() + timeout_us);
	connection_limit(&consumer->connection, timeout_us);
	consumer_end(consumer);
}

void consumer_close(struct consumer *consumer, int64_t timeout_us)
{
	struct connection *connection = &consumer->connection;

	if (timeout_us > 0 && !connection->is_lost && connection_is_writable(connection))
		farewell(consumer, timeout_us / 2);
	if (connection_close(connection, timeout_us / 2))
		proof_all(consumer);
	proof_end(consumer);
	assemble_clear(&consumer->assemble);
	inbox_done(&consumer->inbox);
	tags_done(&consumer->tags);
}
