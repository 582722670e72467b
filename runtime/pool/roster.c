/* SPDX-License-Identifier: MIT */
/* Counts places, starts empty ones and lets those leave that are due. */
#include "pool/roster.h"

#include "pool/place.h"

struct census {
	uint32_t n_ready, n_coming, n_due; /* coming: starting, or waiting to be started */
	struct place *due;                 /* the oldest of them */
	struct place *empty;               /* the first */
};

static struct census roster_census(const struct roster *roster)
{
	struct census census = {0};

	for (uint32_t i = roster->n_places; i-- > 0;) {
		struct place *place = &roster->places[i];

		census.n_ready += place->state == PLACE_READY;
		census.n_coming += place->state == PLACE_STARTING || place->state == PLACE_WAITING;
		if (place->state == PLACE_EMPTY)
			census.empty = place;
		if (!place_is_due(place))
			continue;
		census.n_due++;
		if (!census.due || place->started_us < census.due->started_us)
			census.due = place;
	}
	return census;
}

static bool census_lacks(const struct census *census, const struct roster *roster)
{
	uint32_t n_spares = roster->n_places - roster->n_workers;
	uint32_t n_extra = census->n_due < n_spares ? census->n_due : n_spares;

	return census->n_ready + census->n_coming < roster->n_workers + n_extra;
}

bool roster_lacks(const struct roster *roster)
{
	struct census census = roster_census(roster);

	return census_lacks(&census, roster);
}

bool roster_step(const struct roster *roster)
{
	struct census census = roster_census(roster);

	if (census.n_ready > roster->n_workers && census.due)
		place_retire(census.due);
	else if (census.empty && census_lacks(&census, roster))
		place_start(census.empty);
	else
		return false;
	return true;
}
