/* SPDX-License-Identifier: MIT */
/* Passes over what a wedged partition cannot read, when an operator says so. */
#ifndef KAFKA_SKIP_H
#define KAFKA_SKIP_H

#include <stdint.h>

/* `skip` of the contract. Blocks for some seconds at most. */
int skip_lane(void *source, uint64_t id, int64_t receipt);

#endif
