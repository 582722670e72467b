/* SPDX-License-Identifier: MIT */
/* Whether the memory of a worker rises with the messages that it handles, and how fast.
 *
 * It keeps a few points (messages handled, bytes allocated). When there is no room for one more, every second goes and
 * the next come at twice the distance, until they reach back half an hour; from then on the oldest goes. The slope is
 * the median of the slopes of all pairs (Theil and Sen): a jump or some outliers do not move it. Embedded; time is an
 * argument. */
#ifndef QBUS_CORE_GROWTH_H
#define QBUS_CORE_GROWTH_H

#include <stdbool.h>
#include <stdint.h>

enum { GROWTH_POINTS = 32 };

struct growth_point {
	uint64_t n_messages, bytes;
};

struct growth {
	struct growth_point points[GROWTH_POINTS]; /* oldest first */
	uint32_t n_points;
	uint32_t distance; /* of points, in units of the first distance: 1, 2, 4, ...; 0: there is none yet */
	int64_t taken_us;  /* the newest */
	int64_t said_us;   /* when growth_add last said that it begins to rise; 0: never */
	bool is_steady;    /* it rises */
};

/* After verdicts: the worker has handled n_messages since it began, and has bytes allocated (0: it does not say). Costs
 * nothing until a point is due. True when it begins to rise steadily, at most once in ten minutes. */
bool growth_add(struct growth *growth, uint64_t n_messages, uint64_t bytes, int64_t now_us);

/* Bytes for each message, negative when it shrinks; 0 as long as little is known. */
double growth_slope(const struct growth *growth);

#endif
