/* SPDX-License-Identifier: MIT */
/* Reads a topic with librdkafka as fast as it goes: one consumer queue, batches, offsets committed by the library. */
#include "plain.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

/* The library waits until a batch is full: of a live load no longer than this. */
enum { BATCH = 1000, WAIT_MS = 100, LIVE_WAIT_MS = 1 };

static int set_property(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char error[256];

	if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) == RD_KAFKA_CONF_OK)
		return 0;
	fprintf(stderr, "qbus-bench: %s\n", error);
	return -1;
}

static int set_pair(rd_kafka_conf_t *conf, const char *property)
{
	char name[128];
	const char *equals = strchr(property, '=');

	if (!equals || (size_t)(equals - property) >= sizeof(name)) {
		fprintf(stderr, "qbus-bench: '%s' is not NAME=VALUE\n", property);
		return -1;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(equals - property), property);
	return set_property(conf, name, equals + 1);
}

static rd_kafka_t *consumer_new(const struct plain_conf *conf)
{
	rd_kafka_conf_t *kafka = rd_kafka_conf_new();
	char error[256];
	int err = set_property(kafka, "bootstrap.servers", conf->bootstrap);

	err |= set_property(kafka, "group.id", conf->group);
	err |= set_property(kafka, "auto.offset.reset", "earliest");
	for (size_t i = 0; i < conf->n_properties; i++)
		err |= set_pair(kafka, conf->properties[i]);

	rd_kafka_t *rk = err ? NULL : rd_kafka_new(RD_KAFKA_CONSUMER, kafka, error, sizeof(error));

	if (!rk)
		rd_kafka_conf_destroy(kafka);
	else
		rd_kafka_poll_set_consumer(rk);
	return rk;
}

static int subscribe(rd_kafka_t *rk, const char *topic)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);

	rd_kafka_resp_err_t err = rd_kafka_subscribe(rk, topics);

	rd_kafka_topic_partition_list_destroy(topics);
	if (err)
		fprintf(stderr, "qbus-bench: cannot read %s: %s\n", topic, rd_kafka_err2str(err));
	return err ? -1 : 0;
}

static void consume(rd_kafka_queue_t *queue, struct tally *tally)
{
	rd_kafka_message_t *batch[BATCH];
	ssize_t n = rd_kafka_consume_batch_queue(queue, tally->is_live ? LIVE_WAIT_MS : WAIT_MS, batch, BATCH);
	uint64_t n_messages = 0;

	for (ssize_t i = 0; i < n; i++) {
		if (!batch[i]->err && tally->is_live)
			tally_add_live(tally, batch[i]->payload, batch[i]->len);
		else if (!batch[i]->err)
			n_messages++;
		else
			fprintf(stderr, "qbus-bench: %s\n", rd_kafka_message_errstr(batch[i]));
		rd_kafka_message_destroy(batch[i]);
	}
	tally_add(tally, n_messages);
}

int plain_kafka(const struct plain_conf *conf, struct tally *tally)
{
	rd_kafka_t *rk = consumer_new(conf);

	if (!rk)
		return -1;

	int err = subscribe(rk, conf->topic);
	rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);

	while (!err && !plain_is_over())
		consume(queue, tally);
	rd_kafka_queue_destroy(queue);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return err;
}
