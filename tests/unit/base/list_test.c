/* SPDX-License-Identifier: MIT */
/* The list keeps its order, and a link that is taken out is on no list. */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
	int number;
	struct list link;
};

static int number_of(const struct list *link)
{
	return list_item(link, struct item, link)->number;
}

static void an_empty_list_has_no_first(void **state)
{
	(void)state;
	struct list list;
	list_init(&list);
	assert_true(list_is_empty(&list));
	assert_null(list_peek(&list));
	assert_null(list_take(&list));
}

static void links_come_out_as_they_were_put(void **state)
{
	(void)state;
	struct list list;
	struct item items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
	list_init(&list);
	list_add_tail(&list, &items[2].link);
	list_add_head(&list, &items[0].link);
	list_add_before(&items[2].link, &items[1].link);
	list_add_tail(&list, &items[3].link);
	int expected = 0;
	list_each(pos, &list) assert_int_equal(number_of(pos), expected++);
	assert_int_equal(expected, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(number_of(list_take(&list)), i);
	assert_true(list_is_empty(&list));
}

static void a_removed_link_is_on_no_list_and_may_be_removed_again(void **state)
{
	(void)state;
	struct list list;
	struct item one = {.number = 1}, two = {.number = 2};
	list_init(&list);
	list_add_tail(&list, &one.link);
	list_add_tail(&list, &two.link);
	list_remove(&one.link);
	assert_true(list_is_empty(&one.link));
	list_remove(&one.link);
	assert_int_equal(number_of(list_peek(&list)), 2);
}

static void the_safe_walk_allows_removal(void **state)
{
	(void)state;
	struct list list;
	struct item items[5];
	list_init(&list);
	for (int i = 0; i < 5; i++) {
		items[i].number = i;
		list_add_tail(&list, &items[i].link);
	}
	list_each_safe(pos, after, &list)
	{
		if (number_of(pos) % 2 == 0)
			list_remove(pos);
	}
	assert_int_equal(number_of(list_take(&list)), 1);
	assert_int_equal(number_of(list_take(&list)), 3);
	assert_true(list_is_empty(&list));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_list_has_no_first),
		cmocka_unit_test(links_come_out_as_they_were_put),
		cmocka_unit_test(a_removed_link_is_on_no_list_and_may_be_removed_again),
		cmocka_unit_test(the_safe_walk_allows_removal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
