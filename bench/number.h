/* SPDX-License-Identifier: MIT */
/* Numbers of the command line. */
#ifndef QBUS_BENCH_NUMBER_H
#define QBUS_BENCH_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* A whole number from min to max; false after one sentence on standard error, *ret_number being untouched then. */
bool number_read(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number);

#endif
