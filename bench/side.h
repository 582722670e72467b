/* SPDX-License-Identifier: MIT */
/* The consumers that a run can measure: what they are called, which broker they read, what they need. */
#ifndef QBUS_BENCH_SIDE_H
#define QBUS_BENCH_SIDE_H

#include <stdbool.h>

enum side_id {
	SIDE_PROXY,
	SIDE_PLAIN,
	SIDE_EXT_AMQP,
	SIDE_EXT_AMQP_AHEAD,
	SIDE_EXT_AMQP_WIDE,
	SIDE_AMQPLIB,
	SIDE_AMQPLIB_AHEAD,
	SIDE_AMQPLIB_WIDE,
	SIDE_RDKAFKA,
	SIDE_RDKAFKA_WIDE,
	SIDE_ECHO,
	N_SIDES,
};

enum { SIDE_MAX_ARGUMENTS = 2 };

/* A peer is a PHP file that gets the broker, the queue or topic, the group (Kafka) and then `arguments`. */
struct side {
	const char *name; /* in tables and JSON */
	const char *note; /* what is special about it; NULL: nothing */
	bool reads_kafka, reads_amqp, reads_generated;
	const char *script;                            /* below peers/; NULL: not a peer */
	const char *probe;                             /* PHP that exits with 0 where the peer can run */
	const char *arguments[SIDE_MAX_ARGUMENTS + 1]; /* ends with NULL */
};

const struct side *side_at(enum side_id id);

#endif
