/* SPDX-License-Identifier: MIT */
/* What goes wrong: turns the client library's errors into conditions and log lines, each said once while it lasts. */
#ifndef KAFKA_FAULT_H
#define KAFKA_FAULT_H

#include <librdkafka/rdkafka.h>
#include <qbus/plugin.h>

#include "lanes.h"

struct consumer;

#define FAULT_SAYINGS 16

struct faults {
	bool is_connected;
	int64_t down_us; /* when the brokers were last known to be away */
	char last[256];  /* what the connection to one broker failed with */
	bool is_cancelled;
	struct {
		uint32_t what; /* hash of the line */
		int64_t until_us;
	} said[FAULT_SAYINGS];
	size_t next;
};

/* Logs; the same line not more than once a minute. */
void fault_say(struct consumer *consumer, enum qb_level level, int64_t now_us, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* An ERROR event of the main queue (or of the producer). QB_OK: it passes, or a condition says it all. */
enum qb_result fault_source(struct consumer *consumer, rd_kafka_event_t *event, int64_t now_us);
/* What the queue of a lane holds in place of a message. */
void fault_lane(
	struct consumer *consumer, struct lane *lane, rd_kafka_resp_err_t error, const char *text, int64_t now_us);
/* A lane has delivered again. */
void fault_lane_healed(struct consumer *consumer, struct lane *lane);
/* An assignment has come: what ended the consumer is over. */
void fault_assigned(struct consumer *consumer);
/* Notices that brokers answer again. */
void fault_turn(struct consumer *consumer);

#endif
