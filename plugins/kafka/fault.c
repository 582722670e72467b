/* SPDX-License-Identifier: MIT */
/* What goes wrong. */
#include "fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "consumer.h"

#define SILENCE_US INT64_C(60000000)

/* What an error of the whole client means. What is in no row is worth a line and passes. */
enum fault_kind { FAULT_PASSING, FAULT_QUIET, FAULT_DOWN, FAULT_CANCELLED, FAULT_WEDGED, FAULT_FATAL };

static const struct fault_rule {
	rd_kafka_resp_err_t error;
	enum fault_kind kind;
} rules[] = {
	{RD_KAFKA_RESP_ERR__TRANSPORT, FAULT_QUIET}, /* one broker; that all are away is said by the next */
	{RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, FAULT_DOWN},
	{RD_KAFKA_RESP_ERR__RESOLVE, FAULT_DOWN},
	{RD_KAFKA_RESP_ERR__SSL, FAULT_DOWN},
	{RD_KAFKA_RESP_ERR__AUTHENTICATION, FAULT_FATAL},
	{RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, FAULT_FATAL},
	{RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, FAULT_FATAL},
	{RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, FAULT_FATAL},
	{RD_KAFKA_RESP_ERR_INVALID_GROUP_ID, FAULT_FATAL},
	{RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT, FAULT_FATAL},
	{RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL, FAULT_FATAL},
	{RD_KAFKA_RESP_ERR__FATAL, FAULT_FATAL},
	{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, FAULT_CANCELLED},
	{RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, FAULT_CANCELLED},
	{RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, FAULT_CANCELLED},
	{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, FAULT_CANCELLED},
	{RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, FAULT_CANCELLED},
	{RD_KAFKA_RESP_ERR__BAD_MSG, FAULT_WEDGED},
};

static enum fault_kind kind_of(rd_kafka_resp_err_t error)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (rules[i].error == error)
			return rules[i].kind;
	return FAULT_PASSING;
}

static bool was_said(struct faults *faults, const char *line, int64_t now_us)
{
	uint32_t what = 2166136261u;

	for (; *line; line++)
		what = (what ^ (unsigned char)*line) * 16777619u;
	for (size_t i = 0; i < FAULT_SAYINGS; i++)
		if (faults->said[i].what == what && now_us < faults->said[i].until_us)
			return true;
	faults->said[faults->next].what = what;
	faults->said[faults->next].until_us = now_us + SILENCE_US;
	faults->next = (faults->next + 1) % FAULT_SAYINGS;
	return false;
}

void fault_say(struct consumer *consumer, enum qb_level level, int64_t now_us, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (!was_said(&consumer->faults, line, now_us))
		consumer->host->log(consumer->host->self, level, "%s", line);
}

static void source_say(struct consumer *consumer, enum qb_condition what, bool *is_on, bool on, const char *reason)
{
	if (*is_on == on)
		return;
	*is_on = on;
	consumer->host->condition(consumer->host->self, what, 0, on, reason);
}

/* What the library leaves open when nobody ever answered, and no connection failed: such an answer was not Kafka's. */
static const char stranger[] =
	"something takes connections there but does not answer as Kafka does: is the port right, and security.protocol?";

/* The first word on the connection may be that there is none, so that is not a change of what was. */
static void connection_lost(struct consumer *consumer, const char *reason, bool is_all_down, int64_t now_us)
{
	struct faults *faults = &consumer->faults;
	bool is_stranger = is_all_down && !faults->is_connected && !faults->down_us && !*faults->last;
	const char *cause = is_stranger ? stranger : faults->last;
	char sentence[512];

	snprintf(sentence, sizeof(sentence), "%s%s%s", reason, *cause ? "; " : "", cause);
	if (faults->is_connected || !faults->down_us)
		consumer->host->condition(consumer->host->self, QB_CONNECTED, 0, false, sentence);
	faults->is_connected = false;
	faults->down_us = now_us;
}

void fault_turn(struct consumer *consumer)
{
	struct faults *faults = &consumer->faults;

	if (!faults->is_connected && gate_heard_us(consumer->gate) > faults->down_us)
		source_say(consumer, QB_CONNECTED, &faults->is_connected, true, NULL);
}

/* The event names no topic, but its sentence does: "Subscribed topic not available: NAME: why". */
static void topic_end(struct consumer *consumer, const char *sentence)
{
	const char *name = strstr(sentence, ": ");
	char topic[256]; /* a topic has 249 at most, and no colon */

	if (!name)
		return;
	name += 2;
	snprintf(topic, sizeof(topic), "%.*s", (int)strcspn(name, ":"), name);
	commit_end(consumer, topic);
}

static bool is_deleted(rd_kafka_resp_err_t error)
{
	return error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

enum qb_result fault_source(struct consumer *consumer, rd_kafka_event_t *event, int64_t now_us)
{
	rd_kafka_resp_err_t error = rd_kafka_event_error(event);
	char reason[512];

	if (rd_kafka_event_error_is_fatal(event))
		error = rd_kafka_fatal_error(consumer->rk, reason, sizeof(reason));
	else
		snprintf(reason, sizeof(reason), "%s", rd_kafka_event_error_string(event));
	switch (rd_kafka_event_error_is_fatal(event) ? FAULT_FATAL : kind_of(error)) {
	case FAULT_PASSING:
		fault_say(consumer, QB_WARN, now_us, "%s error=%s", reason, rd_kafka_err2name(error));
		return QB_OK;
	case FAULT_QUIET:
		snprintf(consumer->faults.last, sizeof(consumer->faults.last), "%.255s", reason);
		fault_say(consumer, QB_DEBUG, now_us, "%s error=%s", reason, rd_kafka_err2name(error));
		return QB_OK;
	case FAULT_DOWN:
		connection_lost(consumer, reason, error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, now_us);
		return QB_OK;
	case FAULT_CANCELLED:
		source_say(consumer, QB_CANCELLED, &consumer->faults.is_cancelled, true, reason);
		if (is_deleted(error))
			topic_end(consumer, reason);
		return QB_OK;
	case FAULT_WEDGED:
		wedge_source(consumer, reason, now_us);
		return QB_OK;
	case FAULT_FATAL:
		connection_lost(consumer, reason, false, now_us);
		break;
	}
	return QB_FATAL;
}

void fault_lane(
	struct consumer *consumer, struct lane *lane, rd_kafka_resp_err_t error, const char *text, int64_t now_us)
{
	const struct qb_host *host = consumer->host;

	if (kind_of(error) == FAULT_CANCELLED) {
		if (!lane->is_cancelled)
			host->condition(host->self, QB_CANCELLED, lane->id, true, text);
		lane->is_cancelled = true;
		return;
	}
	wedge_lane(consumer, lane, error, text ? text : rd_kafka_err2str(error), now_us);
}

void fault_lane_healed(struct consumer *consumer, struct lane *lane)
{
	const struct qb_host *host = consumer->host;

	wedge_end(consumer, lane);
	if (lane->is_cancelled)
		host->condition(host->self, QB_CANCELLED, lane->id, false, NULL);
	lane->is_cancelled = lane->is_healed = false;
}

void fault_assigned(struct consumer *consumer)
{
	source_say(consumer, QB_CANCELLED, &consumer->faults.is_cancelled, false, NULL);
}
