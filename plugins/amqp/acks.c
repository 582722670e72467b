/* SPDX-License-Identifier: MIT */
/* Tags into frames. */
#include "acks.h"

#include "clock.h"

#include <poll.h>

#define ACKS_UNDER_WAY 16 /* half of what a quorum queue takes at a time */

static void ack(struct connection *connection, uint64_t tag, bool multiple)
{
	if (!connection->is_lost)
		connection_sent(connection, "acking to", amqp_basic_ack(connection->state, CONNECTION_CHANNEL, tag, multiple));
}

void acks_reject(struct connection *connection, uint64_t tag)
{
	if (!connection->is_lost)
		connection_sent(connection, "rejecting to", amqp_basic_reject(connection->state, CONNECTION_CHANNEL, tag, 0));
}

void acks_send_run(struct connection *connection, struct tags *tags)
{
	uint64_t tag;

	if (tags_take_run(tags, &tag))
		ack(connection, tag, true);
}

static void pause_until(int64_t pause_us, int64_t end_us)
{
	int64_t left_us = end_us - clock_now_us();

	pause_us = pause_us < left_us ? pause_us : left_us;
	if (pause_us > 0)
		poll(NULL, 0, (int)(pause_us / 1000));
}

void acks_send_all(struct connection *connection, struct tags *tags, int64_t pause_us, int64_t end_us)
{
	uint64_t singles[ACKS_UNDER_WAY];
	size_t n;

	acks_send_run(connection, tags);
	while ((n = tags_take_single(tags, singles, ACKS_UNDER_WAY))) {
		for (size_t i = 0; i < n; i++)
			ack(connection, singles[i], false);
		if (pause_us && n == ACKS_UNDER_WAY)
			pause_until(pause_us, end_us);
	}
}
