/* SPDX-License-Identifier: MIT */
/* Pool of equal objects. */
#include "base/slots.h"

#include "base/alloc.h"

#include <stdlib.h>

enum { SLOTS_CHUNK_BYTES = 32 * 1024, SLOTS_ALIGN = 16 };

void slots_init(struct slots *slots, size_t size)
{
	*slots = (struct slots){.size = (size + SLOTS_ALIGN - 1) / SLOTS_ALIGN * SLOTS_ALIGN};
}

void slots_done(struct slots *slots)
{
	for (size_t i = 0; i < slots->n_chunks; i++)
		free(slots->chunks[i]);
	free(slots->chunks);
	*slots = (struct slots){0};
}

static void slots_grow(struct slots *slots)
{
	size_t count = SLOTS_CHUNK_BYTES / slots->size ? SLOTS_CHUNK_BYTES / slots->size : 1;
	char *chunk = alloc_new(count * slots->size);
	slots->chunks = alloc_resize(slots->chunks, (slots->n_chunks + 1) * sizeof *slots->chunks);
	slots->chunks[slots->n_chunks++] = chunk;
	for (size_t i = count; i-- > 0;) {
		void **object = (void **)(void *)(chunk + i * slots->size);
		*object = slots->free_list;
		slots->free_list = object;
	}
}

void *slots_take(struct slots *slots)
{
	if (!slots->free_list)
		slots_grow(slots);
	void **object = slots->free_list;
	slots->free_list = *object;
	slots->n_taken++;
	return object;
}

void slots_give(struct slots *slots, void *object)
{
	*(void **)object = slots->free_list;
	slots->free_list = object;
	slots->n_taken--;
}
