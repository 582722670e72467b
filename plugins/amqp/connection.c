/* SPDX-License-Identifier: MIT */
/* Login, TLS and the sentences. What the library returns in four ways comes out of here in one. */
#include "connection.h"

#include "clock.h"
#include "tls.h"

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define FRAME_MAX 131072 /* never more: a header table nests as deep as a frame is long */
#define CHANNELS_MAX 1

static enum qb_result fail(struct connection *connection, enum qb_result result, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static enum qb_result fail(struct connection *connection, enum qb_result result, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(connection->reason, sizeof(connection->reason), format, args);
	va_end(args);
	return result;
}

static struct timeval timeval_of(int64_t us)
{
	return (struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000};
}

/* ---- sentences ---- */

/* What errno adds where the library has nothing better to say. A refused connection leaves only that it was begun. */
static const char *errno_text(int status, int error)
{
	if (!error || (status != AMQP_STATUS_SOCKET_ERROR && status != AMQP_STATUS_TCP_ERROR))
		return "";
	return error == EINPROGRESS ? "nothing accepts connections there" : strerror(error);
}

static enum qb_result fail_library(struct connection *connection, const char *what, int status, int error)
{
	bool is_verify = status == AMQP_STATUS_SSL_PEER_VERIFY_FAILED || status == AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED;
	const char *more = errno_text(status, error);

	/* The library crashes when it is made to read on after a frame that it could not understand. */
	connection->is_lost = true;
	return fail(connection, is_verify ? QB_FATAL : QB_LOST, "%s %s: %s%s%s", what, connection->peer,
		amqp_error_string2(status), *more ? ": " : "", more);
}

/* Which refusals an operator must mend. 320 is a broker that stops; 405 a lock that passes. */
static enum qb_result code_result(uint16_t code)
{
	static const uint16_t fatal[] = {402, 403, 404, 406, 530, 540};

	for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
		if (code == fatal[i])
			return QB_FATAL;
	return QB_LOST;
}

static enum qb_result fail_code(struct connection *connection, const char *what, uint16_t code, amqp_bytes_t text)
{
	return fail(connection, code_result(code), "%s %s: the broker says %u %.*s", what, connection->peer, code,
		(int)(text.len < 300 ? text.len : 300), text.len ? (const char *)text.bytes : "");
}

static enum qb_result judge(
	struct connection *connection, const char *what, const amqp_rpc_reply_t *reply, int error, uint16_t *ret_code)
{
	if (reply->reply_type == AMQP_RESPONSE_NORMAL)
		return QB_OK;
	if (reply->reply_type != AMQP_RESPONSE_SERVER_EXCEPTION)
		return fail_library(connection, what,
			reply->reply_type == AMQP_RESPONSE_NONE ? AMQP_STATUS_SOCKET_ERROR : reply->library_error, error);
	if (reply->reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
		const amqp_channel_close_t *closing = reply->reply.decoded;

		if (ret_code)
			*ret_code = closing->reply_code;
		return fail_code(connection, what, closing->reply_code, closing->reply_text);
	}

	const amqp_connection_close_t *closing = reply->reply.decoded;

	return fail_code(connection, what, closing->reply_code, closing->reply_text);
}

enum qb_result connection_judge(struct connection *connection, const char *what, uint16_t *ret_code)
{
	int error = errno;
	amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection->state);
	uint16_t code = 0;
	enum qb_result result = judge(connection, what, &reply, error, &code);

	if (ret_code)
		*ret_code = code;

	/* The library leaves this to us; until the broker has it, a quorum queue keeps the channel's messages back. */
	if (code) {
		amqp_channel_close_ok_t ok = {0};
		int status = amqp_send_method(connection->state, CONNECTION_CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);

		if (status != AMQP_STATUS_OK)
			result = fail_library(connection, what, status, errno);
	}
	return result;
}

enum qb_result connection_take_close(struct connection *connection, const amqp_method_t *method, uint16_t *ret_code)
{
	bool is_channel = method->id == AMQP_CHANNEL_CLOSE_METHOD;
	amqp_rpc_reply_t reply = {.reply_type = AMQP_RESPONSE_SERVER_EXCEPTION, .reply = *method};
	enum qb_result result;

	*ret_code = 0;
	result = judge(connection, is_channel ? "channel to" : "connection to", &reply, 0, ret_code);
	if (is_channel) {
		amqp_channel_close_ok_t ok = {0};

		connection_sent(connection, "channel to",
			amqp_send_method(connection->state, CONNECTION_CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok));
	} else {
		amqp_connection_close_ok_t ok = {0};

		amqp_send_method(connection->state, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
		connection->is_lost = true;
	}
	return result;
}

bool connection_sent(struct connection *connection, const char *what, int status)
{
	if (status == AMQP_STATUS_OK)
		return true;
	fail_library(connection, what, status, errno);
	return false;
}

/* ---- opening ---- */

static amqp_socket_t *socket_tls(
	const struct connection *connection, const struct options *options, enum tls_part *ret_bad)
{
	const struct tls_files files = {options->ca_file, options->certificate_file, options->key_file};
	amqp_socket_t *socket = tls_socket_new(connection->state, &files, ret_bad);

	if (!socket)
		return NULL;
	amqp_ssl_socket_set_verify_peer(socket, options->verify_peer);
	amqp_ssl_socket_set_verify_hostname(socket, options->verify_peer && options->verify_hostname);
	return socket;
}

static void server_read(struct connection *connection)
{
	const amqp_table_t *table = amqp_get_server_properties(connection->state);
	amqp_bytes_t product = amqp_empty_bytes, version = amqp_empty_bytes;

	for (int i = 0; table && i < table->num_entries; i++) {
		const amqp_table_entry_t *entry = &table->entries[i];

		if (entry->value.kind != AMQP_FIELD_KIND_UTF8)
			continue;
		if (entry->key.len == 7 && !memcmp(entry->key.bytes, "product", 7))
			product = entry->value.value.bytes;
		if (entry->key.len == 7 && !memcmp(entry->key.bytes, "version", 7))
			version = entry->value.value.bytes;
	}
	snprintf(connection->server, sizeof(connection->server), "%.*s %.*s", (int)product.len,
		product.len ? (const char *)product.bytes : "", (int)version.len,
		version.len ? (const char *)version.bytes : "");
	sscanf(connection->server, "RabbitMQ %d.%d", &connection->server_major, &connection->server_minor);
}

/* Without the two capabilities the broker is silent about a deleted queue and about blocking. */
static enum qb_result login(struct connection *connection, const struct options *options,
	const struct endpoint *endpoint, const char *role, int heartbeat_s)
{
	char name[128];
	amqp_table_entry_t capabilities[] = {
		{.key = amqp_cstring_bytes("consumer_cancel_notify"),
			.value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}},
		{.key = amqp_cstring_bytes("connection.blocked"),
			.value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}},
	};
	amqp_table_entry_t entries[] = {
		{.key = amqp_cstring_bytes("capabilities"),
			.value = {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {.num_entries = 2, .entries = capabilities}}},
		{.key = amqp_cstring_bytes("connection_name"),
			.value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(name)}},
	};
	const amqp_table_t properties = {.num_entries = 2, .entries = entries};
	uint16_t code = 0;

	if (options->connection_name)
		snprintf(name, sizeof(name), "%s %s", options->connection_name, role);
	else
		snprintf(name, sizeof(name), "qbus-proxy %s %s", options->pipeline, role);
	entries[1].value.value.bytes = amqp_cstring_bytes(name);
	errno = 0;

	amqp_rpc_reply_t reply = amqp_login_with_properties(connection->state, endpoint->vhost, CHANNELS_MAX, FRAME_MAX,
		heartbeat_s, &properties, AMQP_SASL_METHOD_PLAIN, endpoint->user, endpoint->password);
	enum qb_result result = judge(connection, "login to", &reply, errno, &code);

	if (result != QB_OK)
		return result;
	connection->heartbeat_s = amqp_get_heartbeat(connection->state);
	server_read(connection);
	return QB_OK;
}

static enum qb_result endpoint_open(struct connection *connection, const struct options *options,
	const struct endpoint *endpoint, const char *role, int heartbeat_s)
{
	struct timeval connect_timeout = timeval_of(options->connect_timeout_us);
	struct timeval rpc_timeout = timeval_of(options->rpc_timeout_us);

	snprintf(connection->peer, sizeof(connection->peer), "%s:%d", endpoint->host, endpoint->port);
	connection->state = amqp_new_connection();
	if (!connection->state)
		abort();

	enum tls_part bad = TLS_NONE;
	amqp_socket_t *socket =
		endpoint->is_tls ? socket_tls(connection, options, &bad) : amqp_tcp_socket_new(connection->state);

	if (!socket)
		return fail(connection, QB_FATAL, "TLS to %s: %s cannot be used", connection->peer, tls_part_name(bad));
	amqp_set_handshake_timeout(connection->state, &connect_timeout);
	amqp_set_rpc_timeout(connection->state, &rpc_timeout);
	errno = 0;

	int status = amqp_socket_open_noblock(socket, endpoint->host, endpoint->port, &connect_timeout);

	if (status != AMQP_STATUS_OK)
		return fail_library(connection, "connecting to", status, errno);

	enum qb_result result = login(connection, options, endpoint, role, heartbeat_s);

	if (result != QB_OK)
		return result;
	connection->fd = amqp_get_sockfd(connection->state);
	return connection_open_channel(connection);
}

enum qb_result connection_open(
	struct connection *connection, const struct options *options, const char *role, int heartbeat_s)
{
	bool has_hope = false;

	*connection = (struct connection){.fd = -1};
	for (size_t i = 0; i < options->n_endpoints; i++) {
		enum qb_result result = endpoint_open(connection, options, &options->endpoints[i], role, heartbeat_s);

		if (result == QB_OK)
			return QB_OK;
		has_hope |= result == QB_LOST;
		connection_close(connection, 0);
	}
	return has_hope ? QB_LOST : QB_FATAL;
}

enum qb_result connection_open_channel(struct connection *connection)
{
	amqp_channel_open(connection->state, CONNECTION_CHANNEL);
	return connection_judge(connection, "channel to", NULL);
}

void connection_limit(struct connection *connection, int64_t timeout_us)
{
	struct timeval timeout = timeval_of(timeout_us);

	amqp_set_rpc_timeout(connection->state, &timeout);
}

bool connection_close(struct connection *connection, int64_t timeout_us)
{
	bool is_answered = false;

	if (!connection->state)
		return false;
	if (timeout_us > 0 && !connection->is_lost && connection_is_writable(connection)) {
		connection_limit(connection, timeout_us);
		is_answered = amqp_connection_close(connection->state, AMQP_REPLY_SUCCESS).reply_type == AMQP_RESPONSE_NORMAL;
	}
	amqp_destroy_connection(connection->state);
	connection->state = NULL;
	connection->fd = -1;
	return is_answered;
}

/* Whatever arrives is thrown away unread, so that the kernel does not reset what we have said last. */
bool connection_part(struct connection *connection, int64_t timeout_us)
{
	amqp_connection_close_t farewell = {.reply_code = AMQP_REPLY_SUCCESS};
	int64_t end_us = clock_now_us() + timeout_us, left_us = timeout_us;
	char waste[16384];
	ssize_t n = -1;

	if (!connection_sent(
			connection, "leaving", amqp_send_method(connection->state, 0, AMQP_CONNECTION_CLOSE_METHOD, &farewell)))
		return false;
	for (; n && left_us > 0; left_us = end_us - clock_now_us()) {
		struct pollfd fd = {.fd = connection->fd, .events = POLLIN};

		if (poll(&fd, 1, (int)(left_us / 1000) + 1) != 1)
			continue;
		n = read(connection->fd, waste, sizeof(waste));
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			break;
	}
	connection->is_lost = true;
	return n == 0;
}

/* ---- frames ---- */

int connection_read(struct connection *connection, amqp_frame_t *ret_frame)
{
	struct timeval none = {0};

	errno = 0;

	int status = amqp_simple_wait_frame_noblock(connection->state, ret_frame, &none);

	if (status == AMQP_STATUS_TIMEOUT)
		return 0;
	if (status != AMQP_STATUS_OK) {
		fail_library(connection, "reading from", status, errno);
		connection->is_lost = status != AMQP_STATUS_BAD_AMQP_DATA;
		return connection->is_lost ? -EIO : -EBADMSG;
	}
	/* The library keeps a pool for every channel number that a broker makes up. */
	if (ret_frame->channel > CONNECTION_CHANNEL) {
		fail(connection, QB_LOST, "reading from %s: a frame of a channel that was never opened", connection->peer);
		return -EIO;
	}
	return 1;
}

bool connection_is_writable(const struct connection *connection)
{
	struct pollfd fd = {.fd = connection->fd, .events = POLLOUT};

	return connection->fd >= 0 && poll(&fd, 1, 0) == 1 && !(fd.revents & (POLLERR | POLLHUP));
}
