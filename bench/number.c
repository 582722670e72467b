/* SPDX-License-Identifier: MIT */
/* Numbers of the command line. */
#include "number.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool number_read(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number)
{
	char *end;

	errno = 0;
	uint64_t number = strtoull(text, &end, 10);

	if (errno || end == text || *end || *text == '-' || number < min || number > max) {
		fprintf(stderr, "qbus-bench: '%s' is not a number from %" PRIu64 " to %" PRIu64 "\n", text, min, max);
		return false;
	}
	*ret_number = number;
	return true;
}
