/* SPDX-License-Identifier: MIT */
/* The delivery tags of one channel that the broker waits for, and how to answer them in few words.
 *
 * A tag is added when its message came, settled when the verdict came, and taken once when the answer goes out. A
 * broker closes the channel at a tag it does not know, so nothing here ever yields a tag twice. Memory and time depend
 * on how many tags are open, not on how far the oldest lies behind. */
#ifndef QBUS_AMQP_TAGS_H
#define QBUS_AMQP_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long a settled tag waits for others, so that many go in one ack. */
#define TAGS_PATIENCE_US 20000

struct tags_entry;

struct tags {
	struct tags_entry *entries; /* ascending; some are done with */
	size_t begin, end, capacity;
	size_t n_held;    /* no verdict yet */
	size_t n_settled; /* acked, and the broker not told */
	int64_t since_us; /* when the oldest of the settled came; valid while n_settled */
};

void tags_init(struct tags *tags);
void tags_done(struct tags *tags);

/* Forgets everything: the channel is gone. */
void tags_clear(struct tags *tags);

/* Tags ascend. */
void tags_add(struct tags *tags, uint64_t tag);

/* The tag's message was acked. False: the tag is not held, nothing may be sent for it. */
bool tags_settle(struct tags *tags, uint64_t tag, int64_t now_us);

/* The tag is answered by itself at once (basic.reject). False: as above. */
bool tags_remove(struct tags *tags, uint64_t tag);

/* Takes the settled run below the lowest held tag; one ack with `multiple` on *ret_tag answers it. False: there is
 * none. */
bool tags_take_run(struct tags *tags, uint64_t *ret_tag);

/* Takes up to n settled tags, the lowest first, each to be acked by itself. Returns how many. */
size_t tags_take_single(struct tags *tags, uint64_t *ret_tags, size_t n);

/* How many tags above `after` the broker has no answer to. Costs time with each of them. */
size_t tags_count(const struct tags *tags, uint64_t after);

/* Whether the settled tags should go now: they hold back a quarter of the prefetch, or waited enough. */
bool tags_is_due(const struct tags *tags, size_t prefetch, int64_t now_us);

/* When they are due by age; INT64_MAX: never. */
int64_t tags_due_us(const struct tags *tags);

/* NULL, or the sentence that is wrong. For tests. */
const char *tags_check(const struct tags *tags);

#endif
