/* SPDX-License-Identifier: MIT */
/* Text from outside (names of topics and clients) that goes into formats which take UTF-8 only. */
#ifndef QBUS_ADMIN_TEXT_H
#define QBUS_ADMIN_TEXT_H

#include <stddef.h>

/* The length of the UTF-8 sequence that text begins with; 0: it begins with none, or with a byte that is 0. */
size_t text_sequence(const char *text);

/* A copy, at most size - 1 bytes long, in which every byte that is no UTF-8 is a question mark. Returns ret. */
char *text_clean(const char *text, char *ret, size_t size);

#endif
