/* SPDX-License-Identifier: MIT */
/* How large messages are: all alike, or some shares of them otherwise. */
#ifndef QBUS_BENCH_SIZES_H
#define QBUS_BENCH_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIZES_MAX_SHARES = 8 };

struct sizes {
	uint64_t usual, largest; /* bytes of a body */
	struct {
		uint64_t percent, size;
	} shares[SIZES_MAX_SHARES];
	size_t n_shares;
};

/* "BYTES[,PERCENT%:BYTES]...", as in 200,10%:100000. False after one sentence on standard error. */
bool sizes_read(const char *text, struct sizes *ret_sizes);
/* The size of the message with this id: always the same, and near the shares for ids in a row. */
size_t sizes_of(const struct sizes *sizes, uint64_t id);

#endif
