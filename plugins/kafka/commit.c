/* SPDX-License-Identifier: MIT */
/* Offset commits. */
#include "commit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consumer.h"

#define PATIENCE_US 200000

/* What passes by itself. Everything else is told to the runtime as it is. */
static bool is_passing(rd_kafka_resp_err_t error)
{
	static const rd_kafka_resp_err_t passing[] = {
		RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
		RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
		RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
		RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
		RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
		RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
		RD_KAFKA_RESP_ERR__WAIT_COORD,
		RD_KAFKA_RESP_ERR__TRANSPORT,
		RD_KAFKA_RESP_ERR__TIMED_OUT,
		RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
		RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
		RD_KAFKA_RESP_ERR__RETRY,
	};

	for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++)
		if (passing[i] == error)
			return true;
	return false;
}

static int status_of(rd_kafka_resp_err_t error)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		return 0;
	case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
	case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
	case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
		return -ESTALE;
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		return -EACCES;
	default:
		return -EIO;
	}
}

static void memo_keep(struct lane_commit *commit, const void *memo, size_t memo_len)
{
	if (memo_len > commit->memo_len) {
		commit->memo = realloc(commit->memo, memo_len);
		if (!commit->memo)
			abort();
	}
	if (memo_len)
		memcpy(commit->memo, memo, memo_len);
	commit->memo_len = memo_len;
}

void commit_begin(struct lane *lane, int64_t committed, const char *memo, size_t memo_len)
{
	lane->commit.position = committed;
	lane->commit.committed = committed;
	memo_keep(&lane->commit, memo, memo_len);
	lane->commit.is_dirty = lane->commit.is_healing = committed >= 0;
}

static void receipt_keep(struct lane_commit *commit, int64_t receipt)
{
	if (commit->n_receipts == commit->n_receipts_room) {
		commit->n_receipts_room = commit->n_receipts_room ? 2 * commit->n_receipts_room : 4;
		commit->receipts = realloc(commit->receipts, commit->n_receipts_room * sizeof(*commit->receipts));
		if (!commit->receipts)
			abort();
	}
	commit->receipts[commit->n_receipts++] = receipt;
}

void commit_take(struct consumer *consumer, const struct qb_settlement *settlement)
{
	const struct qb_host *host = consumer->host;
	struct lane *lane = lanes_find(&consumer->lanes, settlement->lane);

	if (!lane)
		return;
	if (settlement->receipt + 1 < lane->commit.position) {
		host->settled(host->self, lane->id, settlement->receipt, -ERANGE);
		return;
	}
	lane->commit.position = settlement->receipt + 1;
	memo_keep(&lane->commit, settlement->memo.data, settlement->memo.len);
	lane->commit.is_dirty = true;
	lane->commit.is_healing = lane->commit.is_bare = false;
	receipt_keep(&lane->commit, settlement->receipt);
}

/* A lane that is about to be given up commits only what is newer than what the broker has. */
static bool is_due(const struct lane *lane)
{
	return lane->commit.is_dirty && !lane->commit.is_gone && (lane->state == LANE_OPEN || !lane->commit.is_healing);
}

static void list_add(rd_kafka_topic_partition_list_t *list, struct lane *lane, uint64_t number)
{
	rd_kafka_topic_partition_t *entry = rd_kafka_topic_partition_list_add(list, lane->topic, lane->partition);
	struct lane_commit *commit = &lane->commit;

	entry->offset = commit->position;
	if (commit->memo_len) {
		entry->metadata = malloc(commit->memo_len);
		if (!entry->metadata)
			abort();
		memcpy(entry->metadata, commit->memo, commit->memo_len);
		entry->metadata_size = commit->memo_len;
	}
	commit->is_dirty = false;
	commit->sent_by = number;
	commit->sent = commit->position;
	commit->sent_memo_len = commit->memo_len;
	commit->sent_bare = commit->is_bare;
	commit->n_sent = commit->n_receipts;
}

void commit_turn(struct consumer *consumer, int64_t now_us)
{
	struct commits *commits = &consumer->commits;
	rd_kafka_topic_partition_list_t *list = NULL;
	uint64_t number = commits->n_sent + 1;

	if (commits->under_way || now_us < commits->not_before_us || !gate_is_open(consumer->gate, now_us))
		return;
	for (size_t i = 0; i < consumer->lanes.n; i++) {
		if (!is_due(consumer->lanes.sorted[i]))
			continue;
		if (!list)
			list = rd_kafka_topic_partition_list_new((int)consumer->lanes.n);
		list_add(list, consumer->lanes.sorted[i], number);
	}
	if (!list)
		return;
	commits->n_sent = commits->under_way = number;
	if (rd_kafka_commit_queue(consumer->rk, list, consumer->events, NULL, (void *)(uintptr_t)number)) {
		for (size_t i = 0; i < consumer->lanes.n; i++)
			if (consumer->lanes.sorted[i]->commit.sent_by == number)
				consumer->lanes.sorted[i]->commit.is_dirty = true;
		commits->under_way = 0;
		commits->not_before_us = now_us + PATIENCE_US;
	}
	rd_kafka_topic_partition_list_destroy(list);
}

/* Tells of every settlement that the commit covered, the last of which its memo was. One that came since may have the
 * same receipt and another memo. */
static void settled_tell(const struct consumer *consumer, struct lane *lane, int status)
{
	const struct qb_host *host = consumer->host;
	struct lane_commit *commit = &lane->commit;

	if (!commit->n_sent)
		return;
	for (size_t i = 0; i < commit->n_sent; i++) {
		bool is_last = i + 1 == commit->n_sent;

		host->settled(
			host->self, lane->id, commit->receipts[i], !status && commit->sent_bare && is_last ? -EMSGSIZE : status);
	}
	commit->n_receipts -= commit->n_sent;
	memmove(commit->receipts, commit->receipts + commit->n_sent, commit->n_receipts * sizeof(*commit->receipts));
	commit->n_sent = 0;
}

/* The memo was too long. Without it some messages may come again; without the position, all of them. A shorter one that
 * came since is tried as it is, and what only heals may stay as the broker has it. */
static void memo_drop(struct lane_commit *commit)
{
	if (commit->is_healing || commit->memo_len < commit->sent_memo_len)
		return;
	commit->memo_len = 0;
	commit->is_bare = commit->is_dirty = true;
}

static void lane_result(struct consumer *consumer, struct lane *lane, rd_kafka_resp_err_t error, int64_t now_us)
{
	struct commits *commits = &consumer->commits;

	lane->commit.sent_by = 0;
	if (!error) {
		lane->commit.committed = lane->commit.sent;
		settled_tell(consumer, lane, 0);
		return;
	}
	if (error == RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE && lane->commit.sent_memo_len) {
		memo_drop(&lane->commit);
		return;
	}
	commits->n_errors++;
	fault_say(consumer, is_passing(error) ? QB_DEBUG : QB_WARN, now_us, "commit is refused topic=%s error=%s",
		lane->topic, rd_kafka_err2name(error));
	if (is_passing(error)) {
		lane->commit.is_dirty = true;
		commits->not_before_us = now_us + PATIENCE_US;
	} else {
		settled_tell(consumer, lane, status_of(error));
	}
	if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
		commit_end(consumer, lane->topic);
		commits->is_void = true;
	}
}

void commit_end(struct consumer *consumer, const char *topic)
{
	for (size_t i = 0; i < consumer->lanes.n; i++)
		if (!strcmp(consumer->lanes.sorted[i]->topic, topic))
			consumer->lanes.sorted[i]->commit.is_gone = true;
}

void commit_result(struct consumer *consumer, rd_kafka_event_t *event, int64_t now_us)
{
	const struct qb_host *host = consumer->host;
	const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
	uint64_t number = (uintptr_t)rd_kafka_event_opaque(event);
	int64_t n_errors = consumer->commits.n_errors;

	if (number != consumer->commits.under_way)
		return;
	consumer->commits.under_way = 0;
	for (int i = 0; list && i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *entry = &list->elems[i];
		struct lane *lane = lanes_find_partition(&consumer->lanes, entry->topic, entry->partition);

		/* The error of the whole is set only when nothing of it went through. */
		if (lane && lane->commit.sent_by == number)
			lane_result(consumer, lane, entry->err ? entry->err : rd_kafka_event_error(event), now_us);
	}
	if (consumer->commits.n_errors != n_errors)
		host->measure(host->self, QB_COMMIT_ERRORS, 0, consumer->commits.n_errors);
}

bool commit_is_pending(const struct consumer *consumer, bool only_closing)
{
	for (size_t i = 0; i < consumer->lanes.n; i++) {
		const struct lane *lane = consumer->lanes.sorted[i];

		if (lane->commit.is_gone || (only_closing && lane->state == LANE_OPEN))
			continue;
		if (lane->commit.sent_by || (lane->commit.is_dirty && !lane->commit.is_healing))
			return true;
	}
	return false;
}

void commit_forget(struct consumer *consumer)
{
	consumer->commits.under_way = 0;
	for (size_t i = 0; i < consumer->lanes.n; i++) {
		struct lane_commit *commit = &consumer->lanes.sorted[i]->commit;

		commit->is_dirty |= commit->sent_by != 0;
		commit->sent_by = 0;
	}
}
