/* SPDX-License-Identifier: MIT */
/* One source: a member of a consumer group with everything that belongs to it. The functions are those of the contract.
 */
#ifndef KAFKA_CONSUMER_H
#define KAFKA_CONSUMER_H

#include <librdkafka/rdkafka.h>
#include <qbus/plugin.h>

#include "ahead.h"
#include "batch.h"
#include "commit.h"
#include "embedded.h"
#include "event.h"
#include "fault.h"
#include "gate.h"
#include "lanes.h"
#include "options.h"
#include "publish.h"
#include "rebalance.h"
#include "settings.h"
#include "target.h"
#include "wedge.h"

struct consumer {
	const struct qb_host *host;
	const struct qb_source_conf *conf;
	rd_kafka_t *rk;
	rd_kafka_queue_t *events; /* the main queue: everything but messages */
	int events_fd;            /* readable when it has something */
	int wake_fd;              /* readable after consumer_wake */
	struct gate *gate;
	struct embedded *embedded; /* NULL: a real cluster */
	struct lanes lanes;
	struct commits commits;
	struct rebalance rebalance;
	struct faults faults;
	struct publisher publisher;
	struct target target;
	struct batch batch;
	struct ahead ahead;
	int64_t measured_us;
	int64_t wall_ahead_us; /* of the monotonic clock, when it was last looked at */
	bool is_draining;
};

enum qb_result consumer_open(const struct qb_host *host, const struct qb_source_conf *conf, void **ret_source);
enum qb_result consumer_poll(void *source, int timeout_ms, const struct qb_budget *budget);
void consumer_settle(void *source, const struct qb_settlement *settlements, size_t n);
void consumer_flow(void *source, uint64_t lane, bool open);
void consumer_drain(void *source);
void consumer_lane_drained(void *source, uint64_t lane);
void consumer_publish(void *source, const struct qb_outgoing *message, uint64_t token);
void consumer_close(void *source, int timeout_ms);
void consumer_wake(void *source);
bool consumer_is_current(void *source);
void consumer_aim(void *source, const char *target);

/* Waits until something happens, up to timeout_ms. */
void consumer_wait(struct consumer *consumer, int timeout_ms);

#endif
