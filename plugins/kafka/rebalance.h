/* SPDX-License-Identifier: MIT */
/* Partitions come and go: answers the group's assign and revoke events.
 *
 *   assign   ask for committed offsets -> own queue for each partition -> lane_open -> (incremental_)assign
 *   revoke   lane_closing -> lanes drained or revoke_timeout -> commit what is newer -> lane_close ->
 * (incremental_)unassign lost     lane_close at once, nothing is committed
 *
 * A revoke goes on over many polls; the library waits for our unassign and the group waits up to max_poll_interval. */
#ifndef KAFKA_REBALANCE_H
#define KAFKA_REBALANCE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

struct consumer;
struct lane;

enum rebalance_state {
	REBALANCE_NONE,
	REBALANCE_ASSIGNING,  /* the committed offsets could not be read yet */
	REBALANCE_DRAINING,   /* the runtime finishes what runs */
	REBALANCE_COMMITTING, /* the last commit is under way */
};

struct rebalance {
	enum rebalance_state state;
	rd_kafka_topic_partition_list_t *list; /* what comes or goes; NULL in REBALANCE_NONE */
	int64_t deadline_us;
	int64_t n;
	const struct rd_kafka_metadata *old; /* all topics at the first assignment; NULL: none yet, or not needed */
	bool was_assigned;                   /* an assignment has come since the start */
	bool awaits_assign;                  /* something was given up, so an assignment will follow */
	bool is_leaving;                     /* new assignments are answered with nothing */
};

/* A REBALANCE event. */
void rebalance_event(struct consumer *consumer, rd_kafka_event_t *event, int64_t now_us);
/* Moves on what is pending. */
void rebalance_turn(struct consumer *consumer, int64_t now_us);
/* The runtime's answer to lane_closing. */
void rebalance_drained(struct consumer *consumer, struct lane *lane);
/* From now on nothing more is taken over, and nobody is waited for. */
void rebalance_leave(struct consumer *consumer, int64_t now_us);
/* Every lane is closed, nothing is committed. */
void rebalance_void(struct consumer *consumer);
/* Frees what an unfinished rebalance has left, and what it had to remember. */
void rebalance_done(struct rebalance *rebalance);

#endif
