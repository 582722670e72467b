/* SPDX-License-Identifier: MIT */
/* What was taken from a lane's queue and did not fit into the batch: it cannot be given back, so it waits here, in
 * order, and comes before all that is still in the queue. The source's thread only. */
#ifndef KAFKA_SURPLUS_H
#define KAFKA_SURPLUS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

struct surplus {
	rd_kafka_message_t **messages;
	size_t at, n; /* those before at are gone */
	size_t bytes; /* of the bodies and keys that are left */
};

static inline bool surplus_is_empty(const struct surplus *surplus)
{
	return surplus->at == surplus->n;
}

/* Moves the first ones to their taker, at most max. Returns how many. */
size_t surplus_take(struct surplus *surplus, rd_kafka_message_t **ret_messages, size_t max);
/* Puts n messages, which become its own, before all others: the last ones of the take before, or the first ever. */
void surplus_put(struct surplus *surplus, rd_kafka_message_t *const *messages, size_t n);
/* Destroys what is there. Before the client of these messages is destroyed. */
void surplus_drop(struct surplus *surplus);

#endif
