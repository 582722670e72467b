/* SPDX-License-Identifier: MIT */
/* What `qbus-bench produce` was asked for, and the two ways to do it. */
#ifndef QBUS_BENCH_PRODUCE_H
#define QBUS_BENCH_PRODUCE_H

#include "pace.h"
#include "sizes.h"

enum { PRODUCE_MAX_PROPERTIES = 16 };

struct produce_conf {
	const char *bootstrap; /* Kafka; NULL: AMQP */
	const char *topic;
	const char *properties[PRODUCE_MAX_PROPERTIES]; /* librdkafka, "name=value" */
	size_t n_properties;
	const char *amqp_url;
	const char *queue;
	uint64_t n_messages;
	uint64_t first; /* id of the first message; the others follow by one */
	uint64_t n_keys;
	struct sizes sizes;
	bool is_paced;
	uint64_t rate; /* messages a second; 0: as fast as they go */
};

struct produce_result {
	uint64_t n_confirmed; /* the broker has it */
	uint64_t n_failed;    /* the broker refused it, or nobody knows */
};

/* Customer number of a message; its key is "customer-NUMBER". Neighbours differ, so the load spreads over partitions.
 */
static inline uint64_t produce_customer(const struct produce_conf *conf, uint64_t id)
{
	return id % conf->n_keys;
}

/* Send all messages and wait for the confirmations. 0, or -1 after a sentence on stderr; the result is set in both
 * cases. */
int produce_kafka(const struct produce_conf *conf, struct pace *pace, struct produce_result *ret_result);
int produce_amqp(const struct produce_conf *conf, struct pace *pace, struct produce_result *ret_result);

#endif
