/* SPDX-License-Identifier: MIT */
/* One AMQP connection with one channel: connects, logs in, says in one sentence why something failed. Every call is
 * bounded: connecting and logging in by connect_timeout, answers by rpc_timeout, sending by two heartbeats. */
#ifndef QBUS_AMQP_CONNECTION_H
#define QBUS_AMQP_CONNECTION_H

#include "options.h"

#include <amqp.h>
#include <amqp_framing.h>

#define CONNECTION_CHANNEL 1
#define REASON_MAX 512

struct connection {
	amqp_connection_state_t state; /* NULL: closed */
	int fd;
	bool is_lost;     /* nothing may be called any more but connection_close */
	int heartbeat_s;  /* as agreed */
	int server_major; /* of RabbitMQ; 0: unknown */
	int server_minor;
	char server[64];         /* product and version */
	char peer[128];          /* host:port */
	char reason[REASON_MAX]; /* why the last call failed */
};

/* Tries the endpoints in turn and opens the channel. `role` tells the connections of one source apart. On failure the
 * connection is closed; QB_FATAL only when no endpoint leaves hope. */
enum qb_result connection_open(
	struct connection *connection, const struct options *options, const char *role, int heartbeat_s);

/* timeout_us bounds the farewell; 0: none is said. True: the broker has answered it, and so the node has taken all that
 * was said before; whether a queue's leader elsewhere has it is not shown. A closed connection is allowed. */
bool connection_close(struct connection *connection, int64_t timeout_us);

/* Says farewell on a connection from which the library can read no more (-EBADMSG), and waits for its end. True: the
 * broker has ended it, which shows as much as an answer in connection_close. */
bool connection_part(struct connection *connection, int64_t timeout_us);

/* Bounds the wait for the answers from now on. */
void connection_limit(struct connection *connection, int64_t timeout_us);

enum qb_result connection_open_channel(struct connection *connection);

/* The next frame that is there, without waiting. 1: got one. 0: there is none, library and socket are read empty.
 * -EBADMSG: the frame cannot be decoded; what is to be said can still be
 * sent, nothing can be read. -EIO: the connection is lost. */
int connection_read(struct connection *connection, amqp_frame_t *ret_frame);

/* Judges the answer to the last call of the library that waits for one; `what` begins the reason. *ret_code (may be
 * NULL) is the broker's reply code when it closed the channel, else 0: the connection lives on then. */
enum qb_result connection_judge(struct connection *connection, const char *what, uint16_t *ret_code);

/* Reads the broker's reason from a channel.close or connection.close frame and answers it. */
enum qb_result connection_take_close(struct connection *connection, const amqp_method_t *method, uint16_t *ret_code);

/* Notes the outcome of a sending call. False: the connection is lost. */
bool connection_sent(struct connection *connection, const char *what, int status);

/* Whether sending a little would not block now. */
bool connection_is_writable(const struct connection *connection);

#endif
