/* SPDX-License-Identifier: MIT */
/* Allocation that ends the process when it fails. */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *alloc_checked(void *memory)
{
	static const char sentence[] = "qbus-proxy: out of memory, ending; what is not settled comes again\n";
	if (memory)
		return memory;
	ssize_t ignored = write(STDERR_FILENO, sentence, sizeof sentence - 1);
	(void)ignored;
	abort();
}

void *alloc_new(size_t size)
{
	return alloc_checked(malloc(size ? size : 1));
}

void *alloc_zero(size_t size)
{
	return alloc_checked(calloc(1, size ? size : 1));
}

void *alloc_resize(void *old, size_t size)
{
	return alloc_checked(realloc(old, size ? size : 1));
}

char *alloc_string(const char *text, size_t len)
{
	char *copy = alloc_new(len + 1);
	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}
