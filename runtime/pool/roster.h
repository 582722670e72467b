/* SPDX-License-Identifier: MIT */
/* The roster: how many places of a pool are to be filled, and whose turn it is to be renewed. Loop thread.
 *
 * A place that is due serves on until there is one ready worker more than wanted. So that this can come about, up to
 * (n_places - n_workers) more than wanted are started while somebody is due. Nobody is paired with anybody: numbers
 * decide, so a death in between needs no rule of its own. */
#ifndef QBUS_POOL_ROSTER_H
#define QBUS_POOL_ROSTER_H

#include <stdbool.h>
#include <stdint.h>

struct place;

struct roster {
	struct place *places;
	uint32_t n_places;
	uint32_t n_workers; /* wanted */
};

/* Are fewer ready or on their way than there should be? O(places). */
bool roster_lacks(const struct roster *roster);
/* One step towards what should be; false: nothing is to be done, or can be done now. O(places). */
bool roster_step(const struct roster *roster);

#endif
