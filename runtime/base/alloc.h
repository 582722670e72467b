/* SPDX-License-Identifier: MIT */
/* Allocation that ends the process when it fails. For sizes that are small or were bounded before: a dead proxy loses
 * nothing, what was not settled is delivered again. The result is never NULL and is freed with free(). */
#ifndef QBUS_BASE_ALLOC_H
#define QBUS_BASE_ALLOC_H

#include <stddef.h>

void *alloc_new(size_t size);               /* not initialised */
void *alloc_zero(size_t size);              /* all bytes 0 */
void *alloc_resize(void *old, size_t size); /* as realloc */
char *alloc_string(const char *text, size_t len);

#endif
