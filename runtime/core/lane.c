/* SPDX-License-Identifier: MIT */
/* A lane's entries and its position. */
#include "core/lane.h"

#include "base/alloc.h"
#include "core/ledger.h"

#include <assert.h>
#include <stdlib.h>

/* Odd, so that partitions of one source fall into different buckets (2^64 divided by the golden ratio). */
#define LANE_STRIDE 0x9e3779b97f4a7c15u

static const char *const lane_state_names[] = {
	[LANE_OPEN] = "open",
	[LANE_CLOSING] = "closing",
	[LANE_CLOSED] = "closed",
};

const char *lane_state_name(enum lane_state state)
{
	return lane_state_names[state];
}

struct lane *lane_new(uint64_t number, const char *source, size_t source_len, int32_t partition, int64_t next)
{
	struct lane *lane = alloc_zero(sizeof *lane);
	list_init(&lane->link);
	list_init(&lane->dirty_link);
	lane->number = number;
	lane->source = alloc_string(source, source_len);
	lane->partition = partition;
	lane->group_key =
		msg_key_hash((struct qb_bytes){lane->source, source_len}) + (uint64_t)(partition + 1) * LANE_STRIDE;
	lane->position = next > 0 ? next - 1 : LANE_RECEIPT_NONE;
	lane->told = lane->kept = lane->position;
	lane->newest = lane->position;
	return lane;
}

void lane_free(struct lane *lane)
{
	if (!lane)
		return;
	assert(!lane->head && !lane->n_orphans);
	list_remove(&lane->link);
	list_remove(&lane->dirty_link);
	free(lane->source);
	free(lane->trouble);
	free(lane->skips);
	free(lane);
}

void lane_add(struct lane *lane, struct entry *entry)
{
	assert(entry->receipt > lane->newest);
	if (lane->newest == LANE_RECEIPT_NONE) /* nobody knew where the lane begins: here */
		lane->position = lane->told = lane->kept = entry->receipt - 1;
	lane->newest = entry->receipt;
	entry->lane_next = NULL;
	if (lane->tail)
		lane->tail->lane_next = entry;
	else
		lane->head = entry;
	lane->tail = entry;
	lane->n_entries++;
}

bool lane_advance(struct lane *lane, void (*done)(void *ctx, struct entry *entry), void *ctx)
{
	int64_t before = lane->position;
	while (lane->head && lane->head->state == ENTRY_SETTLED) {
		struct entry *entry = lane->head;
		lane->position = entry->receipt;
		lane->head = entry->lane_next;
		lane->n_entries--;
		done(ctx, entry);
	}
	if (!lane->head)
		lane->tail = NULL;
	return lane->position != before;
}

uint64_t lane_unproven(const struct lane *lane)
{
	bool is_open = lane->is_dirty || lane->n_asked; /* the last memo has not arrived */
	return (uint64_t)(lane->position - lane->kept) + (is_open ? lane->n_above : lane->n_cut);
}

bool lane_is_skipped(struct lane *lane, int64_t receipt)
{
	while (lane->skip_at < lane->n_skips && lane->skips[lane->skip_at].last < receipt)
		lane->skip_at++;
	return lane->skip_at < lane->n_skips && lane->skips[lane->skip_at].first <= receipt;
}

const char *lane_check(const struct lane *lane)
{
	uint32_t n_entries = 0, n_above = 0, n_running = 0;
	int64_t receipt = lane->position;
	for (const struct entry *entry = lane->head; entry; entry = entry->lane_next) {
		if (entry->receipt <= receipt)
			return "the entries of a lane are not in the order of their receipts above its position";
		if (entry->lane != lane)
			return "an entry stands in a lane that is not its own";
		receipt = entry->receipt;
		n_entries++;
		n_above += entry->state == ENTRY_SETTLED;
		n_running += entry->state == ENTRY_RESERVED || entry->state == ENTRY_PARKED;
	}
	if (lane->head && lane->head->state == ENTRY_SETTLED)
		return "the head of a lane is settled and was not passed";
	if (n_entries != lane->n_entries || n_above != lane->n_above || n_running != lane->n_running)
		return "a counter of a lane is wrong";
	if (lane->told > lane->position || lane->kept > lane->told)
		return "a lane was told or kept further than it is settled";
	return NULL;
}
