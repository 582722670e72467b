/* SPDX-License-Identifier: MIT */
/* A lane: an ordered stream whose receipts live and die together (a Kafka partition assignment, an AMQP channel).
 *
 * It keeps its entries in the order of their receipts. Acks come in any order; the lane's *position* is the highest
 * receipt below which nothing is unsettled, and never goes back. Receipts may have holes. What is settled above the
 * position can be written as a memo (run-length, versioned, printable) that travels with the broker's commit, so that
 * the next owner does not deliver it again. Costs: add O(1), settle O(1) amortised, memo O(settled above the position).
 */
#ifndef QBUS_CORE_LANE_H
#define QBUS_CORE_LANE_H

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entry;

enum lane_state {
	LANE_OPEN,
	LANE_CLOSING, /* nothing new is dispatched; what is in flight may finish */
	LANE_CLOSED,  /* its receipts are void */
};

enum { LANE_MEMO_BYTES = 4096, LANE_RECEIPT_NONE = -1 };

struct lane_range {
	int64_t first, last;
};

struct lane {
	struct list link;       /* lanes of the pipeline */
	struct list dirty_link; /* lanes with something to tell the broker */
	uint64_t number;
	uint64_t group_key; /* the same for every lane of this source and partition */
	char *source;
	int32_t partition; /* -1: none */
	enum lane_state state;
	struct entry *head, *tail; /* by receipt; head is unsettled or NULL */
	uint32_t n_entries;        /* between head and tail */
	uint32_t n_above;          /* settled ones among them */
	uint32_t n_running;        /* reserved or parked ones: a closing lane waits for them */
	uint32_t n_orphans;        /* entries of a closed lane that still run */
	int64_t position;          /* LANE_RECEIPT_NONE: nothing settled yet */
	int64_t told, kept;        /* position last given to the source, and last confirmed by the broker */
	uint32_t n_asked;          /* settlements given to the source whose outcome is not known */
	size_t n_cut;              /* settled ones above the position for which the last memo had no room */
	size_t memo_len;           /* of the last memo */
	int64_t newest;            /* highest receipt that came; LANE_RECEIPT_NONE: none */
	int64_t lag; /* messages behind the broker's end, or in its queue, as the plugin measured; 0: unknown */
	bool is_dirty, is_shut;
	bool is_wedged;           /* cannot be read until an operator acts */
	bool is_cancelled;        /* the broker ended it */
	char *trouble;            /* what the plugin said of either; NULL: nothing */
	bool is_drained;          /* closing, and the plugin was told that nothing runs any more */
	struct lane_range *skips; /* settled by an earlier owner */
	size_t n_skips, skip_at;
};

struct lane *lane_new(uint64_t number, const char *source, size_t source_len, int32_t partition, int64_t next);
void lane_free(struct lane *lane); /* has no entries any more */
const char *lane_state_name(enum lane_state state);

/* Appends; receipt must be above every earlier one. */
void lane_add(struct lane *lane, struct entry *entry);

/* After an entry of the lane became SETTLED: takes the settled entries from the head, moves the position, and hands
 * each to `done`, which may free it. Returns whether the position moved. */
bool lane_advance(struct lane *lane, void (*done)(void *ctx, struct entry *entry), void *ctx);

/* Writes what is settled above the position into buf, at most `max` characters of it (LANE_MEMO_BYTES or fewer) and
 * '\0'; returns its length; 0: nothing above, or no room. *ret_cut tells how many settled messages did not fit (they
 * would come again after a restart). */
size_t lane_memo_write(const struct lane *lane, char *buf, size_t max, size_t *ret_cut);

/* Reads a memo that lane_memo_write made, for a lane without entries. Returns 0; -EINVAL for one that something else
 * wrote, -ESTALE for one of another position: then nothing is skipped. */
int lane_memo_read(struct lane *lane, const char *memo, size_t len);

/* At most so many settled messages may come again if the lane closes now: the broker has not shown to have them. Holes
 * between the receipts below the position count as well. */
uint64_t lane_unproven(const struct lane *lane);

/* Was this receipt settled by an earlier owner? Receipts are asked in ascending order. */
bool lane_is_skipped(struct lane *lane, int64_t receipt);

/* The sentence that is wrong, or NULL. O(entries). */
const char *lane_check(const struct lane *lane);

#endif
