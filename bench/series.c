/* SPDX-License-Identifier: MIT */
/* An array that grows. */
#include "series.h"

#include <stdlib.h>

void series_add(struct series *series, struct series_point point)
{
	if (series->n_points == series->capacity) {
		size_t capacity = series->capacity ? 2 * series->capacity : 64;
		struct series_point *points = realloc(series->points, capacity * sizeof(*points));

		if (!points)
			return;
		series->points = points;
		series->capacity = capacity;
	}
	series->points[series->n_points++] = point;
}

void series_done(struct series *series)
{
	free(series->points);
	*series = (struct series){0};
}
