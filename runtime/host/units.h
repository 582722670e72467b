/* SPDX-License-Identifier: MIT */
/* Numbers with units, as people write them: durations (250ms, 30s, 5m, 1h) and sizes (64KiB, 4MiB, 1GiB). */
#ifndef QBUS_HOST_UNITS_H
#define QBUS_HOST_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define UNITS_TEXT_MAX 32

/* Whole numbers directly followed by us, ms, s, m, h or d. -EDOM: a bare number; -ERANGE: too large; -EINVAL: neither.
 */
int units_read_duration(const char *text, int64_t *ret_us);
/* Whole numbers, alone (bytes) or directly followed by B, KiB, MiB or GiB. -ERANGE: too large; -EINVAL: no size. */
int units_read_size(const char *text, int64_t *ret_bytes);
/* An optional minus sign and digits. -ERANGE: too large; -EINVAL: no number. */
int units_read_integer(const char *text, int64_t *ret_number);

/* With the largest unit that leaves a whole number. text: at least UNITS_TEXT_MAX bytes. Returns text. */
const char *units_print_duration(int64_t duration_us, char *text);
const char *units_print_size(int64_t bytes, char *text);

/* What a size with a wrong unit was probably meant to be ("64Mb" -> "64MiB"), in text; NULL: no idea. */
const char *units_guess_size(const char *wrong, char *text);

#endif
