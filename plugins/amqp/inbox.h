/* SPDX-License-Identifier: MIT */
/* Messages that were received and not delivered yet, first in first out. The prefetch bounds them. */
#ifndef QBUS_AMQP_INBOX_H
#define QBUS_AMQP_INBOX_H

#include "headers.h"
#include "text.h"

struct message {
	struct message *next;
	uint64_t tag;
	int64_t timestamp_ms; /* -1: unknown */
	uint32_t deliveries;
	struct range exchange, routing_key, body;
	struct headers headers;
	struct text text; /* all bytes of the message */
};

struct inbox {
	struct message *first, **end;
	struct message *blanks; /* used before, with their memory */
	size_t n_blanks;
	size_t n;
	size_t n_bytes;
	struct qb_header *lent; /* room for the headers of one batch */
	size_t n_lent;
};

void inbox_init(struct inbox *inbox);
void inbox_done(struct inbox *inbox);

/* A blank message, the caller's until inbox_give or inbox_drop. */
struct message *inbox_blank_take(struct inbox *inbox);

/* Appends. The inbox owns it now. */
void inbox_give(struct inbox *inbox, struct message *message);

/* The oldest, the caller's now; NULL: there is none. */
struct message *inbox_take(struct inbox *inbox);

/* The caller is done with a message that it took. NULL is allowed. */
void inbox_drop(struct inbox *inbox, struct message *message);

/* Gives the host what waits, the oldest first, within the budget. Returns how many messages. */
size_t inbox_deliver(
	struct inbox *inbox, const struct qb_host *host, uint64_t lane, const char *queue, const struct qb_budget *budget);

/* Drops all that wait. */
void inbox_clear(struct inbox *inbox);

#endif
