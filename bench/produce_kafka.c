/* SPDX-License-Identifier: MIT */
/* Sends the orders with librdkafka's idempotent producer, which retries by itself and never stores a record twice. */
#include "order.h"
#include "produce.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const defaults[] = {"enable.idempotence=true", "linger.ms=5", "queue.buffering.max.messages=1000000",
	"queue.buffering.max.kbytes=65536", "message.timeout.ms=300000"};

static int set_property(rd_kafka_conf_t *conf, const char *property)
{
	char error[256], name[128];
	const char *equals = strchr(property, '=');

	if (!equals || (size_t)(equals - property) >= sizeof(name)) {
		fprintf(stderr, "qbus-bench: '%s' is not NAME=VALUE\n", property);
		return -1;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(equals - property), property);
	if (rd_kafka_conf_set(conf, name, equals + 1, error, sizeof(error)) != RD_KAFKA_CONF_OK) {
		fprintf(stderr, "qbus-bench: %s\n", error);
		return -1;
	}
	return 0;
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *ctx)
{
	struct produce_result *result = ctx;

	(void)rk;
	if (!message->err) {
		result->n_confirmed++;
		return;
	}
	if (result->n_failed++ == 0)
		fprintf(stderr, "qbus-bench: the broker did not keep a message: %s\n", rd_kafka_err2str(message->err));
}

static rd_kafka_t *producer_new(const struct produce_conf *conf, struct produce_result *result)
{
	rd_kafka_conf_t *kafka = rd_kafka_conf_new();
	char error[256];
	int err = 0;

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		err |= set_property(kafka, defaults[i]);
	for (size_t i = 0; i < conf->n_properties; i++)
		err |= set_property(kafka, conf->properties[i]);
	err |= rd_kafka_conf_set(kafka, "bootstrap.servers", conf->bootstrap, error, sizeof(error)) != RD_KAFKA_CONF_OK;
	rd_kafka_conf_set_opaque(kafka, result);
	rd_kafka_conf_set_dr_msg_cb(kafka, on_report);

	rd_kafka_t *rk = err ? NULL : rd_kafka_new(RD_KAFKA_PRODUCER, kafka, error, sizeof(error));

	if (!rk)
		rd_kafka_conf_destroy(kafka);
	return rk;
}

static rd_kafka_resp_err_t send_one(
	rd_kafka_t *rk, const struct produce_conf *conf, uint64_t id, int64_t due_ns, char *text)
{
	uint64_t customer = produce_customer(conf, id);
	size_t size = sizes_of(&conf->sizes, id);
	char key[32];
	int key_len = snprintf(key, sizeof(key), "customer-%" PRIu64, customer);

	order_write(text, size, id, customer, due_ns);
	return rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(conf->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
		RD_KAFKA_V_KEY(key, (size_t)key_len), RD_KAFKA_V_VALUE(text, size), RD_KAFKA_V_END);
}

static int send_all(
	rd_kafka_t *rk, const struct produce_conf *conf, struct pace *pace, const struct produce_result *result)
{
	char *text = malloc(conf->sizes.largest + 1);
	uint64_t n_sent = 0;
	int err = text ? 0 : -1;

	while (err == 0 && n_sent < conf->n_messages && result->n_failed == 0) {
		if (!pace_allows(pace, n_sent, 10)) {
			rd_kafka_poll(rk, 0);
			pace_tell(pace, result->n_confirmed);
			if (pace->is_over)
				break;
			continue;
		}
		rd_kafka_resp_err_t sent = send_one(rk, conf, conf->first + n_sent, pace_due_ns(pace, n_sent), text);

		if (sent == RD_KAFKA_RESP_ERR_NO_ERROR)
			n_sent++;
		else if (sent != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			err = -1;
		if (err)
			fprintf(stderr, "qbus-bench: cannot send: %s\n", rd_kafka_err2str(sent));
		rd_kafka_poll(rk, sent == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 100 : 0);
	}
	free(text);
	return err;
}

/* -1 after a sentence: no broker answers. What else cannot be found out here is told by the sending. */
static int connect_to(rd_kafka_t *rk, const struct produce_conf *conf)
{
	enum { PATIENCE_MS = 20000 };
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, conf->topic, NULL);
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (handle) {
		err = rd_kafka_metadata(rk, 0, handle, &metadata, PATIENCE_MS);
		rd_kafka_topic_destroy(handle);
		if (!err)
			rd_kafka_metadata_destroy(metadata);
	}
	if (err != RD_KAFKA_RESP_ERR__TRANSPORT && err != RD_KAFKA_RESP_ERR__TIMED_OUT)
		return 0;
	fprintf(stderr, "qbus-bench: no broker answers at %s: %s\n", conf->bootstrap, rd_kafka_err2str(err));
	return -1;
}

int produce_kafka(const struct produce_conf *conf, struct pace *pace, struct produce_result *ret_result)
{
	rd_kafka_t *rk = producer_new(conf, ret_result);

	if (!rk)
		return -1;

	int err = connect_to(rk, conf);

	pace_begin(pace);
	if (!err)
		err = send_all(rk, conf, pace, ret_result);

	while (rd_kafka_outq_len(rk) > 0)
		rd_kafka_poll(rk, 100);
	rd_kafka_destroy(rk);
	return err;
}
