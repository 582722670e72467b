/* SPDX-License-Identifier: MIT */
/* Looks whether the topic that publications go to is there, so that an operator learns it before the first dead letter
 * does. Only that it is there, and is ours to see: a right to read and not to write shows when something is written. */
#ifndef KAFKA_TARGET_H
#define KAFKA_TARGET_H

#include <librdkafka/rdkafka.h>
#include <qbus/plugin.h>

struct consumer;

struct target {
	const char *topic; /* NULL: nothing will be published */
	int64_t due_us;    /* when to look again */
	bool is_missing;
};

/* Looks when it is due, while brokers answer: once a minute, and often while the topic is missing. One that does not
 * exist is told as missing when the brokers say that its use does not make it; when they do not say, it is not, and
 * they are asked again. Each look waits for the broker, a second at most. */
void target_turn(struct consumer *consumer, int64_t now_us);

#endif
