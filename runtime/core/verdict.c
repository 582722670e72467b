/* SPDX-License-Identifier: MIT */
/* What becomes of a message that failed: another attempt, or its dead letter. */
#include "core/verdict.h"
#include "core/retry.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* VERDICT_PAUSE_US, VERDICT_PAUSE_MAX_US: how long a refused dead letter waits, and with it the pipeline, first and at
 * most. VERDICT_DELAY_MAX_US: the longest delay that a handler can ask for. VERDICT_PROBES: how often a message may
 * fail uncharged while the circuit is not closed. */
#define VERDICT_DELAY_MAX_US (INT64_C(86400) * 7 * 1000000)
enum {
	VERDICT_PAUSE_US = 2000000,
	VERDICT_PAUSE_MAX_US = 15000000,
	VERDICT_HEADERS_FIRST = 64,
	VERDICT_FACTS = 7,
	VERDICT_ERROR_MAX = 1024,
	VERDICT_ORIGIN_BYTES = 768, /* exchange and routing key have 255 at most */
	VERDICT_PROBES = 3,
	VERDICT_MORE = 3 /* facts of a line beside those that all have */
};

static const char *const reason_names[N_REASONS] = {
	[REASON_EXCEPTION] = "exception",
	[REASON_DEADLINE] = "deadline",
	[REASON_CRASH] = "crash",
	[REASON_MEMORY] = "memory",
	[REASON_REJECTED] = "rejected",
	[REASON_OVERSIZE] = "oversize",
	[REASON_EXPIRED] = "expired",
	[REASON_UNREADABLE] = "unreadable",
	[REASON_OTHER] = "other",
};

const char *pipeline_reason_name(enum pipeline_reason reason)
{
	return reason_names[reason];
}

static const char *verdict_or_empty(const char *text)
{
	return text ? text : "";
}

static void verdict_say(const struct pipeline *pipeline, enum log_level level, const char *sentence,
	const struct log_fact more[VERDICT_MORE], const struct entry *entry, const struct verdict_cause *cause)
{
	const struct lane *lane = entry->lane;
	const struct log_fact facts[] = {
		more[0],
		more[1],
		more[2],
		log_word("reason", reason_names[cause->reason]),
		log_number("attempt", entry->attempt),
		log_word("source", lane->source),
		log_number("partition", lane->partition),
		log_number("receipt", entry->receipt),
		log_text("exit", cause->exit),
		log_text("error", cause->error),
	};
	log_tell(level, pipeline->conf->name, sentence, facts, sizeof facts / sizeof facts[0]);
}

/* Each kind of failure every ten seconds, all of them for those who debug: an outage fails thousands a second. */
static enum log_level verdict_log_level(
	struct pipeline *pipeline, const struct verdict_cause *cause, int64_t now_us, uint64_t *ret_hidden)
{
	uint64_t kind = saying_kind(verdict_or_empty(cause->error)) + cause->reason;
	return saying_is_due(&pipeline->failures, kind, now_us, ret_hidden) ? LOG_WARN : LOG_DEBUG;
}

void verdict_failed(
	struct pipeline *pipeline, struct entry *entry, const struct verdict_cause *cause, int64_t delay_us, int64_t now_us)
{
	const struct pipeline_conf *conf = pipeline->conf;
	if (entry->state == ENTRY_ORPHAN) {
		ledger_settle(&pipeline->ledger, entry);
		return;
	}
	pipeline->n_failed++;
	/* While the circuit is open it is not the message's fault, unless the probes always come back to this one. */
	bool is_charged = pipeline->breaker.state == BREAKER_CLOSED || ++entry->n_probed > VERDICT_PROBES;
	if (is_charged && conf->max_attempts && entry->attempt >= conf->max_attempts) {
		verdict_bury(pipeline, entry, cause);
		return;
	}
	if (conf->max_age_us && now_us - entry->admitted_us >= conf->max_age_us) {
		verdict_bury(pipeline, entry, &(struct verdict_cause){REASON_EXPIRED, cause->error, cause->exit});
		return;
	}
	if (delay_us > VERDICT_DELAY_MAX_US)
		delay_us = VERDICT_DELAY_MAX_US;
	if (delay_us < 0)
		delay_us = retry_delay(&conf->backoff, entry->attempt, &pipeline->dispatcher->seed);
	uint64_t n_hidden = 0;
	enum log_level level = verdict_log_level(pipeline, cause, now_us, &n_hidden);
	const struct log_fact more[VERDICT_MORE] = {
		log_number("failed", (int64_t)pipeline->n_failed),
		log_number("hidden", (int64_t)n_hidden),
		log_number("delay_ms", delay_us / 1000),
	};
	verdict_say(pipeline, level, "message waits for its next attempt", more, entry, cause);
	struct lane *lane = entry->lane;
	entry->attempt += is_charged;
	pipeline->counts.retried++;
	pipeline->counts.retried_by[cause->reason]++;
	ledger_wait(&pipeline->ledger, entry, now_us + delay_us);
	pipeline_lane_changed(pipeline, lane);
}

static void verdict_drop(struct pipeline *pipeline, struct entry *entry, const struct verdict_cause *cause)
{
	bool by_broker = pipeline->plugin->traits & QB_SETTLE_EACH;
	pipeline->counts.rejected++;
	pipeline->counts.rejected_by[cause->reason]++;
	verdict_say(pipeline, LOG_WARN,
		by_broker ? "message is rejected, the queue's dead-letter exchange has it if there is one"
				  : "message is rejected, no dead_letter is configured",
		(const struct log_fact[VERDICT_MORE]){{0}}, entry, cause);
	pipeline_settle(pipeline, entry, by_broker ? QB_REJECT : QB_ACK);
}

static struct qb_bytes verdict_text(const char *text)
{
	return (struct qb_bytes){text, strlen(text)};
}

/* The message as it came, from its row. Headers behind *ret_headers, with room for our own; the caller frees them. */
static struct qb_message verdict_original(
	const struct pipeline *pipeline, const struct entry *entry, struct qb_header **ret_headers)
{
	struct qb_message original;
	struct qb_header *headers = NULL;
	for (size_t room = VERDICT_HEADERS_FIRST;; room *= 2) {
		size_t n = room;
		headers = alloc_resize(headers, (room + VERDICT_FACTS) * sizeof *headers);
		if (pipeline->codec->row_read(entry->row, entry->row_len, &original, headers, &n) < 0) {
			n = 0;
			original = (struct qb_message){.body = {entry->row, entry->row_len}};
		}
		original.n_headers = n;
		if (n < room) /* else there may be more */
			break;
	}
	*ret_headers = headers;
	return original;
}

/* Where it came from, in the broker's own words. */
static void verdict_origin(
	const struct pipeline *pipeline, const struct entry *entry, struct qb_bytes routing_key, char *ret, size_t size)
{
	const struct lane *lane = entry->lane;
	if (pipeline->plugin->traits & QB_SETTLE_PREFIX || !routing_key.data) {
		snprintf(ret, size, "%.400s/%d/%lld", lane->source, lane->partition, (long long)entry->receipt);
		return;
	}
	struct qb_bytes exchange = msg_exchange(entry->batch, entry->row);
	snprintf(ret, size, "%.*s/%.*s", (int)exchange.len, (const char *)exchange.data, (int)routing_key.len,
		(const char *)routing_key.data);
}

static void verdict_publish(struct pipeline *pipeline, struct entry *entry)
{
	char attempts[16], origin[VERDICT_ORIGIN_BYTES], first[24];
	struct qb_header *headers;
	struct qb_message original = verdict_original(pipeline, entry, &headers);
	snprintf(attempts, sizeof attempts, "%u", entry->attempt);
	verdict_origin(pipeline, entry, original.routing_key, origin, sizeof origin);
	snprintf(first, sizeof first, "%lld", (long long)entry->first_delivered_ms);
	const struct qb_header facts[VERDICT_FACTS] = {
		{verdict_text("x-qbus-reason"), verdict_text(reason_names[entry->grave->reason])},
		{verdict_text("x-qbus-attempts"), verdict_text(attempts)},
		{verdict_text("x-qbus-pipeline"), verdict_text(pipeline->conf->name)},
		{verdict_text("x-qbus-origin"), verdict_text(origin)},
		{verdict_text("x-qbus-first-delivered"), verdict_text(first)},
		{verdict_text("x-qbus-error"), verdict_text(entry->grave->error)},
		{verdict_text("x-qbus-exit"), verdict_text(entry->grave->exit)},
	};
	size_t n_facts = VERDICT_FACTS - !entry->grave->exit[0];
	memcpy(headers + original.n_headers, facts, sizeof facts);
	struct qb_outgoing copy = {
		.target = pipeline->conf->dead_letter.target,
		.routing_key = pipeline->conf->dead_letter.routing_key,
		.key = original.key,
		.body = original.body,
		.headers = headers,
		.n_headers = original.n_headers + n_facts,
	};
	ledger_park(&pipeline->ledger, entry);
	entry->id = ++pipeline->published_token;
	source_publish(pipeline->source, &copy, entry->id);
	free(headers);
}

void verdict_bury(struct pipeline *pipeline, struct entry *entry, const struct verdict_cause *cause)
{
	const struct pipeline_dead_letter *dead_letter = &pipeline->conf->dead_letter;
	if (entry->state == ENTRY_ORPHAN) {
		ledger_settle(&pipeline->ledger, entry);
		return;
	}
	if (!dead_letter->target || dead_letter->reject || !pipeline->plugin->publish) {
		verdict_drop(pipeline, entry, cause);
		return;
	}
	const char *error = verdict_or_empty(cause->error);
	size_t len = strnlen(error, VERDICT_ERROR_MAX);
	while (len > 0 && ((unsigned char)error[len] & 0xc0) == 0x80) /* not in the middle of a UTF-8 character */
		len--;
	struct grave *grave = alloc_new(sizeof *grave + len + 1);
	*grave = (struct grave){.reason = (int)cause->reason};
	snprintf(grave->exit, sizeof grave->exit, "%s", verdict_or_empty(cause->exit));
	memcpy(grave->error, error, len);
	grave->error[len] = '\0';
	entry->grave = grave;
	verdict_publish(pipeline, entry);
}

/* Letters that went with their lanes are nobody's to wait for: the next one will show how the target is. */
bool verdict_is_refused(const struct pipeline *pipeline)
{
	return pipeline->is_refused && pipeline->ledger.n_refused;
}

/* Those of a closing lane stay where they are until it is gone. */
void verdict_republish(struct pipeline *pipeline)
{
	if (!pipeline_is_on(pipeline) || pipeline->thaw_until_us)
		return;
	for (struct list *link; (link = list_take(&pipeline->ledger.letters));) {
		struct entry *entry = list_item(link, struct entry, link);
		if (entry->lane->state == LANE_OPEN)
			verdict_publish(pipeline, entry);
	}
}

void verdict_hurry(struct pipeline *pipeline)
{
	list_each(pos, &pipeline->lanes)
	{
		const struct lane *lane = list_item(pos, struct lane, link);
		for (struct entry *entry = lane->head; entry; entry = entry->lane_next)
			if (entry->grave)
				ledger_hurry(&pipeline->ledger, entry, pipeline->dispatcher->now_us);
	}
}

/* Refused: it waits longer each time. What is too big for its target is its own fault; anything else is the target's,
 * and then the pipeline stands still until it takes one, so that nothing more is given up for nothing. */
static void verdict_refused(
	struct pipeline *pipeline, struct entry *entry, int status, const char *error, int64_t now_us)
{
	static const struct pipeline_backoff backoff = {VERDICT_PAUSE_US, VERDICT_PAUSE_MAX_US, 2, 0.2};
	bool is_its_own = status == -EMSGSIZE;
	log_say(LOG_ERROR, pipeline->conf->name, "dead-letter target refuses%s target=%s reason=\"%.200s\"",
		is_its_own ? " a message that is too big for it" : ", the pipeline pauses", pipeline->conf->dead_letter.target,
		error ? error : strerror(-status));
	pipeline->is_refused |= !is_its_own;
	ledger_refused(&pipeline->ledger, entry, !is_its_own);
	struct lane *lane = entry->lane;
	int64_t delay_us = retry_delay(&backoff, entry->grave->n_refused, &pipeline->dispatcher->seed);
	ledger_wait(&pipeline->ledger, entry, now_us + delay_us);
	pipeline_lane_changed(pipeline, lane);
}

static struct entry *verdict_find_parked(const struct pipeline *pipeline, uint64_t token)
{
	list_each(pos, &pipeline->ledger.parked)
	{
		struct entry *entry = list_item(pos, struct entry, link);
		if (entry->id == token)
			return entry;
	}
	return NULL;
}

void verdict_published(struct pipeline *pipeline, uint64_t token, int status, const char *error, int64_t now_us)
{
	struct entry *entry = verdict_find_parked(pipeline, token);
	pipeline->is_refused = pipeline->is_refused && status < 0;
	if (!entry)
		return; /* its lane closed meanwhile: the message comes again, and so may its dead letter */
	if (status < 0) {
		verdict_refused(pipeline, entry, status, error, now_us);
		return;
	}
	pipeline->counts.dead_lettered++;
	pipeline->counts.dead_lettered_by[entry->grave->reason]++;
	const struct log_fact more[VERDICT_MORE] = {log_word("target", pipeline->conf->dead_letter.target)};
	const struct grave *grave = entry->grave;
	verdict_say(pipeline, LOG_WARN, "message is dead-lettered", more, entry,
		&(struct verdict_cause){(enum pipeline_reason)grave->reason, grave->error, grave->exit});
	pipeline_settle(pipeline, entry, QB_ACK);
}
