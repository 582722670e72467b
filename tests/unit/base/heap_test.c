/* SPDX-License-Identifier: MIT */
/* The heap always shows the earliest moment, whatever is put, moved and removed. */
#include "base/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void an_empty_heap_shows_nothing(void **state)
{
	(void)state;
	struct heap heap = {0};
	assert_null(heap_peek(&heap));
	assert_null(heap_check(&heap));
	heap_done(&heap);
}

static void nodes_come_out_in_the_order_of_their_moments(void **state)
{
	(void)state;
	enum { N = 500 };
	static struct heap_node nodes[N];
	struct heap heap = {0};
	for (size_t i = 0; i < N; i++)
		heap_put(&heap, &nodes[i], (int64_t)(i * 7919 % N));
	assert_null(heap_check(&heap));
	for (int64_t i = 0; i < N; i++) {
		struct heap_node *node = heap_peek(&heap);
		assert_int_equal(node->at_us, i);
		heap_remove(&heap, node);
		assert_int_equal(node->place, 0);
	}
	assert_null(heap_peek(&heap));
	heap_done(&heap);
}

static void removing_a_node_that_is_in_no_heap_does_nothing(void **state)
{
	(void)state;
	struct heap heap = {0};
	struct heap_node in = {0}, out = {0};
	heap_put(&heap, &in, 5);
	heap_remove(&heap, &out);
	assert_ptr_equal(heap_peek(&heap), &in);
	heap_done(&heap);
}

/* Random puts, moves and removals against a search through all nodes. */
static void the_earliest_is_shown_after_every_step(void **state)
{
	(void)state;
	enum { N = 64, STEPS = 20000 };
	struct heap_node nodes[N] = {{0}};
	struct heap heap = {0};
	srand(7);
	for (int step = 0; step < STEPS; step++) {
		struct heap_node *node = &nodes[rand() % N];
		if (rand() % 3)
			heap_put(&heap, node, rand() % 100);
		else
			heap_remove(&heap, node);
		assert_null(heap_check(&heap));
		const struct heap_node *earliest = NULL;
		for (size_t i = 0; i < N; i++)
			if (nodes[i].place && (!earliest || nodes[i].at_us < earliest->at_us))
				earliest = &nodes[i];
		const struct heap_node *shown = heap_peek(&heap);
		assert_int_equal(shown ? shown->at_us : -1, earliest ? earliest->at_us : -1);
	}
	heap_done(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_heap_shows_nothing),
		cmocka_unit_test(nodes_come_out_in_the_order_of_their_moments),
		cmocka_unit_test(removing_a_node_that_is_in_no_heap_does_nothing),
		cmocka_unit_test(the_earliest_is_shown_after_every_step),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
