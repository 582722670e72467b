/* SPDX-License-Identifier: MIT */
/* What a consumer asks of its queue, each a question that waits for its answer. *ret_code (may be NULL) is the broker's
 * reply code when it closed the channel over it, else 0; connection.reason tells why something failed. */
#ifndef QBUS_AMQP_SUBSCRIBE_H
#define QBUS_AMQP_SUBSCRIBE_H

#include "consumer.h"

/* Makes the queue, as the options say. */
enum qb_result subscribe_declare(struct consumer *consumer);

/* Consumes with that prefetch under a new tag. On failure there is no tag. A stream is refused, without a code. */
enum qb_result subscribe_begin(struct consumer *consumer, int prefetch, uint16_t *ret_code);

/* Says in connection.reason why a stream is no source. QB_FATAL. */
enum qb_result subscribe_refuse(struct consumer *consumer);

/* Cancels the consumer with that tag. */
enum qb_result subscribe_end(struct consumer *consumer, const char *tag, uint16_t *ret_code);

/* How many messages are ready in the queue. */
enum qb_result subscribe_count(struct consumer *consumer, uint32_t *ret_n, uint16_t *ret_code);

#endif
