/* SPDX-License-Identifier: MIT */
/* Dead letters in a queue: each is fetched with basic.get and stays unacked. What is not acked goes back when the
 * connection closes, marked as redelivered: in a classic queue to its place; a quorum queue keeps no order among what
 * comes back, and counts it as delivered. */
#include "graveyard.h"

#include "clock.h"
#include "connection.h"
#include "headers.h"
#include "publisher.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 100
#define FAREWELL_US 3000000

struct yard {
	struct options options;
	struct connection connection;
	struct qb_host host; /* for the publisher */
	struct publisher publisher;
	char *queue;
	uint32_t n_left; /* of what was there at the beginning */
	int64_t n_shown;
	uint64_t tag; /* of the letter shown last; 0: none */
	bool has_acked;
	struct headers headers;
	struct text text;
	struct qb_header *rows;
	amqp_message_t message;
	bool has_message;
	bool is_published; /* the outcome is there */
	int status;
	char *error; /* of the call under way */
};

static int fail(char ret_error[QB_GRAVE_ERROR], const char *sentence)
{
	snprintf(ret_error, QB_GRAVE_ERROR, "%.500s", sentence);
	return -EIO;
}

/* ---- the host that the publisher talks to ---- */

static void yard_published(void *self, uint64_t token, int status, const char *reason)
{
	struct yard *yard = self;

	(void)token;
	yard->is_published = true;
	yard->status = status;
	if (status < 0)
		fail(yard->error, reason ? reason : strerror(-status));
}

static void yard_condition(void *self, enum qb_condition what, uint64_t lane, bool on, const char *reason)
{
	(void)self, (void)what, (void)lane, (void)on, (void)reason; /* the outcome of the publication tells it */
}

static void yard_log(void *self, enum qb_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void yard_log(void *self, enum qb_level level, const char *format, ...)
{
	(void)self, (void)level, (void)format;
}

/* ---- open and close ---- */

static void letter_drop(struct yard *yard)
{
	if (yard->has_message)
		amqp_destroy_message(&yard->message);
	yard->has_message = false;
	yard->text.len = 0;
	free(yard->rows);
	yard->rows = NULL;
	if (yard->connection.state)
		amqp_maybe_release_buffers_on_channel(yard->connection.state, CONNECTION_CHANNEL);
}

static void yard_free(struct yard *yard)
{
	letter_drop(yard);
	publisher_close(&yard->publisher, FAREWELL_US, clock_now_us());
	connection_close(&yard->connection, FAREWELL_US);
	headers_done(&yard->headers);
	text_done(&yard->text);
	options_done(&yard->options);
	free(yard->queue);
	free(yard);
}

/* How many letters there are: a letter that is published again may come back, and is not shown twice. A stream says
 * that it has none, but refuses to be asked for one. */
static int letters_count(struct yard *yard, char ret_error[QB_GRAVE_ERROR])
{
	const amqp_queue_declare_ok_t *ok = amqp_queue_declare(
		yard->connection.state, CONNECTION_CHANNEL, amqp_cstring_bytes(yard->queue), 1, 0, 0, 0, amqp_empty_table);

	if (connection_judge(&yard->connection, "looking for the queue at", NULL) != QB_OK || !ok)
		return fail(ret_error, yard->connection.reason);
	yard->n_left = ok->message_count ? ok->message_count : 1;
	return 0;
}

int graveyard_open(const struct qb_grave_conf *conf, void **ret_yard, char ret_error[QB_GRAVE_ERROR])
{
	struct yard *yard = calloc(1, sizeof(*yard));
	int status;

	if (!yard)
		abort();
	yard->connection.fd = -1;
	if (!conf->queue) {
		free(yard);
		return fail(ret_error, "an exchange cannot be looked into: say with --queue which queue has its dead letters");
	}
	if (options_init(&yard->options, conf->source) < 0) {
		free(yard);
		return fail(ret_error, "the url is none");
	}
	yard->queue = strdup(conf->queue);
	if (!yard->queue)
		abort();
	yard->host = (struct qb_host){.size = sizeof(yard->host),
		.self = yard,
		.published = yard_published,
		.condition = yard_condition,
		.log = yard_log};
	publisher_init(&yard->publisher, &yard->host, &yard->options);
	status = connection_open(&yard->connection, &yard->options, "dead letters", 0) == QB_OK
	             ? letters_count(yard, ret_error)
	             : fail(ret_error, yard->connection.reason);
	if (status < 0)
		yard_free(yard);
	else
		*ret_yard = yard;
	return status;
}

/* Acks of a quorum queue take effect some time after they were sent, and a close overtakes them. A get is served in
 * its turn; what it brings goes back. */
int graveyard_close(void *self, char ret_error[QB_GRAVE_ERROR])
{
	struct yard *yard = self;
	int status = 0;

	if (yard->has_acked) {
		amqp_basic_get(yard->connection.state, CONNECTION_CHANNEL, amqp_cstring_bytes(yard->queue), 0);
		if (connection_judge(&yard->connection, "removing at", NULL) != QB_OK)
			status = fail(ret_error, yard->connection.reason);
	}
	yard_free(yard);
	return status;
}

/* ---- letters ---- */

static struct qb_bytes bytes_of(amqp_bytes_t bytes)
{
	return (struct qb_bytes){bytes.bytes ? bytes.bytes : "", bytes.len};
}

static int letter_read(struct yard *yard, const amqp_basic_get_ok_t *ok, struct qb_message *ret_letter)
{
	const amqp_basic_properties_t *properties = &yard->message.properties;
	bool has_time = properties->_flags & AMQP_BASIC_TIMESTAMP_FLAG;

	headers_read(&yard->headers, &yard->text, properties);
	yard->rows = calloc(yard->headers.n + 1, sizeof(*yard->rows));
	if (!yard->rows)
		abort();
	headers_lend(&yard->headers, &yard->text, yard->rows);
	*ret_letter = (struct qb_message){
		.receipt = yard->n_shown,
		.timestamp_ms = has_time ? (int64_t)properties->timestamp * 1000 : -1,
		.partition = -1,
		.deliveries = headers_delivery_count(properties),
		.source = {yard->queue, strlen(yard->queue)},
		.exchange = bytes_of(ok->exchange),
		.routing_key = bytes_of(ok->routing_key),
		.body = bytes_of(yard->message.body),
		.headers = yard->rows,
		.n_headers = yard->headers.n,
	};
	if (ok->redelivered && !ret_letter->deliveries)
		ret_letter->deliveries = 1;
	return 1;
}

int graveyard_next(void *self, struct qb_message *ret_letter, char ret_error[QB_GRAVE_ERROR])
{
	struct yard *yard = self;
	struct connection *connection = &yard->connection;

	letter_drop(yard);
	if (!yard->n_left)
		return 0;
	yard->n_left--;

	amqp_rpc_reply_t reply = amqp_basic_get(connection->state, CONNECTION_CHANNEL, amqp_cstring_bytes(yard->queue), 0);

	if (connection_judge(connection, "reading from", NULL) != QB_OK)
		return fail(ret_error, connection->reason);
	if (reply.reply.id != AMQP_BASIC_GET_OK_METHOD)
		return 0;

	const amqp_basic_get_ok_t *ok = reply.reply.decoded;

	yard->tag = ok->delivery_tag;
	yard->n_shown++;
	reply = amqp_read_message(connection->state, CONNECTION_CHANNEL, &yard->message, 0);
	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		return fail(ret_error, "the connection was lost within a message");
	yard->has_message = true;
	return letter_read(yard, ok, ret_letter);
}

/* Without an origin of ours the broker has moved it there itself: it goes to the pipeline's own queue. */
int graveyard_again(void *self, const struct qb_outgoing *copy, const char *origin, char ret_error[QB_GRAVE_ERROR])
{
	struct yard *yard = self;
	const char *slash = origin ? strchr(origin, '/') : NULL;
	struct qb_outgoing outgoing = *copy;
	char exchange[256] = "";

	if (slash && (size_t)(slash - origin) >= sizeof(exchange))
		return fail(ret_error, "x-qbus-origin names no exchange");
	if (slash)
		snprintf(exchange, sizeof(exchange), "%.*s", (int)(slash - origin), origin);
	outgoing.target = exchange;
	outgoing.routing_key = slash ? slash + 1 : yard->options.queue;
	yard->is_published = false;
	yard->error = ret_error;
	publisher_publish(&yard->publisher, &outgoing, 1, clock_now_us());
	while (!yard->is_published) {
		struct pollfd fd = {.fd = yard->publisher.connection.fd, .events = POLLIN};

		poll(&fd, 1, WAIT_MS);
		publisher_turn(&yard->publisher, clock_now_us());
	}
	return yard->status;
}

int graveyard_remove(void *self, char ret_error[QB_GRAVE_ERROR])
{
	struct yard *yard = self;
	int status = amqp_basic_ack(yard->connection.state, CONNECTION_CHANNEL, yard->tag, 0);

	if (!connection_sent(&yard->connection, "removing at", status))
		return fail(ret_error, yard->connection.reason);
	yard->has_acked = true;
	return 0;
}
