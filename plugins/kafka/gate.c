/* SPDX-License-Identifier: MIT */
/* Watches the requests and answers of one client. */
#include "gate.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "clock.h"

#define NAME "qbus"

/* A JoinGroup that failed is followed by no SyncGroup. So long after its answer the SyncGroup would have been sent. */
#define JOIN_FAILED_US 50000

/* The library joins once a second at most, and its main thread may sleep for another second before it looks: so long
 * after a JoinGroup the next one may be due and not sent. Later than that it is sent at once. */
#define REJOIN_US 2050000
#define REJOIN_EARLY_US 900000

/* A heartbeat's answer may be what makes the library join again. Between that answer and the JoinGroup lies one hop to
 * the library's main thread; a commit that comes behind the answer would be sent behind the JoinGroup. */
#define HOLD_US 30000

/* From a heartbeat's answer to the event that the library makes of a bad one; on a busy machine. */
#define ANSWER_US 100000

struct gate {
	bool guards_commits;
	atomic_bool is_joining;
	_Atomic int64_t joined_us; /* when the JoinGroup was answered; 0: it was not */
	atomic_bool is_syncing;
	atomic_bool awaits_unassign;  /* the library waits for our unassign, and does not join before */
	_Atomic int64_t join_sent_us; /* when the last JoinGroup left */
	_Atomic int64_t answered_us;
	_Atomic int64_t held_until_us;
	/* On a clock that goes on while the machine sleeps, as the broker's does. */
	_Atomic int64_t asked_us;  /* when the last heartbeat left */
	_Atomic int64_t member_us; /* when the last one that was answered had left; 0: none */
	_Atomic int64_t told_us;   /* when it was answered */
};

struct gate *gate_new(bool guards_commits)
{
	struct gate *gate = calloc(1, sizeof(*gate));

	if (!gate)
		abort();
	gate->guards_commits = guards_commits;
	return gate;
}

void gate_free(struct gate *gate)
{
	free(gate);
}

void gate_hold(struct gate *gate, int64_t now_us)
{
	atomic_store(&gate->held_until_us, now_us + HOLD_US);
	atomic_store(&gate->awaits_unassign, false);
}

/* The broker counts a session from these. */
static bool is_sign_of_life(int16_t api)
{
	return api == GATE_HEARTBEAT || api == GATE_SYNC_GROUP;
}

void gate_sent(struct gate *gate, int16_t api, int64_t now_us, int64_t boot_us)
{
	if (api == GATE_JOIN_GROUP) {
		atomic_store(&gate->joined_us, 0);
		atomic_store(&gate->join_sent_us, now_us);
		atomic_store(&gate->is_joining, true);
	} else if (api == GATE_SYNC_GROUP) {
		atomic_store(&gate->is_joining, false);
		atomic_store(&gate->is_syncing, true);
	}
	if (is_sign_of_life(api))
		atomic_store(&gate->asked_us, boot_us);
}

/* A broker says these also to whom it will not serve. */
static bool is_greeting(int16_t api)
{
	return api == GATE_SASL_HANDSHAKE || api == GATE_VERSIONS || api == GATE_SASL_AUTHENTICATE;
}

void gate_answered(struct gate *gate, int16_t api, bool has_failed, int64_t now_us, int64_t boot_us)
{
	if (api == GATE_JOIN_GROUP)
		atomic_store(&gate->joined_us, now_us);
	else if (api == GATE_HEARTBEAT)
		atomic_store(&gate->held_until_us, now_us + HOLD_US);
	else if (api == GATE_SYNC_GROUP)
		atomic_store(&gate->is_syncing, false);
	if (!has_failed && is_sign_of_life(api)) {
		atomic_store(&gate->member_us, atomic_load(&gate->asked_us));
		atomic_store(&gate->told_us, boot_us);
	}
	if (!has_failed && !is_greeting(api))
		atomic_store(&gate->answered_us, now_us);
}

static rd_kafka_resp_err_t on_request(rd_kafka_t *rk, int fd, const char *broker, int32_t broker_id, int16_t api,
	int16_t version, int32_t id, size_t size, void *opaque)
{
	(void)rk, (void)fd, (void)broker, (void)broker_id, (void)version, (void)id, (void)size;
	gate_sent(opaque, api, clock_now_us(), clock_boot_us());
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The payload is not parsed yet and comes twice at times: only a moment is noted, nothing is counted. */
static rd_kafka_resp_err_t on_answer(rd_kafka_t *rk, int fd, const char *broker, int32_t broker_id, int16_t api,
	int16_t version, int32_t id, size_t size, int64_t rtt, rd_kafka_resp_err_t err, void *opaque)
{
	(void)rk, (void)fd, (void)broker, (void)broker_id, (void)version, (void)id, (void)size, (void)rtt;
	gate_answered(opaque, api, err != RD_KAFKA_RESP_ERR_NO_ERROR, clock_now_us(), clock_boot_us());
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(
	rd_kafka_t *rk, const rd_kafka_conf_t *settings, void *opaque, char *error, size_t size)
{
	(void)settings, (void)error, (void)size;
	rd_kafka_interceptor_add_on_request_sent(rk, NAME, on_request, opaque);
	return rd_kafka_interceptor_add_on_response_received(rk, NAME, on_answer, opaque);
}

void gate_install(struct gate *gate, rd_kafka_conf_t *settings)
{
	rd_kafka_conf_interceptor_add_on_new(settings, NAME, on_new, gate);
}

bool gate_is_joining(const struct gate *gate, int64_t now_us)
{
	int64_t joined_us = atomic_load(&gate->joined_us);

	return atomic_load(&gate->is_joining) && (!joined_us || now_us < joined_us + JOIN_FAILED_US);
}

/* A JoinGroup that was answered, and that no SyncGroup has followed, has failed: another one follows. */
bool gate_may_join(const struct gate *gate, int64_t now_us)
{
	return atomic_load(&gate->is_joining) || atomic_load(&gate->is_syncing) ||
	       now_us < atomic_load(&gate->join_sent_us) + REJOIN_US || now_us < atomic_load(&gate->held_until_us);
}

/* A commit that meets it on its way would be sent behind it. */
static bool is_join_due(const struct gate *gate, int64_t now_us)
{
	int64_t asked_us = atomic_load(&gate->join_sent_us);

	return !atomic_load(&gate->awaits_unassign) && now_us >= asked_us + REJOIN_EARLY_US &&
	       now_us < asked_us + REJOIN_US;
}

bool gate_is_open(const struct gate *gate, int64_t now_us)
{
	if (!gate->guards_commits)
		return true;
	return !gate_is_joining(gate, now_us) && !is_join_due(gate, now_us) && now_us >= atomic_load(&gate->held_until_us);
}

void gate_lift(struct gate *gate, bool is_revoke)
{
	atomic_store(&gate->is_joining, false);
	atomic_store(&gate->awaits_unassign, is_revoke);
}

bool gate_is_member(const struct gate *gate, int64_t session_us, int64_t boot_us)
{
	return boot_us < atomic_load(&gate->member_us) + session_us && boot_us >= atomic_load(&gate->told_us) + ANSWER_US;
}

int64_t gate_heard_us(const struct gate *gate)
{
	return atomic_load(&gate->answered_us);
}
