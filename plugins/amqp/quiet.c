/* SPDX-License-Identifier: MIT */
/* Counts and clocks; the frames are the consumer's. */
#include "quiet.h"

#define ASK_US 5000
#define PATIENCE_US 250000 /* after the last arrival */
#define LIMIT_US 1000000

void quiet_begin(struct quiet *quiet, int64_t now_us)
{
	if (quiet->is_on)
		return;
	*quiet = (struct quiet){
		.is_on = true,
		.ask_us = now_us,
		.patient_us = now_us + PATIENCE_US,
		.until_us = now_us + LIMIT_US,
	};
}

bool quiet_is_over(struct quiet *quiet, size_t n_open, size_t prefetch, int64_t now_us)
{
	if (n_open > quiet->n_open)
		quiet->patient_us = now_us + PATIENCE_US;
	quiet->n_open = n_open;
	if (n_open >= prefetch || quiet->is_empty || now_us >= quiet->patient_us || now_us >= quiet->until_us)
		quiet->is_on = false;
	return !quiet->is_on;
}

bool quiet_wants_count(const struct quiet *quiet, int64_t now_us)
{
	return quiet->is_on && now_us >= quiet->ask_us;
}

/* The queue says what it has behind what it has sent: when that is nothing, all of it lies in the channel by now. */
void quiet_answer(struct quiet *quiet, size_t n_ready, int64_t now_us)
{
	quiet->is_empty = n_ready == 0;
	quiet->ask_us = now_us + ASK_US;
}

int64_t quiet_due_us(const struct quiet *quiet, bool may_ask)
{
	if (!quiet->is_on)
		return INT64_MAX;
	if (may_ask)
		return quiet->ask_us;
	return quiet->patient_us < quiet->until_us ? quiet->patient_us : quiet->until_us;
}
