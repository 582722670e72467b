/* SPDX-License-Identifier: MIT */
/* A host for one plugin in a test: opens a source, records everything that the plugin says, answers as a runtime would.
 *
 * Everything recorded is a copy and lives until rig_free. A breach of the contract by the plugin (a budget exceeded, a
 * message of a closed lane, receipts that do not ascend) fails the test at once. One thread only, but for rig_wake. */
#ifndef RIG_H
#define RIG_H

#include "rig_record.h"

struct rig {
	const struct qb_plugin *plugin;
	struct qb_host host;
	struct qb_source_conf conf;
	struct qb_value *values;
	void *source;            /* NULL: not open */
	struct qb_budget budget; /* of each poll; 1000 messages, 8 MiB at first */
	size_t polled_bytes;     /* of the poll under way */
	bool counts_only;        /* messages are counted, not kept */
	bool answers_closing;    /* lane_drained follows lane_closing after the poll; true at first */
	bool settles_all; /* QB_SETTLE_PREFIX: after each poll everything delivered is settled; closing lanes as well */
	bool is_drained;  /* the plugin has said so since it was opened; nothing may come any more */
	const char *memo; /* what settles_all gives with it; NULL: empty */
	enum qb_result result; /* of the last poll */
	struct rig_lane *lanes;
	size_t n_lanes;
	struct rig_message *messages;
	size_t n_messages; /* counted also with counts_only */
	struct rig_settled *settled;
	size_t n_settled;
	struct rig_published *published;
	size_t n_published;
	struct rig_condition *conditions;
	size_t n_conditions;
	struct rig_measure *measures;
	size_t n_measures;
	struct rig_text *complaints;
	size_t n_complaints;
	struct rig_text *log;
	size_t n_log;
	size_t bytes; /* of all bodies */
};

/* Loads the shared object and checks abi and size. Stays loaded. */
const struct qb_plugin *rig_load(const char *path);
/* The arguments are pairs of option path and text as it would stand in the file, ended by NULL. A list or a map is
 * written "a;b" or "a=1;b=2". A path without a pair has its fallback. Unknown paths and unreadable values fail the
 * test. */
struct rig *rig_new(const struct qb_plugin *plugin, const char *first_path, ...);
/* Closes with 5 s where it is still open. NULL is allowed. */
void rig_free(struct rig *rig);

/* Runs the plugin's check; returns the number of errors (warnings are kept, not counted). */
size_t rig_check(struct rig *rig);
enum qb_result rig_open(struct rig *rig);
void rig_close(struct rig *rig, int timeout_ms);
/* One poll, then what settles_all and answers_closing want. */
void rig_poll(struct rig *rig, int timeout_ms);
/* Settles one receipt; the memo may be NULL. */
void rig_settle(struct rig *rig, uint64_t lane, int64_t receipt, enum qb_verdict verdict, const char *memo);

struct rig_lane *rig_lane_find(const struct rig *rig, uint64_t id);
size_t rig_open_lanes(const struct rig *rig);
/* The newest word on the condition of that lane; NULL: never said. */
const struct rig_condition *rig_condition_find(const struct rig *rig, enum qb_condition what, uint64_t lane);
/* The sum of what was measured under that name. */
int64_t rig_measure_sum(const struct rig *rig, enum qb_measure what);
/* The newest of them; -1: there is none. */
int64_t rig_measure_newest(const struct rig *rig, enum qb_measure what);
/* The part of the first log line that follows the piece; NULL: none. */
const char *rig_log_find(const struct rig *rig, const char *piece);
/* Monotonic. */
int64_t rig_now_ms(void);

/* One turn of RIG_WAIT. */
void rig_turn(struct rig *rig, int64_t end_ms, const char *expression);

/* Polls until the expression holds; fails the test at the deadline. */
#define RIG_WAIT(rig, expression, deadline_ms)                                                                         \
	for (int64_t end_ms_ = rig_now_ms() + (deadline_ms); !(expression);)                                               \
	rig_turn(rig, end_ms_, #expression)

#endif
