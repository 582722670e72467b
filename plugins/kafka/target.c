/* SPDX-License-Identifier: MIT */
/* Asks the brokers for the topic that dead letters go to. The consumer asks, for it creates no topic by asking as a
 * producer would. */
#include "target.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "consumer.h"

#define ASK_MS 500
#define AGAIN_US INT64_C(60000000)
#define MISSING_US INT64_C(5000000)

/* By use: a publication makes the topic. Brokers that are late, or do not tell us, leave it open. */
enum creation { CREATION_UNKNOWN, CREATION_BY_HAND, CREATION_BY_USE };

/* What the configuration that the broker tells says of the entry. */
static enum creation creation_of(rd_kafka_event_t *event, const char *name)
{
	const rd_kafka_ConfigResource_t **resources;
	const rd_kafka_ConfigEntry_t **entries;
	size_t n_resources, n_entries;

	if (!event || rd_kafka_event_error(event))
		return CREATION_UNKNOWN;
	resources = rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &n_resources);
	if (!n_resources || rd_kafka_ConfigResource_error(resources[0]))
		return CREATION_UNKNOWN;
	entries = rd_kafka_ConfigResource_configs(resources[0], &n_entries);
	for (size_t i = 0; i < n_entries; i++) {
		const char *value = rd_kafka_ConfigEntry_value(entries[i]);

		if (value && !strcmp(rd_kafka_ConfigEntry_name(entries[i]), name))
			return strcmp(value, "true") ? CREATION_BY_HAND : CREATION_BY_USE;
	}
	return CREATION_UNKNOWN;
}

static enum creation creation_ask(struct consumer *consumer, int32_t broker)
{
	rd_kafka_ConfigResource_t *wanted;
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(consumer->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer->rk);
	rd_kafka_event_t *event;
	char name[16];
	enum creation creation;

	snprintf(name, sizeof(name), "%d", (int)broker);
	wanted = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_BROKER, name);
	rd_kafka_AdminOptions_set_request_timeout(options, ASK_MS, NULL, 0);
	rd_kafka_DescribeConfigs(consumer->rk, &wanted, 1, options, queue);
	event = rd_kafka_queue_poll(queue, ASK_MS);
	creation = creation_of(event, "auto.create.topics.enable");
	if (event)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_ConfigResource_destroy(wanted);
	return creation;
}

/* What the brokers say of the topic; *ret_broker: one that answered. */
static rd_kafka_resp_err_t topic_ask(struct consumer *consumer, int32_t *ret_broker)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer->rk, consumer->target.topic, NULL);
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t error = rd_kafka_last_error();

	if (!topic)
		return error;
	error = rd_kafka_metadata(consumer->rk, 0, topic, &metadata, ASK_MS);
	if (!error) {
		*ret_broker = metadata->orig_broker_id;
		error = metadata->topics[0].err;
		rd_kafka_metadata_destroy(metadata);
	}
	rd_kafka_topic_destroy(topic);
	return error;
}

static void missing_set(struct consumer *consumer, bool on, const char *reason)
{
	const struct qb_host *host = consumer->host;

	consumer->target.due_us = clock_now_us() + (on ? MISSING_US : AGAIN_US);
	if (consumer->target.is_missing != on)
		host->condition(host->self, QB_TARGET_MISSING, 0, on, reason);
	consumer->target.is_missing = on;
}

static void absent(struct consumer *consumer, int32_t broker, int64_t now_us)
{
	struct target *target = &consumer->target;
	char reason[512];

	switch (creation_ask(consumer, broker)) {
	case CREATION_UNKNOWN: /* not told as missing: nothing may be wrong. The next look asks again */
		fault_say(consumer, QB_DEBUG, now_us,
			"dead-letter topic does not exist, whether the brokers make it when it is used is not known target=%s",
			target->topic);
		return;
	case CREATION_BY_USE:
		fault_say(consumer, QB_INFO, now_us,
			"dead-letter topic does not exist, the brokers make it when it is used target=%s", target->topic);
		missing_set(consumer, false, NULL);
		target->topic = NULL; /* there is nothing more to be found out */
		return;
	case CREATION_BY_HAND:
		break;
	}
	snprintf(reason, sizeof(reason),
		"topic %.249s does not exist; create it, else the pipeline pauses at its first "
		"dead letter",
		target->topic);
	missing_set(consumer, true, reason);
}

void target_turn(struct consumer *consumer, int64_t now_us)
{
	struct target *target = &consumer->target;
	rd_kafka_resp_err_t error;
	char reason[512];
	int32_t broker = -1;

	if (!target->topic || now_us < target->due_us || !consumer->faults.is_connected || consumer->is_draining)
		return;
	target->due_us = now_us + MISSING_US;
	error = topic_ask(consumer, &broker);
	switch (error) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		missing_set(consumer, false, NULL);
		break;
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		absent(consumer, broker, now_us);
		break;
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
		snprintf(reason, sizeof(reason), "topic %.249s: %s; the pipeline would pause at its first dead letter",
			target->topic, rd_kafka_err2str(error));
		missing_set(consumer, true, reason);
		break;
	default: /* brokers that do not answer are told of elsewhere; a topic without leader is there */
		break;
	}
}
