/* SPDX-License-Identifier: MIT */
/* The core on a stage: a dispatcher with one pipeline whose source has no thread. The test plays the broker (lanes and
 * messages in, settlements out) and the workers, and turns the clock by hand. */
#ifndef QBUS_TEST_STAGE_H
#define QBUS_TEST_STAGE_H

#include "base/log.h"
#include "core/board.h"
#include "core/source_thread.h"

#include <stdbool.h>
#include <stdint.h>

struct stage_worker {
	struct worker worker;
	bool is_there, was_ended, was_cancelled, is_being_broken;
	size_t n_reminded, n_begun; /* n_begun: how often breaking its calls began */
	uint64_t ids[8192];         /* what was delivered and not yet taken by the test, in order */
	int64_t receipts[8192];
	uint64_t lanes[8192]; /* lane numbers */
	uint32_t attempts[8192];
	size_t n_ids;
};

struct stage {
	struct dispatcher *dispatcher;
	struct pipeline *pipeline;
	struct pipeline_conf conf;
	struct qb_plugin plugin;
	struct qb_source_conf source_conf;
	int64_t now_us;
	uint64_t last_lane;
	uint32_t last_worker;
};

/* traits: QB_SETTLE_PREFIX or QB_SETTLE_EACH and what else. conf has generous limits that the test may change. */
void stage_init(struct stage *stage, uint32_t traits, enum pipeline_ordering ordering);
void stage_done(struct stage *stage);

struct lane *stage_lane(struct stage *stage, int partition, int64_t next, const char *memo);
void stage_lane_closing(struct stage *stage, struct lane *lane);
void stage_lane_close(struct stage *stage, struct lane *lane);
/* One message; key 0: none. */
void stage_arrive(struct stage *stage, struct lane *lane, int64_t receipt, uint64_t key);

void stage_worker_join(struct stage *stage, struct stage_worker *worker, uint32_t credit);
void stage_worker_die(struct stage *stage, struct stage_worker *worker, bool in_peace);
/* Removes index i from what the worker has to do and returns its id. */
uint64_t stage_take(struct stage_worker *worker, size_t index);
void stage_ack(struct stage *stage, struct stage_worker *worker, uint64_t id);

void stage_turn(struct stage *stage, int64_t later_us); /* lets time pass, then one tick */
/* The next order to the source of this kind, or NULL; orders of other kinds before it are dropped. Caller frees. */
struct source_order *stage_order(struct stage *stage, enum order_kind kind);

#endif
