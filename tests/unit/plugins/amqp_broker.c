/* SPDX-License-Identifier: MIT */
/* Plain calls of the client library, each followed by a look at the answer. */
#include "amqp_broker.h"

#include <amqp_tcp_socket.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CHANNEL 1

static void must(struct broker *broker)
{
	amqp_rpc_reply_t reply = amqp_get_rpc_reply(broker->state);

	assert_int_equal(reply.reply_type, AMQP_RESPONSE_NORMAL);
}

const char *broker_url(void)
{
	return getenv("QBUS_TEST_AMQP_URL");
}

struct broker *broker_open(void)
{
	static unsigned n_opened;
	struct broker *broker = calloc(1, sizeof(*broker));
	struct amqp_connection_info info;
	char *url = strdup(broker_url());

	assert_non_null(broker);
	assert_int_equal(amqp_parse_url(url, &info), AMQP_STATUS_OK);
	broker->state = amqp_new_connection();

	amqp_socket_t *socket = amqp_tcp_socket_new(broker->state);

	assert_int_equal(amqp_socket_open(socket, info.host, info.port), AMQP_STATUS_OK);

	amqp_rpc_reply_t reply = amqp_login(
		broker->state, *info.vhost ? info.vhost : "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, info.user, info.password);

	assert_int_equal(reply.reply_type, AMQP_RESPONSE_NORMAL);
	free(url);
	amqp_channel_open(broker->state, CHANNEL);
	must(broker);
	amqp_confirm_select(broker->state, CHANNEL);
	must(broker);
	snprintf(broker->queue, sizeof(broker->queue), "qbus-test-%d-%u-%ld", (int)getpid(), ++n_opened, (long)time(NULL));
	return broker;
}

void broker_close(struct broker *broker)
{
	broker_delete(broker, broker->queue);
	amqp_connection_close(broker->state, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(broker->state);
	free(broker);
}

void broker_declare(struct broker *broker, const char *queue, const char *type, const char *dead_letters)
{
	amqp_table_entry_t entries[] = {
		{.key = amqp_cstring_bytes("x-queue-type"),
			.value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(type)}},
		{.key = amqp_cstring_bytes("x-dead-letter-exchange"),
			.value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("")}},
		{.key = amqp_cstring_bytes("x-dead-letter-routing-key"),
			.value = {.kind = AMQP_FIELD_KIND_UTF8,
				.value.bytes = amqp_cstring_bytes(dead_letters ? dead_letters : "")}},
	};
	amqp_table_t arguments = {.num_entries = dead_letters ? 3 : 1, .entries = entries};

	amqp_queue_declare(broker->state, CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0, arguments);
	must(broker);
}

void broker_declare_auto_delete(struct broker *broker, const char *queue)
{
	amqp_queue_declare(broker->state, CHANNEL, amqp_cstring_bytes(queue), 0, 0, 0, 1, amqp_empty_table);
	must(broker);
}

void broker_delete(struct broker *broker, const char *queue)
{
	amqp_queue_delete(broker->state, CHANNEL, amqp_cstring_bytes(queue), 0, 0);
	must(broker);
}

void broker_exchange(struct broker *broker, const char *exchange, bool is_there)
{
	if (is_there)
		amqp_exchange_declare(broker->state, CHANNEL, amqp_cstring_bytes(exchange), amqp_cstring_bytes("fanout"), 0, 0,
			0, 0, amqp_empty_table);
	else
		amqp_exchange_delete(broker->state, CHANNEL, amqp_cstring_bytes(exchange), 0);
	must(broker);
}

/* Waits until the newest n publications are confirmed. Confirmations come in any order, runs are named by their last.
 */
static void confirm_wait(struct broker *broker, size_t n)
{
	uint64_t first = broker->n_published - n + 1;
	char *done = calloc(n, 1);
	size_t n_open = n;
	amqp_frame_t frame;

	while (n_open) {
		assert_int_equal(amqp_simple_wait_frame(broker->state, &frame), AMQP_STATUS_OK);
		assert_int_equal(frame.frame_type, AMQP_FRAME_METHOD);
		assert_int_equal(frame.payload.method.id, AMQP_BASIC_ACK_METHOD);

		const amqp_basic_ack_t *ack = frame.payload.method.decoded;

		for (uint64_t tag = ack->multiple ? first : ack->delivery_tag; tag <= ack->delivery_tag; tag++) {
			n_open -= !done[tag - first];
			done[tag - first] = 1;
		}
		amqp_maybe_release_buffers(broker->state);
	}
	free(done);
}

static void send(
	struct broker *broker, const char *queue, const amqp_basic_properties_t *properties, const void *body, size_t len)
{
	amqp_bytes_t bytes = {.len = len, .bytes = (void *)(uintptr_t)body};

	assert_int_equal(amqp_basic_publish(
						 broker->state, CHANNEL, amqp_empty_bytes, amqp_cstring_bytes(queue), 0, 0, properties, bytes),
		AMQP_STATUS_OK);
	broker->n_published++;
}

void broker_publish(
	struct broker *broker, const char *queue, const amqp_basic_properties_t *properties, const void *body, size_t len)
{
	send(broker, queue, properties, body, len);
	confirm_wait(broker, 1);
}

void broker_fill(struct broker *broker, const char *queue, size_t n)
{
	char body[200];

	memset(body, '.', sizeof(body));
	for (size_t i = 0, sent = 0; i < n; i++) {
		memset(body, '.', 24);
		body[snprintf(body, 24, "%zu", i)] = '.';
		send(broker, queue, NULL, body, sizeof(body));
		if (++sent == 1000 || i + 1 == n) {
			confirm_wait(broker, sent);
			sent = 0;
		}
	}
}

static amqp_queue_declare_ok_t inspect(struct broker *broker, const char *queue)
{
	amqp_queue_declare_ok_t *ok =
		amqp_queue_declare(broker->state, CHANNEL, amqp_cstring_bytes(queue), 1, 0, 0, 0, amqp_empty_table);

	must(broker);
	return *ok;
}

size_t broker_count(struct broker *broker, const char *queue)
{
	return inspect(broker, queue).message_count;
}

size_t broker_consumers(struct broker *broker, const char *queue)
{
	return inspect(broker, queue).consumer_count;
}
