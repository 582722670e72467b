/* SPDX-License-Identifier: MIT */
/* Prepares what is to be read: `qbus-bench produce` does the sending. */
#include "amqp_link.h"
#include "run.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <stdio.h>

#define FOR_EVER "1000000000000"

enum { TIMEOUT_MS = 20000, LOOK_MS = 100, FORGET_MS = 5000 };

static int produce(const struct run_conf *conf, uint64_t n_messages, uint64_t first)
{
	char messages[24], keys[24], from[24];
	const char *const kafka[] = {conf->bench, "produce", "--bootstrap", conf->bootstrap, "--topic", conf->topic,
		"--messages", messages, "--size", conf->size, "--keys", keys, "--first", from, NULL};
	const char *const amqp[] = {conf->bench, "produce", "--amqp-url", conf->url, "--queue", conf->queue, "--messages",
		messages, "--size", conf->size, "--keys", keys, NULL};
	struct child child;

	snprintf(messages, sizeof(messages), "%" PRIu64, n_messages);
	snprintf(keys, sizeof(keys), "%" PRIu64, conf->n_keys);
	snprintf(from, sizeof(from), "%" PRIu64, first);
	if (child_start(&child, conf->bootstrap ? kafka : amqp, conf->log))
		return -1;
	if (child_wait(&child) == 0)
		return 0;
	fprintf(stderr, "qbus-bench: the producer has failed, or was told to stop\n");
	return -1;
}

/* Each message leaves as soon as it is due: waiting for company (linger) is not what is measured. */
int run_feed(const struct run_conf *conf, struct child *child)
{
	char keys[24], rate[24];
	const char *const kafka[] = {conf->bench, "produce", "--bootstrap", conf->bootstrap, "--topic", conf->topic,
		"--messages", FOR_EVER, "--size", conf->size, "--keys", keys, "--rate", rate, "-X", "linger.ms=0", NULL};
	const char *const amqp[] = {conf->bench, "produce", "--amqp-url", conf->url, "--queue", conf->queue, "--messages",
		FOR_EVER, "--size", conf->size, "--keys", keys, "--rate", rate, NULL};

	snprintf(keys, sizeof(keys), "%" PRIu64, conf->n_keys);
	snprintf(rate, sizeof(rate), "%" PRIu64, conf->rate);
	return child_start(child, conf->bootstrap ? kafka : amqp, conf->log);
}

/* ---- Kafka ---- */

/* Waits for the outcome; a topic that is there already is fine. */
static int topic_outcome(rd_kafka_queue_t *queue, const char *topic)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
	const rd_kafka_CreateTopics_result_t *result = event ? rd_kafka_event_CreateTopics_result(event) : NULL;
	const char *reason = event ? rd_kafka_event_error_string(event) : "the broker does not answer";
	rd_kafka_resp_err_t err = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
	size_t n = 0;

	if (!err && result) {
		const rd_kafka_topic_result_t *const *topics = rd_kafka_CreateTopics_result_topics(result, &n);

		err = rd_kafka_topic_result_error(topics[0]);
		reason = rd_kafka_topic_result_error_string(topics[0]);
	}
	if (err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		err = RD_KAFKA_RESP_ERR_NO_ERROR;
	if (err)
		fprintf(stderr, "qbus-bench: cannot make topic %s: %s\n", topic, reason);
	rd_kafka_event_destroy(event);
	return err ? -1 : 0;
}

static int topic_make(rd_kafka_t *rk, const struct run_conf *conf)
{
	char error[256];
	rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(conf->topic, (int)conf->n_partitions, -1, error, sizeof(error));
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	int err = -1;

	if (topic) {
		rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
		err = topic_outcome(queue, conf->topic);
		rd_kafka_NewTopic_destroy(topic);
	} else {
		fprintf(stderr, "qbus-bench: %s\n", error);
	}
	rd_kafka_queue_destroy(queue);
	return err;
}

/* Where the topic's partitions end, in *ret_ends, and how many messages they hold. */
static rd_kafka_resp_err_t topic_ends(
	rd_kafka_t *rk, const char *topic, rd_kafka_topic_partition_list_t *ret_ends, uint64_t *ret_n)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
	rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, handle, &metadata, TIMEOUT_MS);
	int n_partitions = 0;

	if (!err) {
		n_partitions = metadata->topics[0].partition_cnt;
		err = metadata->topics[0].err;
		rd_kafka_metadata_destroy(metadata);
	}
	*ret_n = 0;
	for (int i = 0; i < n_partitions && !err; i++) {
		int64_t low, high;

		err = rd_kafka_query_watermark_offsets(rk, topic, i, &low, &high, TIMEOUT_MS);
		if (err)
			break;
		*ret_n += (uint64_t)(high - low);
		rd_kafka_topic_partition_list_add(ret_ends, topic, i)->offset = high;
	}
	rd_kafka_topic_destroy(handle);
	return err;
}

/* A topic that was just made has no leaders for a moment. NULL after a sentence. */
static rd_kafka_topic_partition_list_t *topic_look(rd_kafka_t *rk, const char *topic, uint64_t *ret_n)
{
	for (int waited_ms = 0;; waited_ms += LOOK_MS) {
		rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new(0);
		rd_kafka_resp_err_t err = topic_ends(rk, topic, ends, ret_n);

		if (!err)
			return ends;
		rd_kafka_topic_partition_list_destroy(ends);
		if (waited_ms >= TIMEOUT_MS) {
			fprintf(stderr, "qbus-bench: cannot look into topic %s: %s\n", topic, rd_kafka_err2str(err));
			return NULL;
		}
		poll(NULL, 0, LOOK_MS);
	}
}

/* group: NULL, or the one that it may speak for. NULL when there is no memory. */
static rd_kafka_t *client_new(const struct run_conf *conf, const char *group)
{
	rd_kafka_conf_t *kafka = rd_kafka_conf_new();
	char error[256];

	rd_kafka_conf_set(kafka, "bootstrap.servers", conf->bootstrap, error, sizeof(error));
	if (group)
		rd_kafka_conf_set(kafka, "group.id", group, error, sizeof(error));

	rd_kafka_t *rk = rd_kafka_new(group ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, kafka, error, sizeof(error));

	if (!rk)
		rd_kafka_conf_destroy(kafka);
	return rk;
}

/* group: NULL, or whose offsets are set to the topic's end. */
static int topic_prepare(const struct run_conf *conf, const char *group, uint64_t *ret_n)
{
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_t *rk = client_new(conf, group);

	if (!rk)
		return -1;

	/* the embedded one has its topic from the beginning */
	rd_kafka_topic_partition_list_t *ends =
		!conf->embedded && topic_make(rk, conf) ? NULL : topic_look(rk, conf->topic, ret_n);

	if (ends && group && (err = rd_kafka_commit(rk, ends, 0)))
		fprintf(stderr, "qbus-bench: cannot set the offsets of group %s: %s\n", group, rd_kafka_err2str(err));

	int result = ends && !err ? 0 : -1;

	if (ends)
		rd_kafka_topic_partition_list_destroy(ends);
	rd_kafka_destroy(rk);
	return result;
}

static int load_kafka(const struct run_conf *conf)
{
	uint64_t n = 0;

	if (topic_prepare(conf, NULL, &n))
		return -1;
	return n >= run_n_needed(conf) ? 0 : produce(conf, run_n_needed(conf) - n, n + 1);
}

/* ---- RabbitMQ ---- */

/* A quorum queue: on classic queues the broker is the limit and not the consumer. */
static int queue_make(amqp_connection_state_t conn, const char *queue)
{
	amqp_table_entry_t type = {
		.key = amqp_cstring_bytes("x-queue-type"),
		.value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("quorum")},
	};
	amqp_table_t arguments = {.num_entries = 1, .entries = &type};

	amqp_queue_declare(conn, AMQP_LINK_CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0, arguments);
	return amqp_link_check("declare the queue", amqp_get_rpc_reply(conn));
}

static int load_amqp(const struct run_conf *conf, uint64_t n_messages)
{
	amqp_connection_state_t conn = amqp_link_open(conf->url);

	if (!conn)
		return -1;

	int err = queue_make(conn, conf->queue);

	if (!err) {
		amqp_queue_purge(conn, AMQP_LINK_CHANNEL, amqp_cstring_bytes(conf->queue));
		err = amqp_link_check("empty the queue", amqp_get_rpc_reply(conn));
	}
	amqp_link_close(conn);
	return err ? err : produce(conf, n_messages, 1);
}

int run_load(const struct run_conf *conf, bool is_first)
{
	if (conf->is_generated)
		return 0;
	if (conf->bootstrap)
		return is_first ? load_kafka(conf) : 0;
	return is_first ? 0 : load_amqp(conf, run_n_needed(conf));
}

int run_live(const struct run_conf *conf, const char *group)
{
	uint64_t n;

	if (!conf->bootstrap)
		return load_amqp(conf, 1);
	return topic_prepare(conf, group, &n) ? -1 : produce(conf, 1, 1);
}

static rd_kafka_resp_err_t group_delete(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *group)
{
	rd_kafka_DeleteGroup_t *old = rd_kafka_DeleteGroup_new(group);

	rd_kafka_DeleteGroups(rk, &old, 1, NULL, queue);
	rd_kafka_DeleteGroup_destroy(old);

	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, FORGET_MS);
	const rd_kafka_DeleteGroups_result_t *result = event ? rd_kafka_event_DeleteGroups_result(event) : NULL;
	rd_kafka_resp_err_t err = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
	size_t n = 0;

	if (!err && result) {
		const rd_kafka_group_result_t *const *groups = rd_kafka_DeleteGroups_result_groups(result, &n);
		const rd_kafka_error_t *error = n > 0 ? rd_kafka_group_result_error(groups[0]) : NULL;

		err = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
	}
	rd_kafka_event_destroy(event);
	return err;
}

void run_forget(const struct run_conf *conf, const char *group)
{
	rd_kafka_t *rk = conf->bootstrap && !conf->embedded ? client_new(conf, NULL) : NULL;

	if (!rk)
		return;

	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);

	/* The broker hears of the leaving while its member ends. */
	for (int waited_ms = 0; waited_ms < FORGET_MS; waited_ms += LOOK_MS) {
		if (group_delete(rk, queue, group) != RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP)
			break;
		poll(NULL, 0, LOOK_MS);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(rk);
}
