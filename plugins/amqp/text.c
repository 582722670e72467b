/* SPDX-License-Identifier: MIT */
/* Growing bytes and the JSON string on top of them. */
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 256u
#define LARGE_BYTES 65536u

void text_done(struct text *text)
{
	free(text->data);
	*text = (struct text){.data = NULL};
}

int text_reserve(struct text *text, size_t n)
{
	size_t capacity = text->capacity ? text->capacity : CAPACITY_MIN;

	if (n <= text->capacity - text->len)
		return 0;
	if (n > SIZE_MAX / 4 - text->len)
		return -ENOMEM;
	while (capacity - text->len < n)
		capacity *= 2;

	/* A large body is not worth twice its size. */
	if (n > LARGE_BYTES)
		capacity = text->len + n;

	char *data = realloc(text->data, capacity);

	if (!data)
		return -ENOMEM;
	text->data = data;
	text->capacity = capacity;
	return 0;
}

struct range text_add(struct text *text, const void *data, size_t len)
{
	struct range range = {.at = text->len, .len = len};

	if (text_reserve(text, len) < 0)
		abort();
	if (len)
		memcpy(text->data + text->len, data, len);
	text->len += len;
	return range;
}

void text_format(struct text *text, const char *format, ...)
{
	char line[128];
	va_list args;

	va_start(args, format);
	int len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	text_add(text, line, len < (int)sizeof(line) ? (size_t)len : sizeof(line) - 1);
}

/* Length of the UTF-8 sequence at p, 0: it is none. Overlong forms and surrogates are none. */
static size_t utf8_len(const unsigned char *p, size_t len)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : 4;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
		(p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

void text_add_json(struct text *text, const void *data, size_t len)
{
	const unsigned char *p = data;

	text_add(text, "\"", 1);
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_len(p + i, len - i);
		if (n == 0 || p[i] < 0x20) {
			n = 1;
			text_format(text, "\\u%04x", p[i]);
			continue;
		}
		if (p[i] == '"' || p[i] == '\\')
			text_add(text, "\\", 1);
		text_add(text, p + i, n);
	}
	text_add(text, "\"", 1);
}
