/* SPDX-License-Identifier: MIT */
/* Serves the client library's main queue. */
#include "event.h"

#include <string.h>

#include "consumer.h"

#define MEASURE_US 5000000

/* Lines of librdkafka that say what a condition says anyway (FAIL, ERROR) or what we do on purpose (CONFWARN). */
static void log_serve(struct consumer *consumer, rd_kafka_event_t *event, int64_t now_us)
{
	static const char *const known[] = {"FAIL", "ERROR", "CONFWARN", "MAXPOLL"};
	const char *facility, *text;
	enum qb_level qb_level;
	int level;

	if (rd_kafka_event_log(event, &facility, &text, &level) < 0)
		return;
	qb_level = level <= 4 ? QB_WARN : level <= 6 ? QB_INFO : QB_DEBUG;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(known[i], facility))
			qb_level = QB_DEBUG;
	fault_say(consumer, qb_level, now_us, "librdkafka %s %s", facility, text);
}

/* What was taken from the queues and not delivered is the library's memory as well. */
static int64_t surplus_bytes(const struct lanes *lanes)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < lanes->n; i++)
		bytes += (int64_t)lanes->sorted[i]->surplus.bytes;
	return bytes;
}

void event_limit(struct consumer *consumer)
{
	int64_t limit;

	ahead_see(&consumer->ahead, (int64_t)consumer->batch.largest);
	consumer->batch.largest = 0;
	limit = ahead_limit(&consumer->ahead, consumer->lanes.n) + surplus_bytes(&consumer->lanes);
	consumer->host->measure(consumer->host->self, QB_QUEUE_LIMIT, 0, limit);
}

static void statistics_serve(struct consumer *consumer, rd_kafka_event_t *event)
{
	const char *statistics = rd_kafka_event_stats(event);

	if (!statistics)
		return;
	ahead_read(&consumer->ahead, statistics);
	consumer->host->measure(
		consumer->host->self, QB_QUEUE_BYTES, 0, consumer->ahead.held + surplus_bytes(&consumer->lanes));
	event_limit(consumer);
}

static enum qb_result serve(struct consumer *consumer, rd_kafka_event_t *event, int64_t now_us)
{
	switch (rd_kafka_event_type(event)) {
	case RD_KAFKA_EVENT_REBALANCE:
		rebalance_event(consumer, event, now_us);
		return QB_OK;
	case RD_KAFKA_EVENT_OFFSET_COMMIT:
		commit_result(consumer, event, now_us);
		/* Only a new member asks where it has to begin; one that stops has more to commit, of other topics. */
		return consumer->commits.is_void && !consumer->is_draining ? QB_LOST : QB_OK;
	case RD_KAFKA_EVENT_ERROR:
		return fault_source(consumer, event, now_us);
	case RD_KAFKA_EVENT_LOG:
		log_serve(consumer, event, now_us);
		return QB_OK;
	case RD_KAFKA_EVENT_STATS:
		statistics_serve(consumer, event);
		return QB_OK;
	default:
		return QB_OK;
	}
}

enum qb_result event_serve(struct consumer *consumer, int64_t now_us)
{
	enum qb_result result = QB_OK, one;
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(consumer->events, 0))) {
		one = serve(consumer, event, now_us);
		if (one > result)
			result = one;
		rd_kafka_event_destroy(event);
	}
	return result;
}

void event_measure(struct consumer *consumer, int64_t now_us)
{
	const struct qb_host *host = consumer->host;
	int64_t low, high;

	if (now_us < consumer->measured_us + MEASURE_US)
		return;
	consumer->measured_us = now_us;
	for (size_t i = 0; i < consumer->lanes.n; i++) {
		const struct lane *lane = consumer->lanes.sorted[i];
		int64_t position = lane->commit.position >= 0 ? lane->commit.position : 0;

		if (!rd_kafka_get_watermark_offsets(consumer->rk, lane->topic, lane->partition, &low, &high) && high >= 0)
			host->measure(host->self, QB_LAG, lane->id, high > position ? high - (position > low ? position : low) : 0);
	}
}
