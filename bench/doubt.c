/* SPDX-License-Identifier: MIT */
/* Looks at the shortest round of each side and at the fewest messages that were timed in one. */
#include "doubt.h"

#include <inttypes.h>

enum { LEAST_BEYOND = 10 };

static const double least_s = 1;

bool doubt_is_short(double seconds)
{
	return seconds < least_s;
}

enum times_quantile doubt_quantile(uint64_t n)
{
	enum times_quantile quantile = TIMES_P50;

	while (quantile < TIMES_MAX && (double)n - (double)n * times_share(quantile) >= LEAST_BEYOND)
		quantile++;
	return quantile;
}

static double shortest(const struct run_results *results, enum side_id side)
{
	return column_summary(COLUMN_SECONDS, results->rounds[side], results->n_rounds).low;
}

/* The fewest in a round of what is told with percentiles; UINT64_MAX: nothing is. */
static uint64_t fewest(const struct run_results *results, enum side_id side)
{
	uint64_t n = UINT64_MAX;

	for (size_t i = 0; i < results->n_rounds; i++) {
		const struct measure_result *round = &results->rounds[side][i];
		const uint64_t timed[] = {round->end_to_end.n, round->wait.n, round->handler.n};

		for (size_t k = 0; k < sizeof(timed) / sizeof(timed[0]); k++)
			n = timed[k] > 0 && timed[k] < n ? timed[k] : n;
	}
	return n;
}

size_t doubt_find(const struct run_conf *conf, const struct run_results *results, char ret_texts[DOUBT_MAX][DOUBT_TEXT])
{
	size_t n = 0;

	for (size_t i = 0; i < conf->n_sides; i++) {
		enum side_id side = conf->sides[i];
		double seconds = shortest(results, side);
		uint64_t n_timed = fewest(results, side);
		enum times_quantile quantile = doubt_quantile(n_timed);

		if (doubt_is_short(seconds))
			snprintf(ret_texts[n++], DOUBT_TEXT,
				"%s: TOO SHORT: a round of %.2f s; its figures mean something from %.0f s on.", side_at(side)->name,
				seconds, least_s);
		if (quantile < TIMES_MAX)
			snprintf(ret_texts[n++], DOUBT_TEXT,
				"%s: TOO FEW MESSAGES: of %" PRIu64 " that were timed in a round less than %d lie beyond %s.",
				side_at(side)->name, n_timed, LEAST_BEYOND, times_name(quantile));
	}
	return n;
}
