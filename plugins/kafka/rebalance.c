/* SPDX-License-Identifier: MIT */
/* Partitions come and go. */
#include "rebalance.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "consumer.h"

/* One attempt to read committed offsets; the source's thread waits for it. */
#define COMMITTED_MS 2000
#define END_MS 5000
/* How long the last commit of a revoke may take. */
#define COMMIT_US 3000000

static bool is_cooperative(const struct consumer *consumer)
{
	return !strcmp(rd_kafka_rebalance_protocol(consumer->rk), "COOPERATIVE");
}

static void state_set(struct rebalance *rebalance, enum rebalance_state state, int64_t deadline_us)
{
	rebalance->state = state;
	rebalance->deadline_us = deadline_us;
	if (state == REBALANCE_NONE && rebalance->list) {
		rd_kafka_topic_partition_list_destroy(rebalance->list);
		rebalance->list = NULL;
	}
}

static void answer_say(struct consumer *consumer, const char *what, rd_kafka_error_t *error)
{
	const struct qb_host *host = consumer->host;

	if (!error)
		return;
	host->log(host->self, QB_ERROR, "%s is refused error=%s", what, rd_kafka_error_string(error));
	rd_kafka_error_destroy(error);
}

static rd_kafka_error_t *error_of(rd_kafka_resp_err_t error)
{
	return error ? rd_kafka_error_new(error, "%s", rd_kafka_err2str(error)) : NULL;
}

static void assign(struct consumer *consumer, const rd_kafka_topic_partition_list_t *list)
{
	answer_say(consumer, "assignment",
		is_cooperative(consumer) ? rd_kafka_incremental_assign(consumer->rk, list)
								 : error_of(rd_kafka_assign(consumer->rk, list)));
}

static void unassign(struct consumer *consumer, const rd_kafka_topic_partition_list_t *list)
{
	gate_hold(consumer->gate, clock_now_us());
	answer_say(consumer, "revocation",
		is_cooperative(consumer) ? rd_kafka_incremental_unassign(consumer->rk, list)
								 : error_of(rd_kafka_assign(consumer->rk, NULL)));
}

/* ---- assign ---- */

static rd_kafka_resp_err_t committed_read(struct consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_resp_err_t error =
		list->cnt ? rd_kafka_committed(consumer->rk, list, COMMITTED_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;

	for (int i = 0; !error && i < list->cnt; i++)
		error = list->elems[i].err;
	return error;
}

static void old_forget(struct rebalance *rebalance)
{
	if (rebalance->old)
		rd_kafka_metadata_destroy(rebalance->old);
	rebalance->old = NULL;
}

static bool is_new(const struct consumer *consumer, const rd_kafka_topic_partition_t *entry)
{
	const struct rd_kafka_metadata *old = consumer->rebalance.old;

	for (int i = 0; i < old->topic_cnt; i++)
		if (!strcmp(old->topics[i].topic, entry->topic))
			return entry->partition >= old->topics[i].partition_cnt;
	return true;
}

/* Partitions that come while we run hold nothing from before: a group that starts at the end has begun by then. Which
 * are old is written down at the first assignment. */
static rd_kafka_resp_err_t old_find(struct consumer *consumer, const rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_resp_err_t error;

	if (consumer->rebalance.old)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	error = rd_kafka_metadata(consumer->rk, 1, NULL, &consumer->rebalance.old, END_MS);
	for (int i = 0; !error && i < list->cnt; i++)
		if (is_new(consumer, &list->elems[i]))
			error = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE; /* the brokers do not agree yet */
	if (error)
		old_forget(&consumer->rebalance);
	return error;
}

/* A group that starts at the end must write down where that was: else a restart before the first settlement would skip
 * what came in between. */
static rd_kafka_resp_err_t ends_find(struct consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new(list->cnt);
	rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;

	for (int i = 0; i < list->cnt; i++)
		if (list->elems[i].offset == RD_KAFKA_OFFSET_INVALID && !is_new(consumer, &list->elems[i]))
			rd_kafka_topic_partition_list_add(ends, list->elems[i].topic, list->elems[i].partition)->offset =
				RD_KAFKA_OFFSET_END;
	if (ends->cnt)
		error = rd_kafka_offsets_for_times(consumer->rk, ends, END_MS);
	for (int i = 0; !error && i < ends->cnt; i++) {
		const rd_kafka_topic_partition_t *end = &ends->elems[i];

		error = end->err;
		if (!error)
			rd_kafka_topic_partition_list_set_offset(list, end->topic, end->partition, end->offset);
	}
	rd_kafka_topic_partition_list_destroy(ends);
	return error;
}

/* Fills in where each partition begins: what is committed, else what `start` says. */
static rd_kafka_resp_err_t starts_find(struct consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_resp_err_t error = committed_read(consumer, list);

	if (error || strcmp(options_text(consumer->conf, OPTION_START), "latest"))
		return error;
	error = old_find(consumer, list);
	return error ? error : ends_find(consumer, list);
}

static void lane_begin(struct consumer *consumer, const rd_kafka_topic_partition_t *entry)
{
	const struct qb_host *host = consumer->host;
	struct lane *lane = lanes_add(&consumer->lanes, consumer->rk, entry->topic, entry->partition);
	int64_t next = entry->offset >= 0 ? entry->offset : -1;

	commit_begin(lane, next, entry->metadata, entry->metadata_size);
	lane->next = next;
	lanes_number(&consumer->lanes, lane,
		host->lane_open(host->self, &(struct qb_lane_info){.source = {lane->topic, lane->topic_len},
										.partition = lane->partition,
										.next = next,
										.memo = {lane->commit.memo ? lane->commit.memo : "", lane->commit.memo_len}}));
}

static void assign_finish(struct consumer *consumer, rd_kafka_topic_partition_list_t *starts)
{
	const char *start = options_text(consumer->conf, OPTION_START);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(starts->cnt);

	for (int i = 0; i < starts->cnt; i++) {
		const rd_kafka_topic_partition_t *entry = &starts->elems[i];
		rd_kafka_topic_partition_t *own = rd_kafka_topic_partition_list_add(list, entry->topic, entry->partition);

		if (entry->offset >= 0)
			own->offset = entry->offset;
		else /* with `error` the library looks for the stored offset itself, and says that there is none */
			own->offset = strcmp(start, "error") ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_STORED;
		lane_begin(consumer, entry);
	}
	event_limit(consumer);
	assign(consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
	fault_assigned(consumer);
}

static void assign_try(struct consumer *consumer, int64_t now_us)
{
	struct rebalance *rebalance = &consumer->rebalance;
	rd_kafka_topic_partition_list_t *starts = rd_kafka_topic_partition_list_copy(rebalance->list);
	rd_kafka_resp_err_t error = starts_find(consumer, starts);

	if (error) {
		fault_say(
			consumer, QB_WARN, now_us, "offsets of the group cannot be read yet error=%s", rd_kafka_err2name(error));
		state_set(rebalance, REBALANCE_ASSIGNING, clock_now_us() + 200000);
	} else {
		assign_finish(consumer, starts);
		state_set(rebalance, REBALANCE_NONE, 0);
	}
	rd_kafka_topic_partition_list_destroy(starts);
}

/* ---- revoke ---- */

static void lane_end(struct consumer *consumer, struct lane *lane)
{
	uint64_t id = lane->id;

	lanes_remove(&consumer->lanes, lane);
	consumer->host->lane_close(consumer->host->self, id);
}

void rebalance_void(struct consumer *consumer)
{
	while (consumer->lanes.n)
		lane_end(consumer, consumer->lanes.sorted[0]);
}

static void lanes_end(struct consumer *consumer, const rd_kafka_topic_partition_list_t *list)
{
	for (int i = 0; i < list->cnt; i++) {
		struct lane *lane = lanes_find_partition(&consumer->lanes, list->elems[i].topic, list->elems[i].partition);

		if (lane)
			lane_end(consumer, lane);
	}
	if (!is_cooperative(consumer))
		rebalance_void(consumer);
}

static void revoke_finish(struct consumer *consumer)
{
	struct rebalance *rebalance = &consumer->rebalance;

	commit_forget(consumer);
	lanes_end(consumer, rebalance->list);
	event_limit(consumer);
	unassign(consumer, rebalance->list);
	rebalance->awaits_assign = true;
	state_set(rebalance, REBALANCE_NONE, 0);
}

static void revoke_begin(struct consumer *consumer, int64_t now_us)
{
	struct rebalance *rebalance = &consumer->rebalance;
	const struct qb_host *host = consumer->host;

	state_set(rebalance, REBALANCE_DRAINING, now_us + (rebalance->is_leaving ? 0 : consumer->conf->revoke_timeout_us));
	for (int i = 0; i < rebalance->list->cnt; i++) {
		const rd_kafka_topic_partition_t *entry = &rebalance->list->elems[i];
		struct lane *lane = lanes_find_partition(&consumer->lanes, entry->topic, entry->partition);

		if (!lane)
			continue;
		lanes_state(&consumer->lanes, lane, LANE_CLOSING);
		host->lane_closing(host->self, lane->id);
	}
}

static bool is_drained(const struct consumer *consumer)
{
	for (size_t i = 0; i < consumer->lanes.n; i++)
		if (consumer->lanes.sorted[i]->state == LANE_CLOSING)
			return false;
	return true;
}

void rebalance_drained(struct consumer *consumer, struct lane *lane)
{
	if (lane->state == LANE_CLOSING)
		lanes_state(&consumer->lanes, lane, LANE_DRAINED);
}

/* ---- both ---- */

void rebalance_turn(struct consumer *consumer, int64_t now_us)
{
	struct rebalance *rebalance = &consumer->rebalance;

	if (rebalance->state == REBALANCE_NONE)
		return;
	if (rebalance->state == REBALANCE_ASSIGNING) {
		if (rebalance->is_leaving)
			state_set(rebalance, REBALANCE_NONE, 0);
		else if (now_us >= rebalance->deadline_us)
			assign_try(consumer, now_us);
		return;
	}
	if (rd_kafka_assignment_lost(consumer->rk)) {
		revoke_finish(consumer);
		return;
	}
	if (rebalance->state == REBALANCE_DRAINING && (is_drained(consumer) || now_us >= rebalance->deadline_us))
		state_set(rebalance, REBALANCE_COMMITTING, now_us + COMMIT_US);
	if (rebalance->state != REBALANCE_COMMITTING)
		return;
	commit_turn(consumer, now_us);
	if (!commit_is_pending(consumer, true) || now_us >= rebalance->deadline_us)
		revoke_finish(consumer);
}

static void event_assign(struct consumer *consumer, const rd_kafka_topic_partition_list_t *list, int64_t now_us)
{
	struct rebalance *rebalance = &consumer->rebalance;
	const struct qb_host *host = consumer->host;

	rebalance->was_assigned = true;
	rebalance->awaits_assign = false;
	host->log(host->self, QB_INFO, "partitions are assigned count=%d protocol=%s", list->cnt,
		rd_kafka_rebalance_protocol(consumer->rk));
	host->measure(host->self, QB_REBALANCES, 0, ++rebalance->n);
	if (!is_cooperative(consumer))
		rebalance_void(consumer);
	if (rebalance->is_leaving) {
		rd_kafka_topic_partition_list_t *nothing = rd_kafka_topic_partition_list_new(0);

		assign(consumer, nothing);
		rd_kafka_topic_partition_list_destroy(nothing);
		return;
	}
	rebalance->list = rd_kafka_topic_partition_list_copy(list);
	assign_try(consumer, now_us);
}

static void event_revoke(struct consumer *consumer, const rd_kafka_topic_partition_list_t *list, int64_t now_us)
{
	struct rebalance *rebalance = &consumer->rebalance;
	const struct qb_host *host = consumer->host;
	bool is_lost = rd_kafka_assignment_lost(consumer->rk);

	host->log(host->self, is_lost ? QB_WARN : QB_INFO, "partitions are %s count=%d protocol=%s",
		is_lost ? "lost" : "revoked", list->cnt, rd_kafka_rebalance_protocol(consumer->rk));
	rebalance->list = rd_kafka_topic_partition_list_copy(list);
	if (is_lost) {
		revoke_finish(consumer);
	} else {
		revoke_begin(consumer, now_us);
		rebalance_turn(consumer, now_us);
	}
}

void rebalance_event(struct consumer *consumer, rd_kafka_event_t *event, int64_t now_us)
{
	const struct qb_host *host = consumer->host;
	rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);

	gate_lift(consumer->gate, rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS);
	/* The library asks nothing new before it was answered; if it does, the older question has died with its generation.
	 */
	if (consumer->rebalance.state != REBALANCE_NONE) {
		lanes_end(consumer, consumer->rebalance.list);
		state_set(&consumer->rebalance, REBALANCE_NONE, 0);
	}
	switch (rd_kafka_event_error(event)) {
	case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:
		event_assign(consumer, list, now_us);
		break;
	case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
		event_revoke(consumer, list, now_us);
		break;
	default:
		host->log(host->self, QB_ERROR, "rebalance fails error=%s", rd_kafka_event_error_string(event));
		rebalance_void(consumer);
		answer_say(consumer, "revocation", error_of(rd_kafka_assign(consumer->rk, NULL)));
		break;
	}
}

void rebalance_leave(struct consumer *consumer, int64_t now_us)
{
	struct rebalance *rebalance = &consumer->rebalance;

	rebalance->is_leaving = true;
	if (rebalance->state == REBALANCE_DRAINING)
		rebalance->deadline_us = now_us;
}

void rebalance_done(struct rebalance *rebalance)
{
	old_forget(rebalance);
	if (rebalance->list)
		rd_kafka_topic_partition_list_destroy(rebalance->list);
	rebalance->list = NULL;
}
