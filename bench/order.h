/* SPDX-License-Identifier: MIT */
/* The records that the bench sends: JSON orders of a shop, the same text for the same id. */
#ifndef QBUS_BENCH_ORDER_H
#define QBUS_BENCH_ORDER_H

#include <stddef.h>
#include <stdint.h>

enum { ORDER_MIN_SIZE = 192, ORDER_MAX_SIZE = 64 * 1024 * 1024 };

/* Writes the order with this id, padded to exactly `size` bytes (ORDER_MIN_SIZE..ORDER_MAX_SIZE), into `text`, which
 * has room for size + 1 bytes. `customer` is the number behind the message's key. */
void order_write(char *text, size_t size, uint64_t id, uint64_t customer);

#endif
