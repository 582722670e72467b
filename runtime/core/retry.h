/* SPDX-License-Identifier: MIT */
/* How long a message waits for its next attempt. */
#ifndef QBUS_CORE_RETRY_H
#define QBUS_CORE_RETRY_H

#include "core/pipeline_conf.h"

#include <stdint.h>

/* initial * multiplier^(attempt - 1), at most max, of which the share `jitter` is random. attempt: the one that failed,
 * from
 * 1. *seed is the caller's random state and is advanced. Never negative. */
int64_t retry_delay(const struct pipeline_backoff *backoff, uint32_t attempt, uint64_t *seed);

/* The next of a sequence of 64 random bits (splitmix64, Steele, Lea and Flood 2014). */
uint64_t retry_random(uint64_t *seed);

#endif
