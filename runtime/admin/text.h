/* SPDX-License-Identifier: MIT */
/* Text from outside (names of topics and clients) that goes into formats which take UTF-8 only. */
#ifndef QBUS_ADMIN_TEXT_H
#define QBUS_ADMIN_TEXT_H

#include <stddef.h>

/* The length of the UTF-8 sequence that text begins with; 0: it begins with none, with a byte that is 0, or with a
 * character above ASCII that controls the terminal or the direction of writing. */
size_t text_sequence(const char *text);

/* A copy, at most size - 1 bytes long, where every byte of what has no such length is a question mark. Returns ret. */
char *text_clean(const char *text, char *ret, size_t size);

#endif
