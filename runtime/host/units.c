/* SPDX-License-Identifier: MIT */
/* Numbers with units. */
#include "host/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	int64_t factor;
};

/* From the smallest; NULL ends a table. */
static const struct unit durations[] = {
	{"us", 1},
	{"ms", 1000},
	{"s", 1000000},
	{"m", 60000000},
	{"h", 3600000000},
	{"d", 86400000000},
	{NULL, 0},
};
static const struct unit sizes[] = {
	{"", 1},
	{"B", 1},
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{NULL, 0},
};

/* The digits at the beginning. Returns what follows them, NULL when there is none; *ret_number -1: too large. */
static const char *read_digits(const char *text, int64_t *ret_number)
{
	int64_t number = 0;
	if (*text < '0' || *text > '9')
		return NULL;
	for (; *text >= '0' && *text <= '9'; text++)
		if (number >= 0 &&
			(__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, *text - '0', &number)))
			number = -1;
	*ret_number = number;
	return text;
}

static int read_with_unit(const struct unit *units, const char *text, int64_t *ret_number)
{
	int64_t number = 0;
	const char *name = read_digits(text, &number);
	if (!name)
		return -EINVAL;
	for (; units->name; units++) {
		if (strcmp(units->name, name) != 0)
			continue;
		if (number < 0 || __builtin_mul_overflow(number, units->factor, &number))
			return -ERANGE;
		*ret_number = number;
		return 0;
	}
	return *name ? -EINVAL : -EDOM;
}

int units_read_duration(const char *text, int64_t *ret_us)
{
	return read_with_unit(durations, text, ret_us);
}

int units_read_size(const char *text, int64_t *ret_bytes)
{
	return read_with_unit(sizes, text, ret_bytes);
}

int units_read_integer(const char *text, int64_t *ret_number)
{
	int64_t number = 0;
	const char *digits = *text == '-' ? text + 1 : text;
	const char *end = read_digits(digits, &number);
	if (!end || *end)
		return -EINVAL;
	if (number < 0)
		return -ERANGE;
	*ret_number = digits == text ? number : -number;
	return 0;
}

static const char *print_with_unit(const struct unit *units, int64_t number, char *text)
{
	const struct unit *best = units;
	for (; units->name && number; units++)
		if (number % units->factor == 0 && units->factor > best->factor)
			best = units;
	snprintf(text, UNITS_TEXT_MAX, "%" PRId64 "%s", number / best->factor, best->name);
	return text;
}

const char *units_print_duration(int64_t duration_us, char *text)
{
	if (duration_us)
		return print_with_unit(durations, duration_us, text);
	memcpy(text, "0s", sizeof "0s");
	return text;
}

const char *units_print_size(int64_t bytes, char *text)
{
	return print_with_unit(sizes, bytes, text);
}

const char *units_guess_size(const char *wrong, char *text)
{
	int64_t number = 0;
	const char *rest = read_digits(wrong, &number);
	if (!rest || number < 0)
		return NULL;
	rest += strspn(rest, " ");
	for (const struct unit *unit = sizes; unit->name; unit++) {
		if (!*rest || unit->factor == 1 || (*rest | 0x20) != (*unit->name | 0x20))
			continue;
		snprintf(text, UNITS_TEXT_MAX, "%" PRId64 "%s", number, unit->name);
		return text;
	}
	return NULL;
}
