/* SPDX-License-Identifier: MIT */
/* The environment of a child, put together before the fork. Owns its strings. */
#ifndef QBUS_POOL_ENVIRONMENT_H
#define QBUS_POOL_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

struct environment {
	char **strings; /* NAME=VALUE, ends with NULL */
	size_t n;
};

void environment_init(struct environment *environment);
void environment_done(struct environment *environment);

/* Adds each of `inherited` (as environ; NULL: none) whose name is not one of `hidden` (ends with NULL; NULL: none). */
void environment_inherit(struct environment *environment, const char *const *inherited, const char *const *hidden);
/* Adds, or replaces. */
void environment_set(struct environment *environment, const char *name, const char *value);

/* The value of name in a block of strings that each end with a 0 byte (as /proc/PID/environ). NULL: it is not there. */
const char *environment_find(const char *block, size_t len, const char *name);

#endif
