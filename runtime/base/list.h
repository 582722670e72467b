/* SPDX-License-Identifier: MIT */
/* Intrusive doubly linked list. A link is its own list; removal needs only the link, so nobody can name the wrong list.
 * Every operation is O(1). A link that is on no list points at itself after list_init or list_remove. */
#ifndef QBUS_BASE_LIST_H
#define QBUS_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

/* The object of type `type` whose member `member` is the link `link`. */
#define list_item(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

#define list_each(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)

/* The same, allowing that `pos` is removed or freed within. */
#define list_each_safe(pos, after, head)                                                                               \
	for (struct list *pos = (head)->next, *after = pos->next; pos != (head); pos = after, after = pos->next)

static inline void list_init(struct list *list)
{
	list->prev = list->next = list;
}

static inline bool list_is_empty(const struct list *list)
{
	return list->next == list;
}

static inline void list_add_before(struct list *pos, struct list *link)
{
	link->prev = pos->prev;
	link->next = pos;
	pos->prev->next = link;
	pos->prev = link;
}

static inline void list_add_tail(struct list *list, struct list *link)
{
	list_add_before(list, link);
}

static inline void list_add_head(struct list *list, struct list *link)
{
	list_add_before(list->next, link);
}

static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* First link, still on the list; NULL: the list is empty. */
static inline struct list *list_peek(const struct list *list)
{
	return list_is_empty(list) ? NULL : list->next;
}

/* First link, taken off; NULL: the list is empty. */
static inline struct list *list_take(struct list *list)
{
	struct list *link = list_peek(list);
	if (link)
		list_remove(link);
	return link;
}

#endif
