/* SPDX-License-Identifier: MIT */
#include "core/ledger.h"
#include "core/msg.h"
#include "core/order.h"
#include "core/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void without_an_order_every_message_is_free(void **state)
{
	struct order order;
	struct entry entries[2] = {0};
	(void)state;
	order_init(&order, ORDERING_NONE);
	assert_true(order_enter(&order, &entries[0], 7));
	assert_true(order_enter(&order, &entries[1], 7));
	assert_null(order_leave(&order, &entries[0]));
	order_done(&order);
}

static void a_message_without_a_key_is_free(void **state)
{
	struct order order;
	struct entry entries[2] = {0};
	(void)state;
	order_init(&order, ORDERING_KEY);
	assert_true(order_enter(&order, &entries[0], 0));
	assert_true(order_enter(&order, &entries[1], 0));
	order_done(&order);
}

static void a_header_goes_before_the_key_and_the_key_before_the_routing_key(void **state)
{
	const struct qb_header headers[] = {
		{{"custom", 6}, {"a", 1}}, {{"customer", 8}, {"b", 1}}, {{"none", 4}, {NULL, 0}}};
	struct qb_message message = {.routing_key = {"d", 1}, .headers = headers, .n_headers = 3};
	(void)state;
	assert_memory_equal(msg_order_key(&message, "customer").data, "b", 1);
	assert_memory_equal(msg_order_key(&message, "none").data, "d", 1);
	assert_memory_equal(msg_order_key(&message, NULL).data, "d", 1);
	message.key = (struct qb_bytes){"c", 1};
	assert_memory_equal(msg_order_key(&message, "cust").data, "c", 1);
	assert_memory_equal(msg_order_key(&message, "customer").data, "b", 1);
}

/* Against a model: per key a queue of numbers; the front of each queue is free, the others wait. */
static void each_key_goes_forward_one_by_one_in_the_order_of_arrival(void **state)
{
	enum { KEYS = 700, ENTRIES = 20000 };
	struct entry *entries = calloc(ENTRIES, sizeof *entries);
	size_t *next_of_key = calloc(KEYS + 1, sizeof *next_of_key), *last_of_key = calloc(KEYS + 1, sizeof *last_of_key);
	size_t *follower = calloc(ENTRIES + 1, sizeof *follower);
	struct order order;
	uint64_t seed = 3;
	(void)state;
	order_init(&order, ORDERING_KEY);
	for (size_t i = 0; i < ENTRIES; i++) {
		size_t key = 1 + (size_t)(retry_random(&seed) % KEYS);
		list_init(&entries[i].link);
		entries[i].receipt = (int64_t)key;
		assert_int_equal(order_enter(&order, &entries[i], key), next_of_key[key] == 0);
		if (!next_of_key[key])
			next_of_key[key] = i + 1;
		else
			follower[last_of_key[key]] = i + 1;
		last_of_key[key] = i + 1;
	}
	for (size_t n = 0; n < ENTRIES;) {
		size_t key = 1 + (size_t)(retry_random(&seed) % KEYS);
		size_t front = next_of_key[key];
		if (!front)
			continue;
		struct entry *next = order_leave(&order, &entries[front - 1]);
		next_of_key[key] = follower[front];
		assert_ptr_equal(next, follower[front] ? &entries[follower[front] - 1] : NULL);
		n++;
	}
	assert_int_equal(order.n_groups, 0);
	order_done(&order);
	free(follower);
	free(last_of_key);
	free(next_of_key);
	free(entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_an_order_every_message_is_free),
		cmocka_unit_test(a_message_without_a_key_is_free),
		cmocka_unit_test(a_header_goes_before_the_key_and_the_key_before_the_routing_key),
		cmocka_unit_test(each_key_goes_forward_one_by_one_in_the_order_of_arrival),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
