/* SPDX-License-Identifier: MIT */
/* Serves the client library's main queue: rebalances, outcomes of commits, errors, logs. */
#ifndef KAFKA_EVENT_H
#define KAFKA_EVENT_H

#include <qbus/plugin.h>
#include <stdint.h>

struct consumer;

/* Serves it to emptiness, never waits. */
enum qb_result event_serve(struct consumer *consumer, int64_t now_us);
/* Measures the lag of each lane from what fetches have told anyway. */
void event_measure(struct consumer *consumer, int64_t now_us);
/* Tells what the library may hold of the lanes that are there now. */
void event_limit(struct consumer *consumer);

#endif
