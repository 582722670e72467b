/* SPDX-License-Identifier: MIT */
/* How often the log tells what happens thousands of times a second: each kind of it once in SAYING_US, SAYING_KINDS of
 * them at most, so that neither hides another. All zero at first. */
#ifndef QBUS_CORE_SAYING_H
#define QBUS_CORE_SAYING_H

#include <stdbool.h>
#include <stdint.h>

enum { SAYING_KINDS = 8, SAYING_US = 10000000 };

struct sayings {
	struct saying {
		uint64_t kind;
		int64_t said_us; /* 0: never */
		uint64_t n_hidden;
	} of[SAYING_KINDS];
};

/* What two texts have in common that differ in words with a digit only: numbers, times, identifiers. */
uint64_t saying_kind(const char *text);

/* Is it to be said now? *ret_hidden, set then: how many of its kind were not since it was said last. */
bool saying_is_due(struct sayings *sayings, uint64_t kind, int64_t now_us, uint64_t *ret_hidden);

#endif
