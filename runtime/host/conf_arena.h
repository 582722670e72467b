/* SPDX-License-Identifier: MIT */
/* Memory that is given back all at once: everything that one configuration consists of. Not thread-safe. */
#ifndef QBUS_HOST_CONF_ARENA_H
#define QBUS_HOST_CONF_ARENA_H

#include <stddef.h>

struct conf_arena;

struct conf_arena *conf_arena_new(void);
void conf_arena_free(struct conf_arena *arena); /* takes NULL */
/* All bytes 0, aligned for anything. */
void *conf_arena_take(struct conf_arena *arena, size_t size);
void *conf_arena_take_array(struct conf_arena *arena, size_t n, size_t size);
char *conf_arena_copy(struct conf_arena *arena, const char *text, size_t len);
char *conf_arena_print(struct conf_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
