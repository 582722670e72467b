/* SPDX-License-Identifier: MIT */
/* Publications are numbered by the broker from 1 on each channel, so the open ones are an array indexed by number. */
#include "publisher.h"

#include "clock.h"
#include "headers.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_US 1000000

struct publication {
	uint64_t token;
	int64_t since_us;
	size_t len;     /* of the body */
	char *exchange; /* the routing key follows its NUL */
	const char *routing_key;
	bool is_open;
	bool is_returned;
};

void publisher_init(struct publisher *publisher, const struct qb_host *host, const struct options *options)
{
	*publisher = (struct publisher){.host = host, .options = options, .connection = {.fd = -1}};
}

/* ---- the open ones ---- */

static uint64_t first_number(const struct publisher *publisher)
{
	return publisher->last + 1 - (publisher->end - publisher->begin);
}

static void publication_add(
	struct publisher *publisher, const struct qb_outgoing *outgoing, uint64_t token, int64_t now_us)
{
	const char *exchange = outgoing->target ? outgoing->target : "";
	const char *routing_key = outgoing->routing_key ? outgoing->routing_key : "";
	size_t exchange_size = strlen(exchange) + 1, key_size = strlen(routing_key) + 1;

	if (publisher->end == publisher->capacity && publisher->begin > publisher->capacity / 2) {
		publisher->end -= publisher->begin;
		memmove(publisher->publications, publisher->publications + publisher->begin,
			publisher->end * sizeof(*publisher->publications));
		publisher->begin = 0;
	} else if (publisher->end == publisher->capacity) {
		publisher->capacity = publisher->capacity ? publisher->capacity * 2 : 64;
		publisher->publications =
			realloc(publisher->publications, publisher->capacity * sizeof(*publisher->publications));
	}

	char *route = malloc(exchange_size + key_size);

	if (!publisher->publications || !route)
		abort();
	memcpy(route, exchange, exchange_size);
	memcpy(route + exchange_size, routing_key, key_size);
	publisher->publications[publisher->end++] = (struct publication){
		.token = token,
		.since_us = now_us,
		.len = outgoing->body.len,
		.exchange = route,
		.routing_key = route + exchange_size,
		.is_open = true,
	};
	publisher->n_open++;
	publisher->last++;
}

static void publication_finish(
	struct publisher *publisher, struct publication *publication, int status, const char *reason)
{
	if (!publication->is_open)
		return;
	publication->is_open = false;
	publisher->n_open--;
	free(publication->exchange);
	publisher->host->published(publisher->host->self, publication->token, status, reason);
}

static void confirmed(struct publisher *publisher, uint64_t number, bool multiple, bool is_ack)
{
	uint64_t first = first_number(publisher);
	size_t from = publisher->begin, to;

	if (number < first || number > publisher->last)
		return;
	to = publisher->begin + (size_t)(number - first) + 1;
	if (!multiple)
		from = to - 1;
	for (size_t i = from; i < to; i++) {
		struct publication *publication = &publisher->publications[i];

		if (!is_ack)
			publication_finish(publisher, publication, -EIO, "the broker did not take the message");
		else if (publication->is_returned)
			publication_finish(publisher, publication, -ENOENT, "no queue is bound to that exchange and routing key");
		else
			publication_finish(publisher, publication, 0, NULL);
	}
	while (publisher->begin < publisher->end && !publisher->publications[publisher->begin].is_open)
		publisher->begin++;
}

static bool bytes_are(amqp_bytes_t bytes, const char *text)
{
	return strlen(text) == bytes.len && (!bytes.len || !memcmp(bytes.bytes, text, bytes.len));
}

static void returned(struct publisher *publisher, const amqp_basic_return_t *notice)
{
	for (size_t i = publisher->begin; i < publisher->end; i++) {
		struct publication *publication = &publisher->publications[i];

		if (publication->is_open && bytes_are(notice->exchange, publication->exchange) &&
			bytes_are(notice->routing_key, publication->routing_key))
			publication->is_returned = true;
	}
}

static void finish_all(struct publisher *publisher, int status, const char *reason)
{
	for (size_t i = publisher->begin; i < publisher->end; i++)
		publication_finish(publisher, &publisher->publications[i], status, reason);
	publisher->begin = publisher->end = 0;
	publisher->last = 0;
}

/* ---- the connection ---- */

static void blocked(struct publisher *publisher, bool on, const char *reason)
{
	if (publisher->is_blocked == on)
		return;
	publisher->is_blocked = on;
	publisher->host->condition(publisher->host->self, QB_BLOCKED, 0, on, reason);
}

/* What had no outcome may have been stored or not; it counts as failed, so it is published again. */
static void connection_lost(struct publisher *publisher, int status, int64_t now_us)
{
	char reason[REASON_MAX];

	memcpy(reason, publisher->connection.reason, sizeof(reason));
	connection_close(&publisher->connection, 0);
	publisher->retry_at_us = now_us + RETRY_US;
	blocked(publisher, false, NULL);
	publisher->host->log(publisher->host->self, QB_WARN, "publishing connection is lost open=%zu reason=\"%s\"",
		publisher->n_open, reason);
	finish_all(publisher, status, reason);
}

/* The broker numbers anew on each channel. */
static enum qb_result channel_begin(struct publisher *publisher)
{
	publisher->last = 0;
	amqp_confirm_select(publisher->connection.state, CONNECTION_CHANNEL);
	return connection_judge(&publisher->connection, "publishing to", NULL);
}

/* Half the heartbeat: a send that blocks is noticed before the consuming connection, which waits meanwhile, is late. */
static bool publisher_connect(struct publisher *publisher, int64_t now_us)
{
	const struct options *options = publisher->options;
	struct connection *connection = &publisher->connection;
	int heartbeat_s = options->heartbeat_s / 2 > 1 ? options->heartbeat_s / 2 : 1;

	if (connection->state)
		return true;
	if (now_us < publisher->retry_at_us)
		return false;
	if (connection_open(connection, options, "publisher", heartbeat_s) == QB_OK) {
		if (channel_begin(publisher) == QB_OK)
			return true;
		connection_close(connection, 0);
	}
	publisher->retry_at_us = now_us + RETRY_US;
	return false;
}

/* "message size N is larger than configured max size M": the broker closes the channel and names no publication, but
 * what is larger than M cannot have been taken. */
static void oversize_finish(struct publisher *publisher, uint16_t code)
{
	const char *reason = publisher->connection.reason, *at = strstr(reason, "max size ");
	unsigned long long limit = at ? strtoull(at + strlen("max size "), NULL, 10) : 0;

	if (code != AMQP_PRECONDITION_FAILED || !limit)
		return;
	for (size_t i = publisher->begin; i < publisher->end; i++)
		if (publisher->publications[i].len > limit)
			publication_finish(publisher, &publisher->publications[i], -EMSGSIZE, reason);
}

static void method_take(struct publisher *publisher, const amqp_method_t *method, int64_t now_us)
{
	union {
		const void *decoded;
		const amqp_basic_ack_t *ack;
		const amqp_basic_nack_t *nack;
		const amqp_basic_return_t *returned;
		const amqp_connection_blocked_t *blocked;
	} word = {.decoded = method->decoded};
	char reason[REASON_MAX];
	uint16_t code;

	switch (method->id) {
	case AMQP_BASIC_ACK_METHOD:
		confirmed(publisher, word.ack->delivery_tag, word.ack->multiple, true);
		break;
	case AMQP_BASIC_NACK_METHOD:
		confirmed(publisher, word.nack->delivery_tag, word.nack->multiple, false);
		break;
	case AMQP_BASIC_RETURN_METHOD:
		returned(publisher, word.returned);
		break;
	case AMQP_CONNECTION_BLOCKED_METHOD:
		snprintf(reason, sizeof(reason), "the broker takes no publications: %.*s", (int)word.blocked->reason.len,
			word.blocked->reason.len ? (const char *)word.blocked->reason.bytes : "");
		blocked(publisher, true, reason);
		break;
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
		blocked(publisher, false, NULL);
		break;
	case AMQP_CHANNEL_CLOSE_METHOD:
	case AMQP_CONNECTION_CLOSE_METHOD:
		connection_take_close(&publisher->connection, method, &code);
		oversize_finish(publisher, code);
		connection_lost(publisher, -EIO, now_us);
		break;
	default:
		break;
	}
}

/* The content of a returned message is passed over: the runtime has it still. */
static void frames_read(struct publisher *publisher, int64_t now_us)
{
	amqp_frame_t frame;
	int status;

	while (publisher->connection.state && (status = connection_read(&publisher->connection, &frame))) {
		if (status < 0) {
			connection_lost(publisher, -EIO, now_us);
			return;
		}
		if (frame.frame_type == AMQP_FRAME_METHOD)
			method_take(publisher, &frame.payload.method, now_us);
		if (publisher->connection.state)
			amqp_maybe_release_buffers_on_channel(publisher->connection.state, CONNECTION_CHANNEL);
	}
}

/* ---- the doors ---- */

static void send(struct publisher *publisher, const struct qb_outgoing *outgoing,
	const amqp_basic_properties_t *properties, int64_t now_us)
{
	struct connection *connection = &publisher->connection;
	const struct publication *publication = &publisher->publications[publisher->end - 1];
	const amqp_bytes_t body = {.len = outgoing->body.len, .bytes = (void *)(uintptr_t)outgoing->body.data};

	if (!connection_sent(connection, "publishing to",
			amqp_basic_publish(connection->state, CONNECTION_CHANNEL, amqp_cstring_bytes(publication->exchange),
				amqp_cstring_bytes(publication->routing_key), 1, 0, properties, body)))
		connection_lost(publisher, -EIO, now_us);
}

void publisher_publish(struct publisher *publisher, const struct qb_outgoing *outgoing, uint64_t token, int64_t now_us)
{
	const struct qb_host *host = publisher->host;
	amqp_basic_properties_t properties;

	if (publisher->is_blocked) {
		host->published(host->self, token, -EAGAIN, "the broker takes no publications now");
		return;
	}
	if (!publisher_connect(publisher, now_us)) {
		host->published(host->self, token, -ENOTCONN, publisher->connection.reason);
		return;
	}

	amqp_table_entry_t *entries = calloc(outgoing->n_headers + 1, sizeof(*entries));

	if (!entries)
		abort();
	if (headers_write(outgoing->headers, outgoing->n_headers, entries, &properties) < 0) {
		host->published(host->self, token, -EMSGSIZE, "the headers do not fit one frame");
	} else {
		publication_add(publisher, outgoing, token, now_us);
		send(publisher, outgoing, &properties, now_us);
	}
	free(entries);
}

/* The broker closes the channel over an exchange that is missing, so nothing may be open on it. Whoever may not ask has
 * not heard that it is missing. */
int publisher_ask(struct publisher *publisher, const char *exchange, int64_t now_us)
{
	struct connection *connection = &publisher->connection;
	uint16_t code;

	if (publisher->is_blocked || publisher->n_open || (!connection->state && now_us < publisher->retry_at_us))
		return -EBUSY;
	if (!publisher_connect(publisher, now_us)) {
		publisher->host->log(publisher->host->self, QB_WARN,
			"exchange is not asked for, no second connection can be opened exchange=%s reason=\"%s\"", exchange,
			connection->reason);
		return -ENOTCONN;
	}
	amqp_exchange_declare(connection->state, CONNECTION_CHANNEL, amqp_cstring_bytes(exchange),
		amqp_cstring_bytes("direct"), 1, 0, 0, 0, amqp_empty_table);
	if (connection_judge(connection, "asking for the exchange at", &code) == QB_OK) {
		amqp_maybe_release_buffers_on_channel(connection->state, CONNECTION_CHANNEL);
		return 0;
	}
	publisher->host->log(publisher->host->self, QB_DEBUG, "exchange is asked for exchange=%s code=%u", exchange, code);
	if (!code || connection->is_lost || connection_open_channel(connection) != QB_OK ||
		channel_begin(publisher) != QB_OK)
		connection_lost(publisher, -EIO, now_us);
	else
		amqp_maybe_release_buffers_on_channel(connection->state, CONNECTION_CHANNEL);
	return code == AMQP_NOT_FOUND ? -ENOENT : -EAGAIN;
}

int64_t publisher_due_us(const struct publisher *publisher)
{
	/* A broker that blocks keeps confirmations back; that is known and shown, and no reason to publish twice. */
	if (publisher->begin == publisher->end || publisher->is_blocked)
		return INT64_MAX;
	return publisher->publications[publisher->begin].since_us + publisher->options->confirm_timeout_us;
}

void publisher_turn(struct publisher *publisher, int64_t now_us)
{
	frames_read(publisher, now_us);
	if (now_us >= publisher_due_us(publisher)) {
		snprintf(publisher->connection.reason, REASON_MAX, "%s confirms nothing", publisher->connection.peer);
		connection_lost(publisher, -ETIMEDOUT, now_us);
	}
}

void publisher_close(struct publisher *publisher, int64_t timeout_us, int64_t now_us)
{
	int64_t end_us = now_us + timeout_us;

	while (publisher->n_open && publisher->connection.state && now_us < end_us) {
		struct pollfd fd = {.fd = publisher->connection.fd, .events = POLLIN};

		publisher_turn(publisher, now_us);
		if (publisher->n_open)
			poll(&fd, 1, (int)((end_us - now_us) / 1000) + 1);
		now_us = clock_now_us();
	}
	finish_all(publisher, -ECANCELED, "the source closes");
	connection_close(&publisher->connection, publisher->is_blocked || end_us < now_us ? 0 : end_us - now_us);
	free(publisher->publications);
	publisher->publications = NULL;
}
