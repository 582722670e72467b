/* SPDX-License-Identifier: MIT */
/* Looks whether the exchange that publications go to is there, so that an operator learns it before the first dead
 * letter does. Only that: whether a queue is bound to it for that routing key shows when something is published. */
#ifndef QBUS_AMQP_TARGET_H
#define QBUS_AMQP_TARGET_H

#include "publisher.h"

struct target {
	const char *exchange; /* NULL: nothing will be published, or to the default exchange, which is always there */
	int64_t due_us;       /* when to look again */
	bool is_missing;
};

/* From now on that is looked at. */
void target_init(struct target *target, const char *exchange);

/* Looks when it is due: once a minute, more often while the exchange is missing, every ten minutes where the publishing
 * connection cannot be opened. Each look waits for the answer on that connection, which it opens. */
void target_turn(struct target *target, struct publisher *publisher, int64_t now_us);

/* When the next look is due; INT64_MAX: never. */
int64_t target_due_us(const struct target *target);

#endif
