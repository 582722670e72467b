/* SPDX-License-Identifier: MIT */
/* Sends the orders to a queue through the default exchange: persistent, mandatory, confirmed. */
#include "order.h"
#include "produce.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNEL = 1, WINDOW = 4096 };

/* Publications are numbered from 1 on the channel; the broker confirms them in any order. The window bounds how many
 * are open, so the states fit a ring. */
struct confirms {
	bool is_known[WINDOW]; /* of number n: at n % WINDOW */
	uint64_t lowest;       /* lowest number that is still open */
	uint64_t next;         /* number of the next publication */
};

struct link {
	amqp_connection_state_t conn;
	struct confirms confirms;
	struct produce_result *result;
};

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "qbus-bench: %s: %s\n", what, why);
	return -1;
}

static int check_reply(const char *what, amqp_rpc_reply_t reply)
{
	const amqp_connection_close_t *closed = reply.reply.decoded;

	if (reply.reply_type == AMQP_RESPONSE_NORMAL)
		return 0;
	if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
		return fail(what, amqp_error_string2(reply.library_error));
	/* connection.close and channel.close begin with the same two fields */
	fprintf(
		stderr, "qbus-bench: %s: %.*s\n", what, (int)closed->reply_text.len, (const char *)closed->reply_text.bytes);
	return -1;
}

static int link_open(struct link *link, const char *url)
{
	char *copy = strdup(url);
	struct amqp_connection_info info;
	int err = copy && amqp_parse_url(copy, &info) == AMQP_STATUS_OK && !info.ssl ? 0 : -1;

	if (err)
		fail(url, "not an address of the form amqp://USER:PASSWORD@HOST:PORT/VHOST");
	amqp_socket_t *socket = err ? NULL : amqp_tcp_socket_new(link->conn);

	if (!err && (!socket || amqp_socket_open(socket, info.host, info.port) != AMQP_STATUS_OK))
		err = fail(info.host, "cannot connect");
	if (!err)
		err = check_reply("login", amqp_login(link->conn, info.vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 0,
									   AMQP_SASL_METHOD_PLAIN, info.user, info.password));
	free(copy);
	if (err)
		return err;
	amqp_channel_open(link->conn, CHANNEL);
	if (check_reply("open a channel", amqp_get_rpc_reply(link->conn)) < 0)
		return -1;
	amqp_confirm_select(link->conn, CHANNEL);
	return check_reply("ask for confirms", amqp_get_rpc_reply(link->conn));
}

static void confirms_take(struct link *link, uint64_t tag, bool multiple, uint64_t *n_outcome)
{
	struct confirms *confirms = &link->confirms;

	for (uint64_t n = multiple ? confirms->lowest : tag; n <= tag && n < confirms->next; n++) {
		if (n >= confirms->lowest && !confirms->is_known[n % WINDOW]) {
			confirms->is_known[n % WINDOW] = true;
			(*n_outcome)++;
		}
	}
	while (confirms->lowest < confirms->next && confirms->is_known[confirms->lowest % WINDOW])
		confirms->is_known[confirms->lowest++ % WINDOW] = false;
}

static int take_frame(struct link *link, const amqp_frame_t *frame)
{
	const amqp_basic_ack_t *ack = frame->payload.method.decoded;
	const amqp_basic_nack_t *nack = frame->payload.method.decoded;

	if (frame->frame_type != AMQP_FRAME_METHOD)
		return 0; /* header and body of a returned message */
	switch (frame->payload.method.id) {
	case AMQP_BASIC_ACK_METHOD:
		confirms_take(link, ack->delivery_tag, ack->multiple, &link->result->n_confirmed);
		return 0;
	case AMQP_BASIC_NACK_METHOD:
		confirms_take(link, nack->delivery_tag, nack->multiple, &link->result->n_failed);
		return fail("publish", "the broker refuses a message");
	case AMQP_BASIC_RETURN_METHOD:
		return fail("publish", "the broker has no such queue");
	default:
		return fail("publish", "the broker closes the channel");
	}
}

/* Takes the frames that are there; waits for one at most wait_ms. */
static int link_pump(struct link *link, int wait_ms)
{
	for (;;) {
		struct timeval timeout = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
		amqp_frame_t frame;
		int status = amqp_simple_wait_frame_noblock(link->conn, &frame, &timeout);

		if (status == AMQP_STATUS_TIMEOUT)
			return 0;
		if (status != AMQP_STATUS_OK)
			return fail("connection", amqp_error_string2(status));
		if (take_frame(link, &frame) < 0)
			return -1;
		amqp_maybe_release_buffers(link->conn);
		wait_ms = 0;
	}
}

static int publish_one(struct link *link, const struct produce_conf *conf, uint64_t id, int64_t due_ns, char *text)
{
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG,
		.delivery_mode = AMQP_DELIVERY_PERSISTENT,
		.content_type = amqp_cstring_bytes("application/json"),
	};

	size_t size = sizes_of(&conf->sizes, id);

	order_write(text, size, id, produce_customer(conf, id), due_ns);
	int status = amqp_basic_publish(link->conn, CHANNEL, amqp_empty_bytes, amqp_cstring_bytes(conf->queue), 1, 0,
		&properties, (amqp_bytes_t){.len = size, .bytes = text});

	if (status != AMQP_STATUS_OK)
		return fail("publish", amqp_error_string2(status));
	link->confirms.next++;
	return 0;
}

static int publish_all(struct link *link, const struct produce_conf *conf, struct pace *pace, char *text)
{
	struct confirms *confirms = &link->confirms;
	uint64_t n_sent = 0;
	int err = 0;

	while (err == 0 && (n_sent < conf->n_messages || confirms->lowest < confirms->next)) {
		bool is_full = confirms->next - confirms->lowest == WINDOW;

		if (n_sent == conf->n_messages || is_full) {
			err = link_pump(link, 100);
		} else if (!pace_allows(pace, n_sent, 10)) {
			err = link_pump(link, pace->is_over ? 100 : 0);
			pace_tell(pace, link->result->n_confirmed);
			if (pace->is_over && confirms->lowest == confirms->next)
				break;
		} else {
			err = publish_one(link, conf, conf->first + n_sent, pace_due_ns(pace, n_sent), text);
			n_sent++;
			if (!err && n_sent % 256 == 0)
				err = link_pump(link, 0);
		}
	}
	return err;
}

int produce_amqp(const struct produce_conf *conf, struct pace *pace, struct produce_result *ret_result)
{
	struct link *link = calloc(1, sizeof(*link));
	char *text = malloc(conf->sizes.largest + 1);
	int err = -1;

	if (link && text && (link->conn = amqp_new_connection())) {
		link->confirms = (struct confirms){.lowest = 1, .next = 1};
		link->result = ret_result;
		err = link_open(link, conf->amqp_url);
		pace_begin(pace);
		if (!err)
			err = publish_all(link, conf, pace, text);
		amqp_destroy_connection(link->conn);
	}
	free(text);
	free(link);
	return err;
}
