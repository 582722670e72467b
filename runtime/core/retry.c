/* SPDX-License-Identifier: MIT */
/* Exponential backoff with jitter. */
#include "core/retry.h"

uint64_t retry_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

int64_t retry_delay(const struct pipeline_backoff *backoff, uint32_t attempt, uint64_t *seed)
{
	double delay = (double)backoff->initial_us, max = (double)backoff->max_us;
	for (uint32_t i = 1; i < attempt && delay < max && backoff->multiplier > 1; i++)
		delay *= backoff->multiplier;
	if (delay > max)
		delay = max;
	double random = (double)(retry_random(seed) >> 11) / (double)(UINT64_C(1) << 53);
	delay *= 1 - backoff->jitter * random;
	return delay > 0 ? (int64_t)delay : 0;
}
