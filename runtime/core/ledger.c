/* SPDX-License-Identifier: MIT */
/* The ledger of a pipeline. Whoever wants to know what may happen to a message reads entry_moves. */
#include "core/ledger.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

static const char *const entry_state_names[] = {
	[ENTRY_READY] = "ready",
	[ENTRY_BEHIND] = "behind",
	[ENTRY_RESERVED] = "reserved",
	[ENTRY_WAITING] = "waiting",
	[ENTRY_PARKED] = "parked",
	[ENTRY_SETTLED] = "settled",
	[ENTRY_ORPHAN] = "orphan",
};

#define TO(state) (1u << (state))

/* Legal moves. An entry that is dropped with its lane needs none: it is freed. */
static const unsigned entry_moves[] = {
	[ENTRY_READY] = TO(ENTRY_RESERVED) | TO(ENTRY_PARKED) | TO(ENTRY_SETTLED),
	[ENTRY_BEHIND] = TO(ENTRY_READY),
	[ENTRY_RESERVED] = TO(ENTRY_SETTLED) | TO(ENTRY_WAITING) | TO(ENTRY_PARKED) | TO(ENTRY_READY) | TO(ENTRY_ORPHAN),
	[ENTRY_WAITING] = TO(ENTRY_READY),
	[ENTRY_PARKED] = TO(ENTRY_SETTLED) | TO(ENTRY_WAITING),
	[ENTRY_SETTLED] = 0,
	[ENTRY_ORPHAN] = 0,
};

static bool entry_is_running(enum entry_state state)
{
	return state == ENTRY_RESERVED || state == ENTRY_PARKED;
}

/* Takes the entry out of the list or heap that its state stands for, and out of the counters. */
static void entry_leave_state(struct ledger *ledger, struct entry *entry)
{
	list_remove(&entry->link);
	if (entry->state == ENTRY_WAITING)
		heap_remove(&ledger->waiting, &entry->due);
	ledger->n_in[entry->state]--;
	entry->lane->n_running -= entry_is_running(entry->state);
	entry->lane->n_above -= entry->state == ENTRY_SETTLED;
	entry->lane->n_orphans -= entry->state == ENTRY_ORPHAN;
}

static void entry_enter_state(struct ledger *ledger, struct entry *entry, enum entry_state state)
{
	entry->state = state;
	ledger->n_in[state]++;
	entry->lane->n_running += entry_is_running(state);
	entry->lane->n_above += state == ENTRY_SETTLED;
	entry->lane->n_orphans += state == ENTRY_ORPHAN;
}

static void entry_move(struct ledger *ledger, struct entry *entry, enum entry_state state)
{
	if (!(entry_moves[entry->state] & TO(state))) {
		/* Going on could settle what nobody handled; ending loses nothing. */
		log_say(
			LOG_ERROR, NULL, "an entry moves from %s to %s", entry_state_names[entry->state], entry_state_names[state]);
		abort();
	}
	entry_leave_state(ledger, entry);
	entry_enter_state(ledger, entry, state);
}

void ledger_init(struct ledger *ledger, const struct pipeline_conf *conf)
{
	*ledger = (struct ledger){.conf = conf};
	slots_init(&ledger->entries, sizeof(struct entry));
	order_init(&ledger->order, conf->ordering);
	list_init(&ledger->ready);
	list_init(&ledger->suspects);
	list_init(&ledger->letters);
	list_init(&ledger->parked);
}

void ledger_done(struct ledger *ledger)
{
	heap_done(&ledger->waiting);
	order_done(&ledger->order);
	slots_done(&ledger->entries);
}

static void entry_release_row(struct ledger *ledger, struct entry *entry)
{
	if (entry->batch)
		msg_batch_unref(entry->batch);
	entry->batch = NULL;
	if (!entry->grave)
		return;
	ledger->n_refused -= entry->grave->is_refused;
	free(entry->grave);
	entry->grave = NULL;
}

/* An entry that will stay for long moves out of a batch that is much bigger than it. */
static void entry_own_row(struct entry *entry)
{
	if (entry->batch->size < 4 * (size_t)entry->row_len || entry->batch->n_items == 1)
		return;
	struct msg_batch *own = msg_batch_of_one(entry->batch, entry->row);
	if (own->released)
		*own->released -= own->size; /* it will be added when it goes, though it never came */
	msg_batch_unref(entry->batch);
	entry->batch = own;
	entry->row = own->rows;
}

static void entry_free(struct ledger *ledger, struct entry *entry)
{
	entry_leave_state(ledger, entry);
	entry_release_row(ledger, entry);
	slots_give(&ledger->entries, entry);
}

/* Its successor in the group comes forward. */
static void entry_leave_group(struct ledger *ledger, struct entry *entry)
{
	struct entry *next = order_leave(&ledger->order, entry);
	if (!next)
		return;
	entry_move(ledger, next, ENTRY_READY);
	list_add_tail(&ledger->ready, &next->link);
}

static uint64_t ledger_group_key(const struct ledger *ledger, const struct msg_item *item)
{
	switch (ledger->order.mode) {
	case ORDERING_KEY:
		return item->key_hash;
	case ORDERING_PARTITION:
		return item->lane->group_key;
	case ORDERING_NONE:
		break;
	}
	return 0;
}

struct entry *ledger_admit(struct ledger *ledger, struct msg_batch *batch, const struct msg_item *item, int64_t now_us)
{
	struct entry *entry = slots_take(&ledger->entries);
	*entry = (struct entry){
		.lane = item->lane,
		.batch = batch,
		.row = batch->rows + item->row_offset,
		.row_len = item->row_len,
		.body_len = item->body_len,
		.receipt = item->receipt,
		.admitted_us = now_us,
		.timestamp_ms = item->timestamp_ms,
		.attempt = 1, /* what the broker counts are hand-backs, not attempts: nobody need have handled it */
	};
	list_init(&entry->link);
	msg_batch_ref(batch);
	lane_add(item->lane, entry);
	if (order_enter(&ledger->order, entry, ledger_group_key(ledger, item))) {
		entry_enter_state(ledger, entry, ENTRY_READY);
		list_add_tail(&ledger->ready, &entry->link);
	} else {
		entry_enter_state(ledger, entry, ENTRY_BEHIND);
	}
	return entry;
}

struct entry *ledger_next(const struct ledger *ledger)
{
	struct list *link = list_peek(&ledger->ready);
	return link ? list_item(link, struct entry, link) : NULL;
}

void ledger_reserve(struct ledger *ledger, struct entry *entry, uint64_t id)
{
	entry_move(ledger, entry, ENTRY_RESERVED);
	entry->id = id;
	entry->is_broken = false;
}

static void ledger_passed(void *ctx, struct entry *entry)
{
	entry_free(ctx, entry);
}

bool ledger_skip(struct ledger *ledger, const struct msg_item *item)
{
	struct entry *entry = slots_take(&ledger->entries);
	*entry = (struct entry){.lane = item->lane, .receipt = item->receipt};
	list_init(&entry->link);
	lane_add(item->lane, entry);
	entry_enter_state(ledger, entry, ENTRY_SETTLED);
	ledger->n_released++;
	return lane_advance(item->lane, ledger_passed, ledger);
}

/* The last orphan of a closed lane takes the lane with it. */
static void ledger_orphan_free(struct ledger *ledger, struct entry *entry)
{
	struct lane *lane = entry->lane;
	entry_leave_group(ledger, entry);
	entry_free(ledger, entry);
	ledger->n_released++;
	if (!lane->n_orphans)
		lane_free(lane);
}

bool ledger_settle(struct ledger *ledger, struct entry *entry)
{
	if (entry->state == ENTRY_ORPHAN) {
		ledger_orphan_free(ledger, entry);
		return false;
	}
	entry_move(ledger, entry, ENTRY_SETTLED);
	entry_leave_group(ledger, entry);
	entry_release_row(ledger, entry);
	ledger->n_released++;
	lane_advance(entry->lane, ledger_passed, ledger);
	return true;
}

bool ledger_wait(struct ledger *ledger, struct entry *entry, int64_t due_us)
{
	if (entry->state == ENTRY_ORPHAN) {
		ledger_orphan_free(ledger, entry);
		return false;
	}
	entry_move(ledger, entry, ENTRY_WAITING);
	entry_own_row(entry);
	heap_put(&ledger->waiting, &entry->due, due_us);
	return true;
}

bool ledger_return(struct ledger *ledger, struct entry *entry)
{
	if (entry->state == ENTRY_ORPHAN) {
		ledger_orphan_free(ledger, entry);
		return false;
	}
	entry_move(ledger, entry, ENTRY_READY);
	list_add_head(entry->is_suspect ? &ledger->suspects : &ledger->ready, &entry->link);
	return true;
}

bool ledger_park(struct ledger *ledger, struct entry *entry)
{
	if (entry->state == ENTRY_ORPHAN) {
		ledger_orphan_free(ledger, entry);
		return false;
	}
	entry_move(ledger, entry, ENTRY_PARKED);
	list_add_tail(&ledger->parked, &entry->link);
	return true;
}

void ledger_refused(struct ledger *ledger, struct entry *entry, bool by_target)
{
	ledger->n_refused += by_target;
	ledger->n_refused -= entry->grave->is_refused;
	entry->grave->is_refused = by_target;
	entry->grave->n_refused++;
}

void ledger_hurry(struct ledger *ledger, struct entry *entry, int64_t now_us)
{
	entry->grave->n_refused = 0;
	if (entry->state == ENTRY_WAITING)
		heap_put(&ledger->waiting, &entry->due, now_us);
}

int64_t ledger_wake(struct ledger *ledger, int64_t now_us, bool to_front)
{
	struct heap_node *node;
	while ((node = heap_peek(&ledger->waiting)) && node->at_us <= now_us) {
		struct entry *entry = list_item(node, struct entry, due);
		struct list *list = entry->is_suspect ? &ledger->suspects : &ledger->ready;
		if (entry->grave)
			list = &ledger->letters;
		entry_move(ledger, entry, ENTRY_READY);
		(to_front ? list_add_head : list_add_tail)(list, &entry->link);
	}
	return node ? node->at_us : CLOCK_NEVER;
}

/* BEHIND entries of the lane go before any front of theirs can call them forward. */
static void ledger_drop_behind(struct lane *lane)
{
	for (struct entry *entry = lane->head; entry; entry = entry->lane_next) {
		if (entry->state == ENTRY_BEHIND) {
			list_remove(&entry->link);
			entry->group = NULL;
		}
	}
}

void ledger_lane_close(struct ledger *ledger, struct lane *lane)
{
	lane->state = LANE_CLOSED;
	list_remove(&lane->link);
	list_remove(&lane->dirty_link);
	ledger_drop_behind(lane);
	for (struct entry *entry = lane->head, *next; entry; entry = next) {
		next = entry->lane_next;
		entry->lane_next = NULL;
		if (entry->state == ENTRY_RESERVED) {
			entry_move(ledger, entry, ENTRY_ORPHAN);
			continue;
		}
		ledger->n_released += entry->state != ENTRY_SETTLED;
		entry_leave_group(ledger, entry);
		entry_free(ledger, entry);
	}
	lane->head = lane->tail = NULL;
	lane->n_entries = 0;
	if (!lane->n_orphans)
		lane_free(lane);
}

const char *ledger_check(const struct ledger *ledger, const struct list *lanes)
{
	const char *wrong = heap_check(&ledger->waiting);
	size_t n_in[ENTRY_STATES] = {0}, n_refused = 0;
	list_each(pos, lanes)
	{
		const struct lane *lane = list_item(pos, struct lane, link);
		wrong = wrong ? wrong : lane_check(lane);
		for (const struct entry *entry = lane->head; entry; entry = entry->lane_next) {
			n_in[entry->state]++;
			n_refused += entry->grave && entry->grave->is_refused;
			if (entry->state == ENTRY_BEHIND && (!entry->group || entry->group->front == entry))
				return "an entry is behind itself or behind nothing";
			if (entry->state == ENTRY_READY && entry->group && entry->group->front != entry)
				return "an entry is ready although another of its group is in front";
			if ((entry->state == ENTRY_SETTLED) != !entry->batch)
				return "an entry holds its row although settled, or lost it before";
			if ((entry->state == ENTRY_WAITING) != (entry->due.place != 0))
				return "an entry waits without a moment, or has one without waiting";
		}
	}
	for (int state = 0; state < ENTRY_ORPHAN; state++)
		if (n_in[state] != ledger->n_in[state])
			return "a counter of the ledger is wrong";
	if (n_refused != ledger->n_refused)
		return "the count of refused dead letters is wrong";
	return wrong;
}
