/* SPDX-License-Identifier: MIT */
/* Pool of equal objects: taken and given back in O(1), without a call of the allocator per object. Memory grows in
 * chunks and goes back only with slots_done, so it is bounded by the largest number of objects alive at once. One
 * thread. */
#ifndef QBUS_BASE_SLOTS_H
#define QBUS_BASE_SLOTS_H

#include <stddef.h>

struct slots {
	size_t size;     /* of one object, rounded up */
	void *free_list; /* first word of a free object points to the next */
	void **chunks;
	size_t n_chunks;
	size_t n_taken;
};

void slots_init(struct slots *slots, size_t size);
void slots_done(struct slots *slots);
void *slots_take(struct slots *slots); /* not initialised, aligned as malloc's */
void slots_give(struct slots *slots, void *object);

#endif
