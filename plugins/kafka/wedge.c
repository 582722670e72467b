/* SPDX-License-Identifier: MIT */
/* What cannot be read. */
#include "wedge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer.h"

#define RETRY_US INT64_C(5000000)
#define SAY_US INT64_C(60000000)
#define WATERMARKS_MS 500

static void begin(struct consumer *consumer, struct lane *lane, const char *reason, int64_t now_us)
{
	const struct qb_host *host = consumer->host;

	if (lane->wedge.reason && !strcmp(lane->wedge.reason, reason))
		return;
	free(lane->wedge.reason);
	free(lane->wedge.suspicion);
	lane->wedge.suspicion = NULL;
	lane->wedge.reason = strdup(reason);
	if (!lane->wedge.reason)
		abort();
	lane->wedge.say_us = now_us + SAY_US;
	host->condition(host->self, QB_WEDGED, lane->id, true, reason);
}

/* One sentence with the offset, for an operator who has never seen the library. */
static void out_of_range_tell(struct consumer *consumer, const struct lane *lane, char *ret_reason, size_t size)
{
	int64_t low = -1, high = -1;

	if (lane->next < 0) {
		snprintf(ret_reason, size, "%s[%d] has no committed offset of group %s and `start` is error", lane->topic,
			(int)lane->partition, options_text(consumer->conf, OPTION_GROUP_ID));
		return;
	}
	rd_kafka_query_watermark_offsets(consumer->rk, lane->topic, lane->partition, &low, &high, WATERMARKS_MS);
	snprintf(ret_reason, size,
		"%s[%d] has no offset %lld any more, the broker keeps %lld to %lld: messages were lost to retention "
		"or the topic was made anew",
		lane->topic, (int)lane->partition, (long long)lane->next, (long long)low, (long long)high);
}

/* Where a group without an offset begins is known with its first message only. */
static void unreadable_tell(const struct lane *lane, const char *text, char *ret_reason, size_t size)
{
	char where[40] = "its beginning";

	if (lane->next >= 0)
		snprintf(where, sizeof(where), "offset %lld", (long long)lane->next);
	snprintf(ret_reason, size, "%s[%d] cannot be read at %s: %s", lane->topic, (int)lane->partition, where, text);
}

void wedge_lane(
	struct consumer *consumer, struct lane *lane, rd_kafka_resp_err_t error, const char *text, int64_t now_us)
{
	char reason[512];

	/* The library has stopped there by itself. To read again could find other messages under the offset. */
	if (error == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
		out_of_range_tell(consumer, lane, reason, sizeof(reason));
		begin(consumer, lane, reason, now_us);
		return;
	}
	unreadable_tell(lane, text, reason, sizeof(reason));
	begin(consumer, lane, reason, now_us);
	lane->wedge.retry_us = now_us + RETRY_US;
	lanes_hold(&consumer->lanes, lane, true);
}

/* Only behind what came before it is the offset known that cannot be read. */
static void suspicion_look(struct consumer *consumer, struct lane *lane, int64_t now_us)
{
	char reason[512];
	int64_t low, high;

	if (rd_kafka_queue_length(lane->queue) || !surplus_is_empty(&lane->surplus))
		return;
	if (!rd_kafka_get_watermark_offsets(consumer->rk, lane->topic, lane->partition, &low, &high) && high >= 0 &&
		high <= lane->next) {
		free(lane->wedge.suspicion);
		lane->wedge.suspicion = NULL;
		return;
	}
	unreadable_tell(lane, lane->wedge.suspicion, reason, sizeof(reason));
	begin(consumer, lane, reason, now_us);
	lane->wedge.by_answer = true;
}

void wedge_source(struct consumer *consumer, const char *text, int64_t now_us)
{
	fault_say(consumer, QB_DEBUG, now_us, "an answer of the broker is not taken: %s", text);
	for (size_t i = 0; i < consumer->lanes.n; i++) {
		struct lane *lane = consumer->lanes.sorted[i];

		if (lane->wedge.reason)
			continue;
		free(lane->wedge.suspicion);
		lane->wedge.suspicion = strdup(text);
		if (!lane->wedge.suspicion)
			abort();
		suspicion_look(consumer, lane, now_us);
	}
}

void wedge_end(struct consumer *consumer, struct lane *lane)
{
	const struct qb_host *host = consumer->host;

	if (!lane->wedge.reason)
		return;
	free(lane->wedge.reason);
	lane->wedge = (struct lane_wedge){.reason = NULL};
	lanes_hold(&consumer->lanes, lane, false);
	host->condition(host->self, QB_WEDGED, lane->id, false, NULL);
}

/* To go there anew also voids what the library has fetched beyond. */
static void read_again(struct consumer *consumer, struct lane *lane, int64_t now_us)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, lane->topic, lane->partition)->offset =
		lane->next >= 0 ? lane->next : RD_KAFKA_OFFSET_BEGINNING;
	rd_kafka_error_destroy(rd_kafka_seek_partitions(consumer->rk, list, 0));
	rd_kafka_topic_partition_list_destroy(list);
	lane->wedge.retry_us = now_us + RETRY_US;
	lanes_hold(&consumer->lanes, lane, false);
}

/* Nothing waits there any more, as after retention, so no message will tell that the lane is well. */
static bool is_empty(struct consumer *consumer, const struct lane *lane)
{
	int64_t low, high;

	return lane->wedge.by_answer && lane->next >= 0 &&
	       !rd_kafka_get_watermark_offsets(consumer->rk, lane->topic, lane->partition, &low, &high) &&
	       high == lane->next;
}

void wedge_turn(struct consumer *consumer, int64_t now_us)
{
	const struct qb_host *host = consumer->host;

	for (size_t i = 0; i < consumer->lanes.n; i++) {
		struct lane *lane = consumer->lanes.sorted[i];

		if (lane->wedge.suspicion)
			suspicion_look(consumer, lane, now_us);
		if (!lane->wedge.reason)
			continue;
		if (now_us >= lane->wedge.say_us) {
			lane->wedge.say_us = now_us + SAY_US;
			host->log(host->self, QB_ERROR, "lane still cannot be read: %s", lane->wedge.reason);
		}
		if (lane->wedge.is_held && now_us >= lane->wedge.retry_us)
			read_again(consumer, lane, now_us);
		else if (is_empty(consumer, lane))
			wedge_end(consumer, lane);
	}
}
