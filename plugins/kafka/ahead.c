/* SPDX-License-Identifier: MIT */
/* The most that the client library may hold. */
#include "ahead.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

void ahead_init(struct ahead *ahead, int64_t queue_bytes, int64_t partition_bytes, int64_t answer_bytes)
{
	*ahead =
		(struct ahead){.queue_bytes = queue_bytes, .partition_bytes = partition_bytes, .answer_bytes = answer_bytes};
}

void ahead_see(struct ahead *ahead, int64_t bytes)
{
	ahead->largest = larger(ahead->largest, bytes);
	ahead->largest_recent = larger(ahead->largest_recent, bytes);
}

/* Moves *at behind the next `name`. False: there is none. */
static bool next(const char **at, const char *name)
{
	const char *found = strstr(*at, name);

	if (found)
		*at = found + strlen(name);
	return found;
}

/* A queue took its last fetch while it held less than queue_bytes, and its largest message is no smaller than the
 * average: so much came in one piece for certain. */
static void queue_see(struct ahead *ahead, int64_t n, int64_t bytes)
{
	ahead->held += bytes;
	if (n > 0)
		ahead_see(ahead, larger(bytes - ahead->queue_bytes, bytes / n));
}

static void ahead_age(struct ahead *ahead)
{
	if (++ahead->n_readings < AHEAD_READINGS)
		return;
	ahead->n_readings = 0;
	ahead->largest = ahead->largest_recent;
	ahead->largest_recent = 0;
}

/* Nothing else is read of them: the partitions that each broker leads, and what their queues hold. */
void ahead_read(struct ahead *ahead, const char *statistics)
{
	const char *at = statistics;
	int64_t n_brokers = 0;

	while (next(&at, "\"toppars\":{ "))
		n_brokers += *at == '"';
	if (n_brokers)
		ahead->n_brokers = n_brokers;
	ahead_age(ahead);
	ahead->held = 0;
	for (at = statistics; next(&at, "\"fetchq_cnt\":");) {
		int64_t n = strtoll(at, NULL, 10);

		if (next(&at, "\"fetchq_size\":"))
			queue_see(ahead, n, strtoll(at, NULL, 10));
	}
}

int64_t ahead_limit(const struct ahead *ahead, size_t n_lanes)
{
	int64_t of_lane = ahead->queue_bytes + larger(ahead->partition_bytes, ahead->largest);
	int64_t of_broker = larger(ahead->answer_bytes, ahead->largest);

	return n_lanes ? (int64_t)n_lanes * of_lane + larger(ahead->n_brokers, 1) * of_broker : 0;
}
