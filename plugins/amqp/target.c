/* SPDX-License-Identifier: MIT */
/* Asks the broker for the exchange that dead letters go to. */
#include "target.h"

#include <errno.h>
#include <stdio.h>

#define SECOND_US INT64_C(1000000)

/* When to look again. The broker's log has a line for each exchange that is missing. A connection that cannot be opened
 * lets messages wait while it is tried, up to connect_timeout for each address: not for the sake of a mere question. */
static int64_t after_us(int answer)
{
	switch (answer) {
	case -EBUSY:
		return SECOND_US;
	case -ENOENT:
		return 10 * SECOND_US;
	case -ENOTCONN:
		return 600 * SECOND_US;
	default:
		return 60 * SECOND_US;
	}
}

void target_init(struct target *target, const char *exchange)
{
	*target = (struct target){.exchange = *exchange ? exchange : NULL};
}

void target_turn(struct target *target, struct publisher *publisher, int64_t now_us)
{
	const struct qb_host *host = publisher->host;
	char reason[REASON_MAX];
	int answer;

	if (now_us < target_due_us(target))
		return;
	answer = publisher_ask(publisher, target->exchange, now_us);
	target->due_us = now_us + after_us(answer);
	if ((answer && answer != -ENOENT) || target->is_missing == (answer != 0))
		return;
	target->is_missing = answer != 0;
	snprintf(reason, sizeof(reason),
		"exchange %.255s does not exist; create it, else the pipeline pauses at its first dead letter",
		target->exchange);
	host->condition(host->self, QB_TARGET_MISSING, 0, target->is_missing, target->is_missing ? reason : NULL);
}

int64_t target_due_us(const struct target *target)
{
	return target->exchange ? target->due_us : INT64_MAX;
}
