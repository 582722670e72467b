/* SPDX-License-Identifier: MIT */
/* Ends a client of the library without ever waiting for longer than wanted.
 *
 * Leaving a group and destroying a client can hang in old versions of librdkafka (after a topic was deleted it never
 * comes back), so both happen on a thread of their own. Who has waited long enough goes away; the thread and the client
 * stay. */
#ifndef KAFKA_LEAVE_H
#define KAFKA_LEAVE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "gate.h"

struct leave;

/* Takes client, queue and gate (NULL for a producer). With a gate the group is left first: close, answer what it asks.
 * is_destroyable false: leave, but never destroy (librdkafka before 2.3 aborts in it before the first assignment). */
struct leave *leave_start(rd_kafka_t *rk, rd_kafka_queue_t *events, struct gate *gate, bool is_destroyable);
/* Waits; takes `leave`. False: it goes on without us. NULL is allowed. */
bool leave_wait(struct leave *leave, int timeout_ms);

#endif
