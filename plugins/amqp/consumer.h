/* SPDX-License-Identifier: MIT */
/* The consuming side of a source: one connection, one channel, one consumer at a time.
 *
 * The channel is the lane. When the broker closes the channel or ends the consumer, the consumer opens it again by
 * itself, with growing pauses, as a new lane; when the connection goes, the whole source is opened anew by the runtime.
 *
 * The prefetch begins small, so that a proxy that dies again and again returns few messages (a quorum queue drops those
 * that were returned too often), and grows with the first acks to what was asked for, or to what fits the byte budget
 * at the sizes seen. Every change is a new consumer with a tag of its own that starts before the old one is cancelled:
 * a limit holds only for later consumers, and a queue that deletes itself must not see a moment without any. Nothing is
 * cancelled while the broker owes deliveries (plugins/amqp/quiet.h). */
#ifndef QBUS_AMQP_CONSUMER_H
#define QBUS_AMQP_CONSUMER_H

#include "assemble.h"
#include "connection.h"
#include "proof.h"
#include "quiet.h"
#include "tags.h"

struct consumer {
	const struct qb_host *host;
	const struct options *options;
	struct connection connection;
	struct inbox inbox;
	struct assemble assemble;
	struct tags tags;
	struct proof proof;
	uint64_t lane; /* 0: the channel is closed */
	char tag[32];  /* of the consumer; empty: there is none */
	unsigned n_tags;
	int prefetch;
	uint64_t before;    /* highest delivery tag that is not this consumer's */
	struct quiet quiet; /* before the consumer is cancelled */
	bool is_resizable;
	bool is_draining;
	bool is_drained; /* the host was told so */
	uint64_t n_acked;
	int64_t barrier_us; /* how long the queue took to answer the cancel */
	int64_t mean_bytes; /* of a body, moving; 0: none was seen */
	int64_t resize_at_us;
	int64_t retry_at_us; /* when to consume again, while there is no consumer */
	int64_t retry_us;    /* the pause after the next failure */
	int64_t told_bytes;  /* newest QB_QUEUE_BYTES */
};

/* Connects, declares the queue if it is to be declared, consumes, opens the lane. On failure consumer_close need not be
 * called and connection.reason tells why. */
enum qb_result consumer_open(
	struct consumer *consumer, const struct qb_host *host, const struct options *options, int64_t now_us);

/* Sends the acks that are left, says farewell within timeout_us (0: nothing is sent), frees. Tells QB_UNPROVEN. */
void consumer_close(struct consumer *consumer, int64_t timeout_us);

/* Does what is due: reads what is there into the inbox, sends acks, consumes again. *ret_more: there may be more to
 * read, do not wait. Not QB_OK: connection.reason tells why. */
enum qb_result consumer_turn(struct consumer *consumer, int64_t now_us, bool *ret_more);

/* Delivers from the inbox within the budget. Returns how many. */
size_t consumer_deliver(struct consumer *consumer, const struct qb_budget *budget);

/* When the next turn is due at the latest; INT64_MAX: only when something arrives. */
int64_t consumer_due_us(const struct consumer *consumer);

void consumer_settle(struct consumer *consumer, const struct qb_settlement *settlements, size_t n, int64_t now_us);

/* Cancels, in a later turn: when the broker owes nothing. What was received goes on being delivered. */
void consumer_drain(struct consumer *consumer, int64_t now_us);

/* To be called when there is nothing more to read: tells the host, once, when a drained consumer has delivered all. */
void consumer_rest(struct consumer *consumer);

#endif
