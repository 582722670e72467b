/* SPDX-License-Identifier: MIT */
/* Kinds of lines, and when each was said last. */
#include "core/saying.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

static const char saying_breaks[] = " \t\n.,:;=\"'()[]{}<>";

/* Looks at each character once: a handler may give 64 KiB as its error. */
uint64_t saying_kind(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u;
	while (*(text += strspn(text, saying_breaks))) {
		const char *end = text + strcspn(text, saying_breaks);
		uint64_t with = hash;
		bool has_digit = false;
		for (; text < end; text++) {
			has_digit |= isdigit((unsigned char)*text);
			with = (with ^ (unsigned char)*text) * 0x100000001b3u;
		}
		hash = has_digit ? hash : with;
	}
	return hash;
}

/* Where that kind stands, else whichever has been silent for longest. */
static struct saying *saying_find(struct sayings *sayings, uint64_t kind)
{
	struct saying *oldest = &sayings->of[0];
	for (size_t i = 0; i < SAYING_KINDS; i++) {
		struct saying *saying = &sayings->of[i];
		if (saying->said_us && saying->kind == kind)
			return saying;
		if (saying->said_us < oldest->said_us)
			oldest = saying;
	}
	return oldest;
}

bool saying_is_due(struct sayings *sayings, uint64_t kind, int64_t now_us, uint64_t *ret_hidden)
{
	struct saying *saying = saying_find(sayings, kind);
	if (saying->said_us && now_us - saying->said_us < SAYING_US) {
		saying->n_hidden += saying->kind == kind;
		return false;
	}
	*ret_hidden = saying->said_us && saying->kind == kind ? saying->n_hidden : 0;
	*saying = (struct saying){.kind = kind, .said_us = now_us};
	return true;
}
