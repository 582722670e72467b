/* SPDX-License-Identifier: MIT */
/* Offset commits: keeps for each lane the newest position and memo, sends what changed in one commit at a time, tells
 * the runtime what became of it.
 *
 * The group takes any commit of any member, backwards too. So a position here only rises, belongs to one open lane, and
 * every commit carries its memo (a commit without would erase it). */
#ifndef KAFKA_COMMIT_H
#define KAFKA_COMMIT_H

#include <librdkafka/rdkafka.h>
#include <qbus/plugin.h>

#include "lanes.h"

struct consumer;

struct commits {
	uint64_t n_sent;
	uint64_t under_way;    /* number of the commit that waits for its outcome, 0: none */
	int64_t not_before_us; /* the broker has asked for patience */
	int64_t n_errors;
	bool is_void; /* a topic has gone under its lanes */
};

void commit_take(struct consumer *consumer, const struct qb_settlement *settlement);
/* Sends what is dirty, if a commit may go out now. */
void commit_turn(struct consumer *consumer, int64_t now_us);
/* An OFFSET_COMMIT event. */
void commit_result(struct consumer *consumer, rd_kafka_event_t *event, int64_t now_us);
/* A fresh lane: what the broker has. It is committed once more soon, to heal what a stranger may have written
 * meanwhile. */
void commit_begin(struct lane *lane, int64_t committed, const char *memo, size_t memo_len);
/* Something settled is not known to be kept yet; only_closing: in a lane that is being given up. */
bool commit_is_pending(const struct consumer *consumer, bool only_closing);
/* The topic was deleted: nothing of its lanes is committed any more. */
void commit_end(struct consumer *consumer, const char *topic);
/* The outcome of what is under way is of no interest any more. */
void commit_forget(struct consumer *consumer);

#endif
