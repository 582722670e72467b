/* SPDX-License-Identifier: MIT */
/* Puts the environment of a child together. */
#include "pool/environment.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Is text "NAME=..."? */
static bool has_name(const char *text, const char *name)
{
	size_t len = strlen(name);

	return strncmp(text, name, len) == 0 && text[len] == '=';
}

static bool is_hidden(const char *text, const char *const *hidden)
{
	for (; hidden && *hidden; hidden++) {
		if (has_name(text, *hidden))
			return true;
	}
	return false;
}

/* Takes text. */
static void add(struct environment *environment, char *text)
{
	environment->strings = alloc_resize(environment->strings, (environment->n + 2) * sizeof(char *));
	environment->strings[environment->n++] = text;
	environment->strings[environment->n] = NULL;
}

void environment_init(struct environment *environment)
{
	environment->n = 0;
	environment->strings = alloc_zero(sizeof(char *));
}

void environment_done(struct environment *environment)
{
	for (size_t i = 0; i < environment->n; i++)
		free(environment->strings[i]);
	free(environment->strings);
	*environment = (struct environment){0};
}

void environment_inherit(struct environment *environment, const char *const *inherited, const char *const *hidden)
{
	for (; inherited && *inherited; inherited++) {
		if (!is_hidden(*inherited, hidden))
			add(environment, alloc_string(*inherited, strlen(*inherited)));
	}
}

void environment_set(struct environment *environment, const char *name, const char *value)
{
	size_t size = strlen(name) + strlen(value) + 2;
	char *text = alloc_new(size);

	snprintf(text, size, "%s=%s", name, value);
	for (size_t i = 0; i < environment->n; i++) {
		if (has_name(environment->strings[i], name)) {
			free(environment->strings[i]);
			environment->strings[i] = text;
			return;
		}
	}
	add(environment, text);
}

const char *environment_find(const char *block, size_t len, const char *name)
{
	const char *end = block + len;

	for (const char *stop; block < end && (stop = memchr(block, 0, (size_t)(end - block))); block = stop + 1) {
		if (has_name(block, name))
			return strchr(block, '=') + 1;
	}
	return NULL;
}
