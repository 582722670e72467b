/* SPDX-License-Identifier: MIT */
/* The ordering rule: of each group (a key, or a lane) one message at a time is ready or beyond; the others wait behind
 * it in the order in which they came, also while it waits for a retry. Without an order every message is free. Two keys
 * with one hash share a group: never wrong, at worst slower. Enter and leave are O(1). */
#ifndef QBUS_CORE_ORDER_H
#define QBUS_CORE_ORDER_H

#include "base/list.h"
#include "base/slots.h"
#include "core/pipeline_conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entry;

struct order_group {
	uint64_t key;
	struct order_group *next_in_bucket;
	struct entry *front; /* the one that is not BEHIND */
	struct list behind;
};

struct order {
	enum pipeline_ordering mode;
	struct order_group **buckets;
	size_t n_buckets, n_groups;
	struct slots groups;
};

void order_init(struct order *order, enum pipeline_ordering mode);
void order_done(struct order *order);

/* A new entry with this group key (0: free). true: it may be READY; false: it is queued behind. */
bool order_enter(struct order *order, struct entry *entry, uint64_t key);

/* The front entry is settled or dropped. Returns the entry that is now in front (still BEHIND in state), or NULL. */
struct entry *order_leave(struct order *order, struct entry *entry);

#endif
