/* SPDX-License-Identifier: MIT */
/* The plain consumers: what a broker's C library can do without a proxy, as a yardstick. */
#ifndef QBUS_BENCH_PLAIN_H
#define QBUS_BENCH_PLAIN_H

#include "tally.h"

#include <stdbool.h>
#include <stddef.h>

enum { PLAIN_MAX_PROPERTIES = 16 };

struct plain_conf {
	const char *bootstrap, *topic, *group; /* Kafka; NULL: AMQP */
	const char *url, *queue;
	const char *properties[PLAIN_MAX_PROPERTIES]; /* librdkafka, "name=value" */
	size_t n_properties;
};

/* SIGTERM or SIGINT came. */
bool plain_is_over(void);

/* Read and count until plain_is_over. 0, or -1 after a sentence on stderr. */
int plain_kafka(const struct plain_conf *conf, struct tally *tally);
int plain_amqp(const struct plain_conf *conf, struct tally *tally);

#endif
