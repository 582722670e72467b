/* SPDX-License-Identifier: MIT */
/* How dead letters are named and printed. A body is never shown. */
#ifndef QBUS_HOST_DLQ_SHOW_H
#define QBUS_HOST_DLQ_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include <qbus/graveyard.h>

enum { DLQ_ID_MAX = 32 };

/* PARTITION/OFFSET; where the broker has neither, a number made from what the letter is. */
void dlq_id_write(const struct qb_message *letter, char ret_id[DLQ_ID_MAX]);

/* The first header of that name. */
bool dlq_header_find(const struct qb_message *letter, const char *name, struct qb_bytes *ret_value);

/* Letters one by one as text, or all of them as one JSON object when the list is freed. */
struct dlq_list;
struct dlq_list *dlq_list_new(FILE *out, bool json);
void dlq_list_add(struct dlq_list *list, const struct qb_message *letter, const char *id);
void dlq_list_free(struct dlq_list *list);

#endif
