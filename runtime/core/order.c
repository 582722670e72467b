/* SPDX-License-Identifier: MIT */
/* Groups in a chained hash table that doubles; group keys are hashes already. */
#include "core/order.h"

#include "base/alloc.h"
#include "core/ledger.h"

#include <assert.h>
#include <stdlib.h>

enum { ORDER_BUCKETS_FIRST = 256 };

void order_init(struct order *order, enum pipeline_ordering mode)
{
	*order = (struct order){.mode = mode};
	slots_init(&order->groups, sizeof(struct order_group));
}

void order_done(struct order *order)
{
	free(order->buckets);
	slots_done(&order->groups);
	*order = (struct order){0};
}

static struct order_group **order_bucket(const struct order *order, uint64_t key)
{
	return &order->buckets[key & (order->n_buckets - 1)];
}

static void order_grow(struct order *order)
{
	struct order_group **old = order->buckets;
	size_t n_old = order->n_buckets;
	order->n_buckets = n_old ? 2 * n_old : ORDER_BUCKETS_FIRST;
	order->buckets = alloc_zero(order->n_buckets * sizeof *order->buckets);
	for (size_t i = 0; i < n_old; i++) {
		for (struct order_group *group = old[i], *next; group; group = next) {
			struct order_group **bucket = order_bucket(order, group->key);
			next = group->next_in_bucket;
			group->next_in_bucket = *bucket;
			*bucket = group;
		}
	}
	free(old);
}

static struct order_group *order_find(const struct order *order, uint64_t key)
{
	struct order_group *group = order->n_buckets ? *order_bucket(order, key) : NULL;
	while (group && group->key != key)
		group = group->next_in_bucket;
	return group;
}

bool order_enter(struct order *order, struct entry *entry, uint64_t key)
{
	entry->group = NULL;
	if (order->mode == ORDERING_NONE || !key)
		return true;
	struct order_group *group = order_find(order, key);
	if (group) {
		entry->group = group;
		list_add_tail(&group->behind, &entry->link);
		return false;
	}
	if (order->n_groups >= order->n_buckets)
		order_grow(order);
	struct order_group **bucket = order_bucket(order, key);
	group = slots_take(&order->groups);
	*group = (struct order_group){.key = key, .next_in_bucket = *bucket, .front = entry};
	list_init(&group->behind);
	*bucket = group;
	order->n_groups++;
	entry->group = group;
	return true;
}

static void order_group_free(struct order *order, struct order_group *group)
{
	struct order_group **at = order_bucket(order, group->key);
	while (*at != group)
		at = &(*at)->next_in_bucket;
	*at = group->next_in_bucket;
	order->n_groups--;
	slots_give(&order->groups, group);
}

struct entry *order_leave(struct order *order, struct entry *entry)
{
	struct order_group *group = entry->group;
	if (!group)
		return NULL;
	assert(group->front == entry);
	entry->group = NULL;
	struct list *next = list_take(&group->behind);
	if (!next) {
		order_group_free(order, group);
		return NULL;
	}
	group->front = list_item(next, struct entry, link);
	return group->front;
}
