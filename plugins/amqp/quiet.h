/* SPDX-License-Identifier: MIT */
/* The moment at which a consumer may be cancelled. A quorum queue hands out a message for each ack, and what is on its
 * way to the channel when the cancel arrives goes back to the queue, counted as a delivery and out of its order. So
 * acks are kept back until the broker owes nothing: the consumer holds its whole prefetch, or the queue has no more. */
#ifndef QBUS_AMQP_QUIET_H
#define QBUS_AMQP_QUIET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quiet {
	bool is_on;         /* acks are kept back */
	bool is_empty;      /* the queue had nothing left when it was asked */
	size_t n_open;      /* what the consumer held at the last look */
	int64_t ask_us;     /* when to ask the queue */
	int64_t patient_us; /* what is owed does not come any more, it goes to others */
	int64_t until_us;
};

void quiet_begin(struct quiet *quiet, int64_t now_us);

/* To be called after everything was read. n_open: deliveries of this consumer that the broker has no answer to. True:
 * cancel now; is_on is false from then on. */
bool quiet_is_over(struct quiet *quiet, size_t n_open, size_t prefetch, int64_t now_us);

/* Whether to ask how many messages are ready; the answer goes to quiet_answer. */
bool quiet_wants_count(const struct quiet *quiet, int64_t now_us);
void quiet_answer(struct quiet *quiet, size_t n_ready, int64_t now_us);

/* When the next look is due; INT64_MAX: never. may_ask: no other answer is awaited before. */
int64_t quiet_due_us(const struct quiet *quiet, bool may_ask);

#endif
