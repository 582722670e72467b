/* SPDX-License-Identifier: MIT */
/* Opens a plain TCP connection to RabbitMQ. */
#include "amqp_link.h"

#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "qbus-bench: %s: %s\n", what, why);
	return -1;
}

int amqp_link_check(const char *what, amqp_rpc_reply_t reply)
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

static int log_in(amqp_connection_state_t conn, const struct amqp_connection_info *info)
{
	amqp_socket_t *socket = amqp_tcp_socket_new(conn);

	if (!socket || amqp_socket_open(socket, info->host, info->port) != AMQP_STATUS_OK)
		return fail(info->host, "cannot connect");
	if (amqp_link_check("login", amqp_login(conn, info->vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN,
									 info->user, info->password)))
		return -1;
	amqp_channel_open(conn, AMQP_LINK_CHANNEL);
	return amqp_link_check("open a channel", amqp_get_rpc_reply(conn));
}

amqp_connection_state_t amqp_link_open(const char *url)
{
	amqp_connection_state_t conn = amqp_new_connection();
	char *copy = strdup(url);
	struct amqp_connection_info info;
	int err = conn && copy ? 0 : -1;

	if (!err && (amqp_parse_url(copy, &info) != AMQP_STATUS_OK || info.ssl))
		err = fail(url, "not an address of the form amqp://USER:PASSWORD@HOST:PORT/VHOST");
	if (!err)
		err = log_in(conn, &info);
	free(copy);
	if (err && conn) {
		amqp_destroy_connection(conn);
		conn = NULL;
	}
	return conn;
}

void amqp_link_close(amqp_connection_state_t conn)
{
	amqp_connection_close(conn, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(conn);
}
