/* SPDX-License-Identifier: MIT */
/* A sorted array that grows at its end; what is done with is squeezed out when it outweighs what is open. A tag held
 * for an hour therefore costs nothing, while a ring indexed by tag would grow with every message that passes it. */
#include "tags.h"

#include <assert.h>
#include <stdlib.h>

enum tag_state { TAG_HELD, TAG_SETTLED, TAG_GONE };

struct tags_entry {
	uint64_t tag;
	enum tag_state state;
};

#define CAPACITY_MIN 64u

void tags_init(struct tags *tags)
{
	*tags = (struct tags){.entries = NULL};
}

void tags_done(struct tags *tags)
{
	free(tags->entries);
	tags_init(tags);
}

void tags_clear(struct tags *tags)
{
	tags->begin = tags->end = 0;
	tags->n_held = tags->n_settled = 0;
}

static void tags_squeeze(struct tags *tags)
{
	size_t n = 0;

	for (size_t i = tags->begin; i < tags->end; i++)
		if (tags->entries[i].state != TAG_GONE)
			tags->entries[n++] = tags->entries[i];
	tags->begin = 0;
	tags->end = n;
}

/* Makes room for one more. Squeezing only when at least half is free keeps the price of an addition constant. */
static void tags_reserve(struct tags *tags)
{
	if (tags->end < tags->capacity)
		return;
	if ((tags->n_held + tags->n_settled) * 2 <= tags->capacity && tags->capacity) {
		tags_squeeze(tags);
		return;
	}
	tags->capacity = tags->capacity ? tags->capacity * 2 : CAPACITY_MIN;
	tags->entries = realloc(tags->entries, tags->capacity * sizeof(*tags->entries));
	if (!tags->entries)
		abort();
}

void tags_add(struct tags *tags, uint64_t tag)
{
	assert(tags->begin == tags->end || tags->entries[tags->end - 1].tag < tag);
	tags_reserve(tags);
	tags->entries[tags->end++] = (struct tags_entry){.tag = tag, .state = TAG_HELD};
	tags->n_held++;
}

static struct tags_entry *tags_find_held(const struct tags *tags, uint64_t tag)
{
	size_t low = tags->begin, high = tags->end;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tags->entries[middle].tag < tag)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == tags->end || tags->entries[low].tag != tag || tags->entries[low].state != TAG_HELD)
		return NULL;
	return &tags->entries[low];
}

bool tags_settle(struct tags *tags, uint64_t tag, int64_t now_us)
{
	struct tags_entry *entry = tags_find_held(tags, tag);

	if (!entry)
		return false;
	entry->state = TAG_SETTLED;
	tags->n_held--;
	if (!tags->n_settled++)
		tags->since_us = now_us;
	return true;
}

bool tags_remove(struct tags *tags, uint64_t tag)
{
	struct tags_entry *entry = tags_find_held(tags, tag);

	if (!entry)
		return false;
	entry->state = TAG_GONE;
	tags->n_held--;
	return true;
}

bool tags_take_run(struct tags *tags, uint64_t *ret_tag)
{
	uint64_t last = 0;

	/* `multiple` must name a tag that is open itself, so the last settled one counts, not the last of the run. */
	for (; tags->begin < tags->end && tags->entries[tags->begin].state != TAG_HELD; tags->begin++) {
		if (tags->entries[tags->begin].state != TAG_SETTLED)
			continue;
		last = tags->entries[tags->begin].tag;
		tags->n_settled--;
	}
	if (last)
		*ret_tag = last;
	return last != 0;
}

size_t tags_take_single(struct tags *tags, uint64_t *ret_tags, size_t n)
{
	size_t n_taken = 0;

	for (size_t i = tags->begin; i < tags->end && n_taken < n && tags->n_settled; i++) {
		if (tags->entries[i].state != TAG_SETTLED)
			continue;
		tags->entries[i].state = TAG_GONE;
		tags->n_settled--;
		ret_tags[n_taken++] = tags->entries[i].tag;
	}
	return n_taken;
}

size_t tags_count(const struct tags *tags, uint64_t after)
{
	size_t n = 0;

	for (size_t i = tags->end; i > tags->begin && tags->entries[i - 1].tag > after; i--)
		n += tags->entries[i - 1].state != TAG_GONE;
	return n;
}

bool tags_is_due(const struct tags *tags, size_t prefetch, int64_t now_us)
{
	return tags->n_settled && (tags->n_settled >= (prefetch + 3) / 4 || now_us >= tags_due_us(tags));
}

int64_t tags_due_us(const struct tags *tags)
{
	return tags->n_settled ? tags->since_us + TAGS_PATIENCE_US : INT64_MAX;
}

const char *tags_check(const struct tags *tags)
{
	size_t n[3] = {0};

	if (tags->begin > tags->end || tags->end > tags->capacity)
		return "the open range lies outside the array";
	for (size_t i = tags->begin; i < tags->end; i++) {
		if (i > tags->begin && tags->entries[i - 1].tag >= tags->entries[i].tag)
			return "tags do not ascend";
		n[tags->entries[i].state]++;
	}
	if (n[TAG_HELD] != tags->n_held)
		return "the count of held tags is wrong";
	if (n[TAG_SETTLED] != tags->n_settled)
		return "the count of settled tags is wrong";
	return NULL;
}
