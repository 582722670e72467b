/* SPDX-License-Identifier: MIT */
/* Publishes dead letters with confirmation of all replicas. The producer is made when it is needed first. */
#ifndef KAFKA_PUBLISH_H
#define KAFKA_PUBLISH_H

#include <librdkafka/rdkafka.h>
#include <qbus/plugin.h>

#include "leave.h"

struct consumer;

struct publisher {
	rd_kafka_t *rk; /* NULL: not needed yet */
	rd_kafka_queue_t *events;
	size_t n_waiting; /* published and not reported */
};

/* Answers by host->published, now or in a later publish_serve. */
void publish_send(struct consumer *consumer, const struct qb_outgoing *message, uint64_t token);
/* Reports what came back; never waits. */
void publish_serve(struct consumer *consumer, int64_t now_us);
/* Waits until `until_us` for what is still out, reports the rest as failed, begins to end the producer. NULL: there was
 * none. */
struct leave *publish_end(struct consumer *consumer, int64_t until_us);

#endif
