/* SPDX-License-Identifier: MIT */
/* The circuit breaker of a pipeline: when the share of failed attempts in a window passes a ratio, delivery stops for a
 * while, then goes on with single messages, and with all of them once one succeeded.
 *
 *     CLOSED -> OPEN -> PROBING -> CLOSED
 *                 ^--------/ a probe failed
 *
 * The window moves in BREAKER_PARTS steps. All calls O(1) and cheap enough for every turn of the loop. */
#ifndef QBUS_CORE_BREAKER_H
#define QBUS_CORE_BREAKER_H

#include "core/pipeline_conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_PROBING };

enum { BREAKER_PARTS = 10 };

struct breaker {
	const struct pipeline_breaker *conf;
	enum breaker_state state;
	int64_t until_us; /* OPEN: when probing begins */
	int64_t part;     /* number of the current part since the clock's zero */
	uint64_t n_good[BREAKER_PARTS], n_failed[BREAKER_PARTS];
	uint64_t n_opened;
};

/* A failure_ratio of 0 makes a breaker that never opens. */
void breaker_init(struct breaker *breaker, const struct pipeline_breaker *conf);

/* Outcomes of attempts since the last call. Returns whether the state changed. */
bool breaker_record(struct breaker *breaker, uint64_t n_good, uint64_t n_failed, int64_t now_us);

/* Moves from OPEN to PROBING when it is time; returns when it wants to be asked again, or CLOCK_NEVER. */
int64_t breaker_tick(struct breaker *breaker, int64_t now_us);

/* How many messages may be delivered now, n_in_flight being out already. */
size_t breaker_room(const struct breaker *breaker, size_t n_in_flight);

const char *breaker_state_name(enum breaker_state state);

#endif
