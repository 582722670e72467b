/* SPDX-License-Identifier: MIT */
/* Binary heap of moments: each node knows its place, so that any node is moved or removed in O(log n). */
#ifndef QBUS_BASE_HEAP_H
#define QBUS_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in what has a moment. `place` is 1-based; 0: not in a heap (so a zeroed node is valid). */
struct heap_node {
	int64_t at_us;
	size_t place;
};

struct heap {
	struct heap_node **nodes; /* nodes[0] is unused */
	size_t n_nodes, n_slots;
};

/* A zeroed heap is empty and valid. Frees the array, not the nodes. */
void heap_done(struct heap *heap);

/* Puts the node at this moment; a node already in the heap is moved. */
void heap_put(struct heap *heap, struct heap_node *node, int64_t at_us);

/* Takes the node out; nothing happens when it is in no heap. */
void heap_remove(struct heap *heap, struct heap_node *node);

/* The earliest node, still inside; NULL: empty. */
struct heap_node *heap_peek(const struct heap *heap);

/* The sentence that is wrong, or NULL. O(n). */
const char *heap_check(const struct heap *heap);

#endif
