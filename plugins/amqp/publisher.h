/* SPDX-License-Identifier: MIT */
/* The publishing side of a source: a connection of its own, opened with the first publication or question, because
 * a broker that blocks publishers stops reading from the whole connection, acks included.
 *
 * A publication succeeded when the broker confirmed it and had not returned it before. A return names no publication
 * but its route, so all that are open on that route count as returned: one may be published twice, none is lost unseen.
 */
#ifndef QBUS_AMQP_PUBLISHER_H
#define QBUS_AMQP_PUBLISHER_H

#include "connection.h"

struct publication;

struct publisher {
	const struct qb_host *host;
	const struct options *options;
	struct connection connection;
	struct publication *publications; /* by the broker's number, without holes */
	size_t begin, end, capacity;
	size_t n_open; /* no outcome yet */
	uint64_t last; /* number of the newest on this channel */
	bool is_blocked;
	int64_t retry_at_us; /* no new connection before */
};

void publisher_init(struct publisher *publisher, const struct qb_host *host, const struct options *options);

/* Gives up what has no outcome after timeout_us, says farewell, frees. */
void publisher_close(struct publisher *publisher, int64_t timeout_us, int64_t now_us);

void publisher_publish(struct publisher *publisher, const struct qb_outgoing *outgoing, uint64_t token, int64_t now_us);

/* Whether there is that exchange, without making it; waits for the answer. 0; -ENOENT: there is none. Not known now:
 * -EBUSY, publications have no outcome yet, or the connection was lost just now; -ENOTCONN, none can be opened, why
 * stands in the log; -EAGAIN, the broker does not answer or refuses to. */
int publisher_ask(struct publisher *publisher, const char *exchange, int64_t now_us);

/* Reads confirmations, judges ages. */
void publisher_turn(struct publisher *publisher, int64_t now_us);

/* When the oldest publication without outcome is given up; INT64_MAX: never. */
int64_t publisher_due_us(const struct publisher *publisher);

#endif
