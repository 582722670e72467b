/* SPDX-License-Identifier: MIT */
/* Memory that is given back all at once. One block an allocation: configurations are small, and a tool that watches the
 * bounds of blocks sees every overrun. */
#include "host/conf_arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct block {
	struct block *next;
	max_align_t bytes[];
};

struct conf_arena {
	struct block *blocks;
};

struct conf_arena *conf_arena_new(void)
{
	return alloc_zero(sizeof(struct conf_arena));
}

void conf_arena_free(struct conf_arena *arena)
{
	if (!arena)
		return;
	for (struct block *block = arena->blocks, *next; block; block = next) {
		next = block->next;
		free(block);
	}
	free(arena);
}

void *conf_arena_take(struct conf_arena *arena, size_t size)
{
	struct block *block = alloc_zero(sizeof *block + size);
	block->next = arena->blocks;
	arena->blocks = block;
	return block->bytes;
}

void *conf_arena_take_array(struct conf_arena *arena, size_t n, size_t size)
{
	assert(size && n <= SIZE_MAX / 2 / size);
	return conf_arena_take(arena, n * size);
}

char *conf_arena_copy(struct conf_arena *arena, const char *text, size_t len)
{
	char *copy = conf_arena_take(arena, len + 1);
	if (len)
		memcpy(copy, text, len);
	return copy;
}

char *conf_arena_print(struct conf_arena *arena, const char *format, ...)
{
	va_list list;
	char *printed = NULL;
	va_start(list, format);
	int len = vasprintf(&printed, format, list);
	va_end(list);
	if (len < 0)
		abort();
	char *text = conf_arena_copy(arena, printed, (size_t)len);
	free(printed);
	return text;
}
