/* SPDX-License-Identifier: MIT */
/* Steady means three things at once. Nearly all pairs of points rise: noise has as many that fall. The lowest points of
 * the four quarters rise: a sawtooth comes back to its bottom, a step has two of them alike. And it is worth a word. */
#include "core/growth.h"

#include <stdlib.h>
#include <string.h>

/* A point is due after so many messages and some time, or after more time and any message. */
enum {
	GROWTH_MESSAGES = 50,
	GROWTH_APART_US = 200 * 1000,
	GROWTH_SLOW_US = 1000 * 1000,
	GROWTH_DISTANCE_MAX = 64,
};

enum {
	GROWTH_ENOUGH = 24,         /* points for a judgement */
	GROWTH_ENOUGH_TO_SHOW = 8,  /* and for a slope */
	GROWTH_QUARTERS = 4,        /* whose lowest points are compared */
	GROWTH_RISING_PERCENT = 70, /* of the pairs: those that rise less those that fall */
	GROWTH_WORTH = 64 * 1024,   /* bytes between the lowest points of the first quarter and the last */
};

#define GROWTH_SILENCE_US (INT64_C(600) * 1000 * 1000)

static bool growth_is_due(const struct growth *growth, uint64_t n_messages, int64_t now_us)
{
	if (!growth->n_points)
		return true;
	uint64_t n = n_messages - growth->points[growth->n_points - 1].n_messages;
	int64_t apart_us = (now_us - growth->taken_us) / growth->distance;
	return n && (apart_us >= GROWTH_SLOW_US || (n >= GROWTH_MESSAGES && apart_us >= GROWTH_APART_US));
}

static void growth_make_room(struct growth *growth)
{
	if (growth->n_points < GROWTH_POINTS)
		return;
	if (growth->distance == GROWTH_DISTANCE_MAX) {
		memmove(growth->points, growth->points + 1, (GROWTH_POINTS - 1) * sizeof *growth->points);
		growth->n_points--;
		return;
	}
	for (uint32_t i = 0; i < GROWTH_POINTS / 2; i++)
		growth->points[i] = growth->points[2 * i];
	growth->n_points = GROWTH_POINTS / 2;
	growth->distance *= 2;
}

/* Of all pairs, in percent: those that rise less those that fall. */
static int growth_rising_percent(const struct growth *growth)
{
	int n_pairs = 0, balance = 0;
	for (uint32_t i = 0; i < growth->n_points; i++) {
		for (uint32_t j = i + 1; j < growth->n_points; j++, n_pairs++) {
			uint64_t before = growth->points[i].bytes, after = growth->points[j].bytes;
			balance += (after > before) - (after < before);
		}
	}
	return 100 * balance / n_pairs;
}

static uint64_t growth_lowest(const struct growth *growth, uint32_t quarter)
{
	uint32_t begin = quarter * growth->n_points / GROWTH_QUARTERS;
	uint32_t end = (quarter + 1) * growth->n_points / GROWTH_QUARTERS;
	uint64_t lowest = UINT64_MAX;
	for (uint32_t i = begin; i < end; i++)
		if (growth->points[i].bytes < lowest)
			lowest = growth->points[i].bytes;
	return lowest;
}

static bool growth_has_rising_floor(const struct growth *growth)
{
	uint64_t first = growth_lowest(growth, 0), last = first;
	for (uint32_t quarter = 1; quarter < GROWTH_QUARTERS; quarter++) {
		uint64_t lowest = growth_lowest(growth, quarter);
		if (lowest <= last)
			return false;
		last = lowest;
	}
	return last - first >= GROWTH_WORTH;
}

bool growth_add(struct growth *growth, uint64_t n_messages, uint64_t bytes, int64_t now_us)
{
	if (!bytes || !growth_is_due(growth, n_messages, now_us))
		return false;
	growth_make_room(growth);
	growth->distance += !growth->distance;
	growth->points[growth->n_points++] = (struct growth_point){n_messages, bytes};
	growth->taken_us = now_us;
	if (growth->n_points < GROWTH_ENOUGH)
		return false;
	bool was_steady = growth->is_steady;
	growth->is_steady = growth_has_rising_floor(growth) && growth_rising_percent(growth) >= GROWTH_RISING_PERCENT;
	if (was_steady || !growth->is_steady || (growth->said_us && now_us - growth->said_us < GROWTH_SILENCE_US))
		return false;
	growth->said_us = now_us;
	return true;
}

static int compare_slopes(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

double growth_slope(const struct growth *growth)
{
	double slopes[GROWTH_POINTS * (GROWTH_POINTS - 1) / 2];
	size_t n = 0;
	if (growth->n_points < GROWTH_ENOUGH_TO_SHOW)
		return 0;
	for (uint32_t i = 0; i < growth->n_points; i++) {
		for (uint32_t j = i + 1; j < growth->n_points; j++) {
			const struct growth_point *from = &growth->points[i], *to = &growth->points[j];
			slopes[n++] = ((double)to->bytes - (double)from->bytes) / (double)(to->n_messages - from->n_messages);
		}
	}
	qsort(slopes, n, sizeof *slopes, compare_slopes);
	return n % 2 ? slopes[n / 2] : (slopes[n / 2 - 1] + slopes[n / 2]) / 2;
}
