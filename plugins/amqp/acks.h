/* SPDX-License-Identifier: MIT */
/* Sends the answers to deliveries, in as few frames as the tags allow. On a lost connection nothing is sent; a call
 * that fails leaves the reason there.
 *
 * A channel has 33 acks under way to a quorum queue. Those above wait in the channel, and are lost without a word when
 * it closes before the queue has applied the others. So acks are joined, and at the end go slowly where they cannot be.
 */
#ifndef QBUS_AMQP_ACKS_H
#define QBUS_AMQP_ACKS_H

#include "connection.h"
#include "tags.h"

/* To the queue's dead-letter exchange, where it has one. */
void acks_reject(struct connection *connection, uint64_t tag);

/* One ack for the settled run below the lowest held tag, if there is one. */
void acks_send_run(struct connection *connection, struct tags *tags);

/* Everything that is settled. With a pause_us it goes in small parts with a pause after each, until end_us; the rest
 * then goes at once. */
void acks_send_all(struct connection *connection, struct tags *tags, int64_t pause_us, int64_t end_us);

#endif
