/* SPDX-License-Identifier: MIT */
/* Objects of a pool never overlap, are aligned, and are used again. */
#include "base/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void objects_do_not_overlap(void **state)
{
	(void)state;
	enum { N = 3000, SIZE = 40 };
	static unsigned char *objects[N];
	struct slots slots;
	slots_init(&slots, SIZE);
	for (size_t i = 0; i < N; i++) {
		objects[i] = slots_take(&slots);
		assert_int_equal((uintptr_t)objects[i] % 16, 0);
		memset(objects[i], (int)(i % 251), SIZE);
	}
	assert_int_equal(slots.n_taken, N);
	for (size_t i = 0; i < N; i++)
		for (size_t byte = 0; byte < SIZE; byte++)
			assert_int_equal(objects[i][byte], i % 251);
	slots_done(&slots);
}

static void what_is_given_back_is_taken_again_before_memory_grows(void **state)
{
	(void)state;
	struct slots slots;
	slots_init(&slots, 100);
	void *first = slots_take(&slots);
	size_t n_chunks = slots.n_chunks;
	for (int i = 0; i < 100000; i++) {
		slots_give(&slots, first);
		assert_ptr_equal(slots_take(&slots), first);
	}
	assert_int_equal(slots.n_chunks, n_chunks);
	assert_int_equal(slots.n_taken, 1);
	slots_done(&slots);
}

static void an_object_may_be_bigger_than_a_chunk(void **state)
{
	(void)state;
	enum { SIZE = 100000 };
	struct slots slots;
	slots_init(&slots, SIZE);
	char *one = slots_take(&slots), *two = slots_take(&slots);
	memset(one, 1, SIZE);
	memset(two, 2, SIZE);
	assert_int_equal(one[SIZE - 1], 1);
	slots_done(&slots);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_do_not_overlap),
		cmocka_unit_test(what_is_given_back_is_taken_again_before_memory_grows),
		cmocka_unit_test(an_object_may_be_bigger_than_a_chunk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
