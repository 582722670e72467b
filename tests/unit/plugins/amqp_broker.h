/* SPDX-License-Identifier: MIT */
/* The other side of the AMQP tests: a client of its own that makes queues, fills them and counts what is left. Whatever
 * the broker refuses fails the test. */
#ifndef AMQP_BROKER_H
#define AMQP_BROKER_H

#include <amqp.h>
#include <amqp_framing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broker {
	amqp_connection_state_t state;
	char queue[64]; /* a name that nobody else has */
	uint64_t n_published;
};

/* The url of the broker to test with, NULL: there is none. */
const char *broker_url(void);

struct broker *broker_open(void);
/* Deletes the queue. */
void broker_close(struct broker *broker);

/* Declares `queue`; type is "classic" or "quorum"; what is dead goes to the queue of that name, where given. */
void broker_declare(struct broker *broker, const char *queue, const char *type, const char *dead_letters);
void broker_declare_auto_delete(struct broker *broker, const char *queue);
void broker_delete(struct broker *broker, const char *queue);
/* Makes an exchange, or deletes it. */
void broker_exchange(struct broker *broker, const char *exchange, bool is_there);
void broker_publish(
	struct broker *broker, const char *queue, const amqp_basic_properties_t *properties, const void *body, size_t len);
/* Publishes the numbers 0 to n - 1, with confirmation at the end. */
void broker_fill(struct broker *broker, const char *queue, size_t n);
/* Messages that are ready. */
size_t broker_count(struct broker *broker, const char *queue);
/* Consumers of the queue. */
size_t broker_consumers(struct broker *broker, const char *queue);

#endif
