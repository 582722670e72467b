/* SPDX-License-Identifier: MIT */
/* Watches the requests and answers of one client: is the group joining, may a commit go out, does the broker answer?
 *
 * Why a gate: before librdkafka 2.10 a cooperative member that sends a commit behind its JoinGroup gets
 * ILLEGAL_GENERATION and declares its whole assignment lost. So no commit goes out between a JoinGroup and the
 * SyncGroup that ends it, nor while the next JoinGroup is due.
 *
 * The watching happens on the library's threads, everything else is asked on the source's thread; only atomics lie
 * between. A gate must outlive its client. */
#ifndef KAFKA_GATE_H
#define KAFKA_GATE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

struct gate;

/* Requests by their number in Kafka's protocol; any other, answered, only shows that the broker serves us. */
enum {
	GATE_JOIN_GROUP = 11,
	GATE_HEARTBEAT = 12,
	GATE_SYNC_GROUP = 14,
	GATE_SASL_HANDSHAKE = 17,
	GATE_VERSIONS = 18,
	GATE_SASL_AUTHENTICATE = 36,
};

/* guards_commits: the assignment is cooperative and the library needs it. */
struct gate *gate_new(bool guards_commits);
void gate_free(struct gate *gate);

/* Before rd_kafka_new with these settings. */
void gate_install(struct gate *gate, rd_kafka_conf_t *settings);

/* What the installed gate sees, from the library's threads. boot_us: a clock that goes on while the machine sleeps, as
 * the broker's does. */
void gate_sent(struct gate *gate, int16_t api, int64_t now_us, int64_t boot_us);
void gate_answered(struct gate *gate, int16_t api, bool has_failed, int64_t now_us, int64_t boot_us);

/* A JoinGroup is out and its SyncGroup is not. */
bool gate_is_joining(const struct gate *gate, int64_t now_us);
/* The same, or the join is not complete, or the library may be about to join again. */
bool gate_may_join(const struct gate *gate, int64_t now_us);
/* A JoinGroup may follow within moments, after our unassign. */
void gate_hold(struct gate *gate, int64_t now_us);
bool gate_is_open(const struct gate *gate, int64_t now_us);
/* An assign or revoke event came: whatever was joining has joined. */
void gate_lift(struct gate *gate, bool is_revoke);

/* Does the group still count on this member? A heartbeat, or the end of a join, that left less than session_us ago has
 * been answered, and there was time to serve what the answer says. Before it says so again after a standstill, a
 * generation that has passed has been noticed. */
bool gate_is_member(const struct gate *gate, int64_t session_us, int64_t boot_us);

/* When the last answer without error arrived; 0: none yet. Monotonic. */
int64_t gate_heard_us(const struct gate *gate);

#endif
