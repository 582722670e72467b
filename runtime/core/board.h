/* SPDX-License-Identifier: MIT */
/* The dispatcher's board: the structures that the files of the dispatcher share. Nobody else includes this. */
#ifndef QBUS_CORE_BOARD_H
#define QBUS_CORE_BOARD_H

#include "core/breaker.h"
#include "core/deadline.h"
#include "core/dispatcher.h"
#include "core/look.h"
#include "core/saying.h"

/* A pipeline as one crew serves it: index is the pipeline's place in that crew's list. */
struct pipeline_server {
	struct crew *crew;
	size_t index;
};

struct pipeline {
	struct dispatcher *dispatcher;
	const struct pipeline_conf *conf;
	const struct qb_plugin *plugin;
	const struct msg_codec *codec;
	struct source *source;
	enum source_state source_state;
	struct ledger ledger;
	struct list lanes, dirty; /* all; those to tell the broker about (prefix plugins) */
	size_t n_closing;         /* of the lanes, given up in peace: what is ready of them is nobody's work */
	struct pipeline_server *servers;
	size_t n_servers;
	struct qb_settlement *settlements; /* collected since the last flush (plugins that want each receipt) */
	size_t n_settlements, n_settlement_slots;
	int64_t commit_due_us, memo_again_us; /* 0: nothing to commit; when a memo longer than what was refused is tried */
	size_t memo_kept_len, memo_refused_len; /* the longest memo that the broker kept; the shortest refused, 0: none */
	struct breaker breaker;
	uint64_t n_good_seen, n_failed_seen;    /* what the breaker was told of counts.acked and n_failed */
	uint64_t n_judged, n_failed;            /* messages that handlers rejected, being well; attempts that failed */
	struct sayings failures;                /* that were logged for everybody */
	int64_t thaw_until_us;                  /* the source has not confirmed its lanes yet; 0: it need not */
	uint64_t question, published_token;     /* newest that the source was asked; newest of a dead letter */
	int64_t held_bytes, limit_bytes;        /* of its source: when memory was shared out last; at most now */
	int64_t queue_bytes, queue_limit_bytes; /* what its client library holds, and may come to hold */
	size_t n_batch_bytes;                   /* came in batches since the start */
	struct pipeline_counts counts;
	struct pipeline_times times;
	bool is_connected, is_blocked, is_held, is_memo_told; /* held by an operator; the log said that memos are cut */
	bool is_refused, is_drained; /* no dead letter confirmed since one was refused; the source has no more to give */
	char *absent, *cancelled, *missing; /* why the broker is not connected, ended the consumer; what the target lacks */
};

/* Workers that serve the same pipelines, by what they can take. */
struct crew {
	struct list link;
	struct dispatcher *dispatcher;
	struct pipeline **pipelines;
	size_t n_pipelines;
	struct list idle;       /* hold nothing */
	struct list partial;    /* hold something and have room */
	struct list full;       /* have no room */
	struct worker *resting; /* gets nothing new until it is idle and a suspect can have it; NULL: none */
	size_t n_idle, n_partial, n_full;
};

struct dispatcher {
	struct pipeline **pipelines;
	size_t n_pipelines, turn; /* turn: whose turn it is to be served first */
	struct list crews;
	struct list workers;
	struct heap deadlines;                               /* of workers that hold something */
	uint64_t seed;                                       /* of the jitter */
	int64_t now_us;                                      /* of this turn */
	int64_t unix_ms;                                     /* the wall clock of this turn; 0: not known */
	int64_t memory_max_bytes, memory_ahead_bytes;        /* 0: no ceiling; what libraries may fetch, as the log said */
	int64_t memory_allocated_bytes, memory_beside_bytes; /* as measured last; of these, what is held nowhere here */
	bool is_memory_measured, is_memory_short;            /* since it was shared out; beside is above the ceiling */
	bool is_stopping, is_closing;
};

/* deadline.c; see also core/deadline.h */
/* Something was delivered or settled. When that changed which delivery is the oldest, its clock begins now. */
void deadline_restart(struct dispatcher *dispatcher, struct worker *worker, int64_t now_us);
/* There is a verdict for this delivery: its parts have ended. */
void deadline_settled(struct worker *worker, uint64_t id, int64_t now_us);
void deadline_stop(struct dispatcher *dispatcher, struct worker *worker); /* nothing is due any more */
void deadline_tick(struct dispatcher *dispatcher); /* tells, breaks and ends those whose time has come */

/* match.c, allot.c */
void match_all(struct dispatcher *dispatcher);
void allot_memory(struct dispatcher *dispatcher); /* says how much each source may hold from now on */

/* crew.c */
struct crew *crew_for(struct dispatcher *dispatcher, struct pipeline **pipelines, size_t n);
void crew_join(struct crew *crew, struct worker *worker);
void crew_leave(struct worker *worker); /* the crew is freed with its last worker */
void crew_place(struct worker *worker); /* after its room changed */
/* Who is idle, else who has room; *ret_n_free: how many like it there are. NULL: nobody. */
struct worker *crew_pick(const struct pipeline *pipeline, bool idle_only, size_t *ret_index, size_t *ret_n_free);
size_t crew_count(const struct pipeline *pipeline); /* workers that serve it */
/* Puts one of the workers of each crew to rest, where none rests yet. */
void crew_rest(const struct pipeline *pipeline);

/* pipeline.c */
const struct source_sink *pipeline_sink(void); /* its ctx is the pipeline */
void pipeline_settle(struct pipeline *pipeline, struct entry *entry, enum qb_verdict verdict);
void pipeline_lane_changed(struct pipeline *pipeline, struct lane *lane);
void pipeline_commit(struct pipeline *pipeline); /* every dirty lane, now */
/* Tells the breaker what happened since the last turn; returns when it is due, or CLOCK_NEVER. */
int64_t pipeline_watch_failures(struct pipeline *pipeline, int64_t now_us);
void pipeline_hold(struct pipeline *pipeline, bool on);
void pipeline_flush(struct pipeline *pipeline, int64_t now_us);
void pipeline_free(struct pipeline *pipeline);
void pipeline_thaw(struct pipeline *pipeline, int64_t now_us); /* nothing is delivered before lanes are confirmed */
/* Ends the wait for its lanes when that is over; returns when it is, or CLOCK_NEVER. */
int64_t pipeline_unfreeze(struct pipeline *pipeline, int64_t now_us);
bool pipeline_is_served(const struct pipeline *pipeline); /* may messages of it be delivered now? */
bool pipeline_goes_on(const struct pipeline *pipeline);   /* the same, now or when its lanes are confirmed */
bool pipeline_is_on(const struct pipeline *pipeline);     /* neither held nor, what is buffered to go back, at a stop */
/* At a stop: may the source still hold messages to be handled, and is there room? What waits may leave none. */
bool pipeline_awaits_more(const struct pipeline *pipeline);

#endif
