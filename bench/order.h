/* SPDX-License-Identifier: MIT */
/* The records that the bench sends: JSON orders of a shop, the same text for the same id. */
#ifndef QBUS_BENCH_ORDER_H
#define QBUS_BENCH_ORDER_H

#include <stddef.h>
#include <stdint.h>

enum { ORDER_MIN_SIZE = 192, ORDER_MAX_SIZE = 64 * 1024 * 1024 };

/* Where the note ends with the moment at which the message was due: so many digits, so far from the end of the body. */
enum { ORDER_DUE_DIGITS = 19, ORDER_DUE_FROM_END = 21 };

/* Writes the order with this id, padded to exactly `size` bytes (ORDER_MIN_SIZE..ORDER_MAX_SIZE), into `text`, which
 * has room for size + 1 bytes. `customer` is the number behind the message's key. due_ns: nanoseconds of the monotonic
 * clock, written into the note; 0: none. */
void order_write(char *text, size_t size, uint64_t id, uint64_t customer, int64_t due_ns);

/* When the message was due; 0: its body does not tell. */
int64_t order_due_ns(const char *text, size_t size);

#endif
