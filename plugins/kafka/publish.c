/* SPDX-License-Identifier: MIT */
/* Publishes dead letters with confirmation of all replicas. */
#include "publish.h"

#include <errno.h>
#include <stdio.h>

#include "clock.h"
#include "consumer.h"

static int status_of(rd_kafka_resp_err_t error)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		return 0;
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
		return -EMSGSIZE;
	case RD_KAFKA_RESP_ERR__QUEUE_FULL:
		return -EAGAIN;
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
		return -ETIMEDOUT;
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		return -ENOENT;
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
		return -EACCES;
	default:
		return -EIO;
	}
}

static int producer_open(struct consumer *consumer, char *ret_error, size_t size)
{
	struct publisher *publisher = &consumer->publisher;
	rd_kafka_conf_t *settings = rd_kafka_conf_new();
	uint64_t one = 1;

	settings_producer(settings, consumer->conf, NULL, NULL);
	if (consumer->embedded)
		rd_kafka_conf_set(settings, "bootstrap.servers", embedded_servers(consumer->embedded), NULL, 0);
	rd_kafka_conf_set_events(settings, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
	publisher->rk = rd_kafka_new(RD_KAFKA_PRODUCER, settings, ret_error, size);
	if (!publisher->rk) {
		rd_kafka_conf_destroy(settings);
		return -EINVAL;
	}
	publisher->events = rd_kafka_queue_get_main(publisher->rk);
	rd_kafka_set_log_queue(publisher->rk, publisher->events);
	rd_kafka_queue_io_event_enable(publisher->events, consumer->events_fd, &one, sizeof(one));
	return 0;
}

static rd_kafka_headers_t *headers_of(const struct qb_outgoing *message)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(message->n_headers);

	for (size_t i = 0; i < message->n_headers; i++)
		rd_kafka_header_add(headers, message->headers[i].name.data, (ssize_t)message->headers[i].name.len,
			message->headers[i].value.data, (ssize_t)message->headers[i].value.len);
	return headers;
}

void publish_send(struct consumer *consumer, const struct qb_outgoing *message, uint64_t token)
{
	struct publisher *publisher = &consumer->publisher;
	const struct qb_host *host = consumer->host;
	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t error;
	char reason[512];

	if (!publisher->rk && producer_open(consumer, reason, sizeof(reason)) < 0) {
		host->published(host->self, token, -EIO, reason);
		return;
	}
	headers = headers_of(message);
	error = rd_kafka_producev(publisher->rk, RD_KAFKA_V_TOPIC(message->target),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(message->key.data, message->key.len),
		RD_KAFKA_V_VALUE((void *)(uintptr_t)message->body.data, message->body.len), RD_KAFKA_V_HEADERS(headers),
		RD_KAFKA_V_OPAQUE((void *)(uintptr_t)token), RD_KAFKA_V_END);
	if (error) {
		rd_kafka_headers_destroy(headers);
		host->published(host->self, token, status_of(error), rd_kafka_err2str(error));
	} else {
		publisher->n_waiting++;
	}
}

static void reports_serve(struct consumer *consumer, rd_kafka_event_t *event)
{
	const struct qb_host *host = consumer->host;
	const rd_kafka_message_t *message;

	while ((message = rd_kafka_event_message_next(event))) {
		consumer->publisher.n_waiting--;
		host->published(host->self, (uintptr_t)message->_private, status_of(message->err),
			message->err ? rd_kafka_err2str(message->err) : NULL);
	}
}

void publish_serve(struct consumer *consumer, int64_t now_us)
{
	struct publisher *publisher = &consumer->publisher;
	rd_kafka_event_t *event;

	while (publisher->rk && (event = rd_kafka_queue_poll(publisher->events, 0))) {
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
			reports_serve(consumer, event);
		else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
			fault_say(consumer, QB_WARN, now_us, "producer: %s", rd_kafka_event_error_string(event));
		rd_kafka_event_destroy(event);
	}
}

struct leave *publish_end(struct consumer *consumer, int64_t until_us)
{
	struct publisher *publisher = &consumer->publisher;

	if (!publisher->rk)
		return NULL;
	while (publisher->n_waiting && clock_now_us() < until_us) {
		consumer_wait(consumer, 20);
		lanes_wake(&consumer->lanes, clock_now_us()); /* what is left in the pipe would end every wait at once */
		publish_serve(consumer, clock_now_us());
	}
	rd_kafka_purge(publisher->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
	publish_serve(consumer, clock_now_us());
	rd_kafka_queue_io_event_enable(publisher->events, -1, NULL, 0);
	return leave_start(publisher->rk, publisher->events, NULL, true);
}
