/* SPDX-License-Identifier: MIT */
/* Bytes that grow at the end. Parts are remembered as ranges, because growing moves the bytes. */
#ifndef QBUS_AMQP_TEXT_H
#define QBUS_AMQP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *data;
	size_t len;
	size_t capacity;
};

struct range {
	size_t at;
	size_t len;
	bool is_null; /* there is none, which is not the same as empty */
};

void text_done(struct text *text);

/* Room for n more bytes. -ENOMEM: none was made, the text is as it was. */
int text_reserve(struct text *text, size_t n);

/* Appends; aborts when a small allocation fails. data may be NULL when len is 0. */
struct range text_add(struct text *text, const void *data, size_t len);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends a JSON string with its quotes. Bytes that are not UTF-8 become the code points of Latin-1. */
void text_add_json(struct text *text, const void *data, size_t len);

#endif
