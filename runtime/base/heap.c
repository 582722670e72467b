/* SPDX-License-Identifier: MIT */
/* Binary heap of moments. Root at 1, children of i at 2i and 2i+1. */
#include "base/heap.h"

#include "base/alloc.h"

#include <stdlib.h>

static void heap_set(struct heap *heap, size_t place, struct heap_node *node)
{
	heap->nodes[place] = node;
	node->place = place;
}

static void heap_up(struct heap *heap, struct heap_node *node)
{
	size_t place = node->place;
	while (place > 1 && heap->nodes[place / 2]->at_us > node->at_us) {
		heap_set(heap, place, heap->nodes[place / 2]);
		place /= 2;
	}
	heap_set(heap, place, node);
}

static void heap_down(struct heap *heap, struct heap_node *node)
{
	size_t place = node->place;
	for (size_t child; (child = 2 * place) <= heap->n_nodes; place = child) {
		if (child < heap->n_nodes && heap->nodes[child + 1]->at_us < heap->nodes[child]->at_us)
			child++;
		if (heap->nodes[child]->at_us >= node->at_us)
			break;
		heap_set(heap, place, heap->nodes[child]);
	}
	heap_set(heap, place, node);
}

void heap_done(struct heap *heap)
{
	free(heap->nodes);
	*heap = (struct heap){0};
}

void heap_put(struct heap *heap, struct heap_node *node, int64_t at_us)
{
	if (!node->place) {
		if (heap->n_nodes + 1 >= heap->n_slots) {
			heap->n_slots = heap->n_slots ? 2 * heap->n_slots : 64;
			heap->nodes = alloc_resize(heap->nodes, heap->n_slots * sizeof *heap->nodes);
		}
		heap_set(heap, ++heap->n_nodes, node);
	}
	node->at_us = at_us;
	heap_up(heap, node);
	heap_down(heap, node);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	if (!node->place)
		return;
	struct heap_node *last = heap->nodes[heap->n_nodes--];
	if (last != node) {
		heap_set(heap, node->place, last);
		heap_up(heap, last);
		heap_down(heap, last);
	}
	node->place = 0;
}

struct heap_node *heap_peek(const struct heap *heap)
{
	return heap->n_nodes ? heap->nodes[1] : NULL;
}

const char *heap_check(const struct heap *heap)
{
	for (size_t i = 1; i <= heap->n_nodes; i++) {
		if (heap->nodes[i]->place != i)
			return "a node does not know its place in the heap";
		if (i > 1 && heap->nodes[i / 2]->at_us > heap->nodes[i]->at_us)
			return "a node of the heap is earlier than its parent";
	}
	return NULL;
}
