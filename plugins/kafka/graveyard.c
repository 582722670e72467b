/* SPDX-License-Identifier: MIT */
/* Dead letters in a topic: read from the beginning to where it ends now, one partition after another so that each look
 * shows the same order, by a client that joins no group and commits nothing. Kafka removes from the front of a
 * partition only, so what is to go is gone as far as nothing older stays. */
#include "graveyard.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "settings.h"

#define ASK_MS 10000
#define POLL_MS 200
#define REMOVE_MS 30000
#define SILENCE_US INT64_C(30000000)

struct plot {
	int64_t begin, end; /* first offset that is shown, and first that is not */
	int64_t before;     /* to be removed: what stands before this offset; -1: nothing */
	bool keeps;         /* a letter stays: those behind it must too */
};

struct yard {
	const struct qb_source_conf *conf;
	char *topic;
	rd_kafka_t *reader, *writer; /* writer: NULL until it is needed */
	struct plot *plots;          /* by partition */
	int n_plots;
	int at;                     /* the plot that is read; it is assigned */
	rd_kafka_message_t *letter; /* shown last; NULL: none */
	bool is_removed;            /* it is */
	int n_stay;
	struct qb_header *headers;
	rd_kafka_resp_err_t report; /* of the publication */
	bool is_reported;
};

static int fail(char ret_error[QB_GRAVE_ERROR], const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(char ret_error[QB_GRAVE_ERROR], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ret_error, QB_GRAVE_ERROR, format, args);
	va_end(args);
	return -EIO;
}

/* ---- open ---- */

static int partitions_count(struct yard *yard, char ret_error[QB_GRAVE_ERROR])
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(yard->reader, yard->topic, NULL);
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t error = rd_kafka_metadata(yard->reader, 0, topic, &metadata, ASK_MS);

	if (!error)
		error = metadata->topics[0].err;
	if (!error)
		yard->n_plots = metadata->topics[0].partition_cnt;
	if (metadata)
		rd_kafka_metadata_destroy(metadata);
	rd_kafka_topic_destroy(topic);
	return error ? fail(ret_error, "topic %s cannot be found: %s", yard->topic, rd_kafka_err2str(error)) : 0;
}

/* Goes on with the first partition from `at` on that has something. */
static int partition_assign(struct yard *yard, char ret_error[QB_GRAVE_ERROR])
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t error;

	while (yard->at < yard->n_plots && yard->plots[yard->at].begin >= yard->plots[yard->at].end)
		yard->at++;
	if (yard->at == yard->n_plots)
		return 0;
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, yard->topic, yard->at)->offset = yard->plots[yard->at].begin;
	error = rd_kafka_assign(yard->reader, list);
	rd_kafka_topic_partition_list_destroy(list);
	return error ? fail(ret_error, "topic %s cannot be read: %s", yard->topic, rd_kafka_err2str(error)) : 0;
}

static int partitions_begin(struct yard *yard, char ret_error[QB_GRAVE_ERROR])
{
	rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;

	yard->plots = calloc((size_t)yard->n_plots, sizeof(*yard->plots));
	if (!yard->plots)
		abort();
	for (int i = 0; i < yard->n_plots && !error; i++) {
		struct plot *plot = &yard->plots[i];

		plot->before = -1;
		error = rd_kafka_query_watermark_offsets(yard->reader, yard->topic, i, &plot->begin, &plot->end, ASK_MS);
	}
	if (error)
		return fail(ret_error, "topic %s cannot be read: %s", yard->topic, rd_kafka_err2str(error));
	return partition_assign(yard, ret_error);
}

static rd_kafka_t *client_new(rd_kafka_type_t type, rd_kafka_conf_t *settings, char ret_error[QB_GRAVE_ERROR])
{
	rd_kafka_conf_set(settings, "log.queue", "false", NULL, 0);

	rd_kafka_t *rk = rd_kafka_new(type, settings, ret_error, QB_GRAVE_ERROR);

	if (!rk)
		rd_kafka_conf_destroy(settings);
	return rk;
}

static void yard_free(struct yard *yard)
{
	if (yard->letter)
		rd_kafka_message_destroy(yard->letter);
	if (yard->writer)
		rd_kafka_destroy(yard->writer);
	if (yard->reader)
		rd_kafka_destroy(yard->reader);
	free(yard->headers);
	free(yard->plots);
	free(yard->topic);
	free(yard);
}

int graveyard_open(const struct qb_grave_conf *conf, void **ret_yard, char ret_error[QB_GRAVE_ERROR])
{
	const char *topic = conf->queue ? conf->queue : conf->target;
	rd_kafka_conf_t *settings;
	struct yard *yard;
	int status;

	if (options_is_embedded(conf->source))
		return fail(ret_error, "the embedded cluster lives in another process and cannot be read");
	if (!topic)
		return fail(ret_error, "the pipeline has no dead_letter.topic");
	yard = calloc(1, sizeof(*yard));
	if (!yard || !(yard->topic = strdup(topic)))
		abort();
	yard->conf = conf->source;
	settings = rd_kafka_conf_new();
	settings_consumer(settings, conf->source, NULL, NULL);
	rd_kafka_conf_set(settings, "enable.partition.eof", "true", NULL, 0);
	rd_kafka_conf_set(settings, "auto.offset.reset", "earliest", NULL, 0);
	yard->reader = client_new(RD_KAFKA_CONSUMER, settings, ret_error);
	if (yard->reader)
		rd_kafka_poll_set_consumer(yard->reader);
	status = yard->reader ? partitions_count(yard, ret_error) : -EINVAL;
	if (status == 0)
		status = partitions_begin(yard, ret_error);
	if (status < 0)
		yard_free(yard);
	else
		*ret_yard = yard;
	return status;
}

/* ---- letters ---- */

static void letter_drop(struct yard *yard)
{
	if (!yard->letter)
		return;
	if (!yard->is_removed)
		yard->plots[yard->letter->partition].keeps = true;
	rd_kafka_message_destroy(yard->letter);
	yard->letter = NULL;
	yard->is_removed = false;
}

static void headers_read(struct yard *yard, struct qb_message *letter)
{
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t size, n;

	if (rd_kafka_message_headers(yard->letter, &headers))
		return;
	n = rd_kafka_header_cnt(headers);
	free(yard->headers);
	yard->headers = calloc(n + 1, sizeof(*yard->headers));
	if (!yard->headers)
		abort();
	for (size_t i = 0; i < n && !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++)
		yard->headers[letter->n_headers++] = (struct qb_header){{name, strlen(name)}, {value, size}};
	letter->headers = yard->headers;
}

static void letter_show(struct yard *yard, struct qb_message *ret_letter)
{
	const rd_kafka_message_t *from = yard->letter;

	*ret_letter = (struct qb_message){.receipt = from->offset,
		.timestamp_ms = rd_kafka_message_timestamp(from, NULL),
		.partition = from->partition,
		.source = {yard->topic, strlen(yard->topic)},
		.key = {from->key, from->key_len},
		.body = {from->payload, from->len}};
	headers_read(yard, ret_letter);
}

/* Takes what came; true: it is a letter to be shown. *ret_end: nothing of the partition is left. */
static bool message_take(struct yard *yard, rd_kafka_message_t *message, bool *ret_end)
{
	const struct plot *plot = &yard->plots[yard->at];
	bool is_here = message->partition == yard->at;
	bool is_letter = is_here && !message->err && message->offset < plot->end;

	*ret_end = is_here && (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF || message->offset >= plot->end - 1);
	if (is_letter)
		yard->letter = message;
	else
		rd_kafka_message_destroy(message);
	return is_letter;
}

int graveyard_next(void *self, struct qb_message *ret_letter, char ret_error[QB_GRAVE_ERROR])
{
	struct yard *yard = self;
	int64_t until_us = clock_now_us() + SILENCE_US;

	letter_drop(yard);
	while (yard->at < yard->n_plots) {
		bool is_letter, is_end = false;
		rd_kafka_message_t *message = rd_kafka_consumer_poll(yard->reader, POLL_MS);

		if (message && message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
			fail(ret_error, "topic %s: %s", yard->topic, rd_kafka_message_errstr(message));
			rd_kafka_message_destroy(message);
			return -EIO;
		}
		is_letter = message && message_take(yard, message, &is_end);
		yard->at += is_end;
		if (is_end && partition_assign(yard, ret_error) < 0)
			return -EIO;
		if (is_letter) {
			letter_show(yard, ret_letter);
			return 1;
		}
		if (clock_now_us() > until_us)
			return fail(ret_error, "topic %s: the broker is silent", yard->topic);
	}
	return 0;
}

/* ---- again ---- */

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *self)
{
	struct yard *yard = self;

	(void)rk;
	yard->report = message->err;
	yard->is_reported = true;
}

static int writer_open(struct yard *yard, char ret_error[QB_GRAVE_ERROR])
{
	rd_kafka_conf_t *settings = rd_kafka_conf_new();

	settings_producer(settings, yard->conf, NULL, NULL);
	rd_kafka_conf_set_dr_msg_cb(settings, on_report);
	rd_kafka_conf_set_opaque(settings, yard);
	yard->writer = client_new(RD_KAFKA_PRODUCER, settings, ret_error);
	return yard->writer ? 0 : -EINVAL;
}

/* TOPIC/PARTITION/OFFSET; a topic has no slash. */
static int origin_read(const char *origin, char *ret_topic, size_t size, int32_t *ret_partition)
{
	const char *slash = origin ? strchr(origin, '/') : NULL;
	char *end;

	if (!slash || slash == origin || (size_t)(slash - origin) >= size)
		return -EINVAL;
	snprintf(ret_topic, size, "%.*s", (int)(slash - origin), origin);
	*ret_partition = (int32_t)strtol(slash + 1, &end, 10);
	return end > slash + 1 && *end == '/' && *ret_partition >= 0 ? 0 : -EINVAL;
}

int graveyard_again(void *self, const struct qb_outgoing *copy, const char *origin, char ret_error[QB_GRAVE_ERROR])
{
	struct yard *yard = self;
	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t error;
	int32_t partition;
	char topic[256];

	if (origin_read(origin, topic, sizeof(topic), &partition) < 0)
		return fail(ret_error, "x-qbus-origin names no topic and partition");
	if (!yard->writer && writer_open(yard, ret_error) < 0)
		return -EINVAL;
	headers = rd_kafka_headers_new(copy->n_headers);
	for (size_t i = 0; i < copy->n_headers; i++)
		rd_kafka_header_add(headers, copy->headers[i].name.data, (ssize_t)copy->headers[i].name.len,
			copy->headers[i].value.data, (ssize_t)copy->headers[i].value.len);
	yard->is_reported = false;
	error = rd_kafka_producev(yard->writer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(copy->key.data, copy->key.len),
		RD_KAFKA_V_VALUE((void *)(uintptr_t)copy->body.data, copy->body.len), RD_KAFKA_V_HEADERS(headers),
		RD_KAFKA_V_END);
	if (error)
		rd_kafka_headers_destroy(headers);
	while (!error && !yard->is_reported)
		rd_kafka_poll(yard->writer, POLL_MS);
	if (!error)
		error = yard->report;
	return error ? fail(ret_error, "topic %s: %s", topic, rd_kafka_err2str(error)) : 0;
}

/* ---- removing ---- */

int graveyard_remove(void *self, char ret_error[QB_GRAVE_ERROR])
{
	struct yard *yard = self;
	struct plot *plot = &yard->plots[yard->letter->partition];

	(void)ret_error;
	if (plot->keeps)
		yard->n_stay++;
	else
		plot->before = yard->letter->offset + 1;
	yard->is_removed = true;
	return 0;
}

static rd_kafka_topic_partition_list_t *removals_list(const struct yard *yard)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(yard->n_plots);

	for (int i = 0; i < yard->n_plots; i++)
		if (yard->plots[i].before >= 0)
			rd_kafka_topic_partition_list_add(list, yard->topic, i)->offset = yard->plots[i].before;
	return list;
}

/* What the broker says of all partitions together: the first thing that is wrong. */
static rd_kafka_resp_err_t removals_judge(rd_kafka_event_t *event)
{
	const rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t error = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;

	if (error)
		return error;
	list = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
	for (int i = 0; i < list->cnt && !error; i++)
		error = list->elems[i].err;
	return error;
}

static int removals_do(struct yard *yard, char ret_error[QB_GRAVE_ERROR])
{
	rd_kafka_topic_partition_list_t *list = removals_list(yard);
	rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (list->cnt) {
		rd_kafka_DeleteRecords_t *wish = rd_kafka_DeleteRecords_new(list);
		rd_kafka_queue_t *queue = rd_kafka_queue_new(yard->reader);
		rd_kafka_event_t *event;

		rd_kafka_DeleteRecords(yard->reader, &wish, 1, NULL, queue);
		event = rd_kafka_queue_poll(queue, REMOVE_MS);
		error = removals_judge(event);
		if (event)
			rd_kafka_event_destroy(event);
		rd_kafka_queue_destroy(queue);
		rd_kafka_DeleteRecords_destroy(wish);
	}
	rd_kafka_topic_partition_list_destroy(list);
	return error ? fail(ret_error, "topic %s keeps its messages: %s", yard->topic, rd_kafka_err2str(error)) : 0;
}

int graveyard_close(void *self, char ret_error[QB_GRAVE_ERROR])
{
	struct yard *yard = self;
	int status, n_stay = yard->n_stay;

	letter_drop(yard);
	status = removals_do(yard, ret_error);
	yard_free(yard);
	return status < 0 ? status : n_stay;
}
