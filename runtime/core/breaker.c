/* SPDX-License-Identifier: MIT */
/* The circuit breaker of a pipeline. */
#include "core/breaker.h"

#include "base/clock.h"

#include <string.h>

static const char *const breaker_state_names[] = {
	[BREAKER_CLOSED] = "closed",
	[BREAKER_OPEN] = "open",
	[BREAKER_PROBING] = "probing",
};

const char *breaker_state_name(enum breaker_state state)
{
	return breaker_state_names[state];
}

void breaker_init(struct breaker *breaker, const struct pipeline_breaker *conf)
{
	*breaker = (struct breaker){.conf = conf};
}

static void breaker_forget(struct breaker *breaker)
{
	memset(breaker->n_good, 0, sizeof breaker->n_good);
	memset(breaker->n_failed, 0, sizeof breaker->n_failed);
}

/* Empties the parts that the window has left behind. */
static void breaker_move_window(struct breaker *breaker, int64_t now_us)
{
	int64_t length_us = breaker->conf->window_us / BREAKER_PARTS;
	int64_t part = now_us / (length_us > 0 ? length_us : 1);
	if (part - breaker->part >= BREAKER_PARTS)
		breaker_forget(breaker);
	else
		for (int64_t i = breaker->part + 1; i <= part; i++)
			breaker->n_good[i % BREAKER_PARTS] = breaker->n_failed[i % BREAKER_PARTS] = 0;
	breaker->part = part;
}

static void breaker_open(struct breaker *breaker, int64_t now_us)
{
	breaker->state = BREAKER_OPEN;
	breaker->until_us = now_us + breaker->conf->open_for_us;
	breaker->n_opened++;
	breaker_forget(breaker);
}

static bool breaker_is_tripped(const struct breaker *breaker)
{
	uint64_t n_good = 0, n_failed = 0;
	for (int i = 0; i < BREAKER_PARTS; i++) {
		n_good += breaker->n_good[i];
		n_failed += breaker->n_failed[i];
	}
	return n_good + n_failed >= (uint64_t)breaker->conf->min_samples && n_failed > 0 &&
	       (double)n_failed >= breaker->conf->failure_ratio * (double)(n_good + n_failed);
}

bool breaker_record(struct breaker *breaker, uint64_t n_good, uint64_t n_failed, int64_t now_us)
{
	if (breaker->conf->failure_ratio <= 0 || (!n_good && !n_failed))
		return false;
	switch (breaker->state) {
	case BREAKER_OPEN: /* what was in flight when it opened says nothing new */
		return false;
	case BREAKER_PROBING:
		if (n_failed)
			breaker_open(breaker, now_us);
		else
			breaker->state = BREAKER_CLOSED;
		return true;
	case BREAKER_CLOSED:
		break;
	}
	breaker_move_window(breaker, now_us);
	breaker->n_good[breaker->part % BREAKER_PARTS] += n_good;
	breaker->n_failed[breaker->part % BREAKER_PARTS] += n_failed;
	if (!breaker_is_tripped(breaker))
		return false;
	breaker_open(breaker, now_us);
	return true;
}

int64_t breaker_tick(struct breaker *breaker, int64_t now_us)
{
	if (breaker->state != BREAKER_OPEN)
		return CLOCK_NEVER;
	if (breaker->until_us > now_us)
		return breaker->until_us;
	breaker->state = BREAKER_PROBING;
	return CLOCK_NEVER;
}

size_t breaker_room(const struct breaker *breaker, size_t n_in_flight)
{
	switch (breaker->state) {
	case BREAKER_OPEN:
		return 0;
	case BREAKER_PROBING:
		return n_in_flight ? 0 : 1;
	case BREAKER_CLOSED:
		break;
	}
	return SIZE_MAX;
}
