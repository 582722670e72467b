/* SPDX-License-Identifier: MIT */
/* The state is what the next frame must be; one small function a kind of frame. */
#include "assemble.h"

void assemble_init(struct assemble *assemble, struct inbox *inbox, int64_t max_body)
{
	*assemble = (struct assemble){.inbox = inbox, .max_body = max_body};
}

void assemble_clear(struct assemble *assemble)
{
	inbox_drop(assemble->inbox, assemble->message);
	assemble->message = NULL;
	assemble->state = ASSEMBLE_IDLE;
	assemble->last_tag = 0;
}

uint64_t assemble_tag(const struct assemble *assemble)
{
	return assemble->message ? assemble->message->tag : 0;
}

static enum assemble_result assemble_finish(struct assemble *assemble, struct message **ret_message)
{
	enum assemble_result result = assemble->state == ASSEMBLE_SKIP ? ASSEMBLE_OVERSIZE : ASSEMBLE_READY;

	*ret_message = assemble->message;
	assemble->message = NULL;
	assemble->state = ASSEMBLE_IDLE;
	return result;
}

static enum assemble_result assemble_deliver(struct assemble *assemble, const amqp_basic_deliver_t *deliver)
{
	if (assemble->state != ASSEMBLE_IDLE || deliver->delivery_tag <= assemble->last_tag)
		return ASSEMBLE_PROTOCOL;
	assemble->last_tag = deliver->delivery_tag;

	struct message *message = inbox_blank_take(assemble->inbox);

	message->tag = deliver->delivery_tag;
	message->exchange = text_add(&message->text, deliver->exchange.bytes, deliver->exchange.len);
	message->routing_key = text_add(&message->text, deliver->routing_key.bytes, deliver->routing_key.len);
	assemble->is_redelivered = deliver->redelivered;
	assemble->message = message;
	assemble->state = ASSEMBLE_HEADER;
	return ASSEMBLE_MORE;
}

/* The count is believed only of a redelivered message: a publisher can set the header. */
static uint32_t assemble_deliveries(const struct assemble *assemble, const amqp_basic_properties_t *properties)
{
	if (!assemble->is_redelivered)
		return 0;

	uint32_t count = headers_delivery_count(properties);

	return count ? count : 1;
}

/* Streams redeliver nothing. A copy of a stream's message in another queue bears the header too: taken for a stream's,
 * it comes again, and is marked then. */
static bool assemble_is_stream(struct assemble *assemble, const amqp_basic_properties_t *properties)
{
	bool is_wary = assemble->is_wary;

	assemble->is_wary = false;
	return is_wary && !assemble->is_redelivered && headers_has_offset(properties);
}

static enum assemble_result assemble_header(
	struct assemble *assemble, const amqp_frame_t *frame, struct message **ret_message)
{
	const amqp_basic_properties_t *properties = frame->payload.properties.decoded;
	struct message *message = assemble->message;

	if (assemble->state != ASSEMBLE_HEADER || frame->payload.properties.class_id != AMQP_BASIC_CLASS)
		return ASSEMBLE_PROTOCOL;
	if (assemble_is_stream(assemble, properties))
		return ASSEMBLE_STREAM;

	bool has_time = properties->_flags & AMQP_BASIC_TIMESTAMP_FLAG && properties->timestamp < INT64_MAX / 1000;

	message->timestamp_ms = has_time ? (int64_t)properties->timestamp * 1000 : -1;
	message->deliveries = assemble_deliveries(assemble, properties);
	assemble->n_wanted = assemble->size = frame->payload.properties.body_size;
	if (assemble->size > (uint64_t)assemble->max_body) {
		assemble->state = ASSEMBLE_SKIP;
		return ASSEMBLE_MORE;
	}
	headers_read(&message->headers, &message->text, properties);
	if (text_reserve(&message->text, (size_t)assemble->size) < 0)
		return ASSEMBLE_MEMORY;
	message->body = (struct range){.at = message->text.len, .len = (size_t)assemble->size};
	assemble->state = ASSEMBLE_BODY;
	return assemble->n_wanted ? ASSEMBLE_MORE : assemble_finish(assemble, ret_message);
}

static enum assemble_result assemble_body(
	struct assemble *assemble, amqp_bytes_t fragment, struct message **ret_message)
{
	if ((assemble->state != ASSEMBLE_BODY && assemble->state != ASSEMBLE_SKIP) || fragment.len > assemble->n_wanted)
		return ASSEMBLE_PROTOCOL;
	if (assemble->state == ASSEMBLE_BODY)
		text_add(&assemble->message->text, fragment.bytes, fragment.len);
	assemble->n_wanted -= fragment.len;
	return assemble->n_wanted ? ASSEMBLE_MORE : assemble_finish(assemble, ret_message);
}

enum assemble_result assemble_frame(struct assemble *assemble, const amqp_frame_t *frame, struct message **ret_message)
{
	if (frame->frame_type == AMQP_FRAME_METHOD)
		return assemble_deliver(assemble, frame->payload.method.decoded);
	if (frame->frame_type == AMQP_FRAME_HEADER)
		return assemble_header(assemble, frame, ret_message);
	if (frame->frame_type == AMQP_FRAME_BODY)
		return assemble_body(assemble, frame->payload.body_fragment, ret_message);
	return ASSEMBLE_PROTOCOL;
}
