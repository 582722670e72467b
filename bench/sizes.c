/* SPDX-License-Identifier: MIT */
/* Reads shares of sizes, and deals them out by the messages' ids. */
#include "sizes.h"

#include "order.h"

#include <inttypes.h>
#include <stdio.h>

static bool is_size(uint64_t size)
{
	return size >= ORDER_MIN_SIZE && size <= ORDER_MAX_SIZE;
}

/* ",PERCENT%:BYTES". Returns what follows; NULL: it is something else. */
static const char *read_share(const char *text, struct sizes *sizes, uint64_t *percent_sum)
{
	uint64_t percent, size;
	int len = 0;

	if (sizes->n_shares == SIZES_MAX_SHARES ||
		sscanf(text, ",%3" SCNu64 "%%:%9" SCNu64 "%n", &percent, &size, &len) != 2 || len == 0)
		return NULL;
	*percent_sum += percent;
	if (!is_size(size) || *percent_sum > 100)
		return NULL;
	sizes->shares[sizes->n_shares].percent = percent;
	sizes->shares[sizes->n_shares++].size = size;
	if (size > sizes->largest)
		sizes->largest = size;
	return text + len;
}

bool sizes_read(const char *text, struct sizes *ret_sizes)
{
	struct sizes sizes = {0};
	uint64_t percent_sum = 0;
	int len = 0;
	const char *rest =
		sscanf(text, "%9" SCNu64 "%n", &sizes.usual, &len) == 1 && is_size(sizes.usual) ? text + len : NULL;

	sizes.largest = sizes.usual;
	while (rest && *rest)
		rest = read_share(rest, &sizes, &percent_sum);
	if (rest) {
		*ret_sizes = sizes;
		return true;
	}
	fprintf(stderr, "qbus-bench: '%s' is not BYTES[,PERCENT%%:BYTES]..., with %d to %d bytes and at most 100 %%\n",
		text, ORDER_MIN_SIZE, ORDER_MAX_SIZE);
	return false;
}

size_t sizes_of(const struct sizes *sizes, uint64_t id)
{
	uint64_t point = id * 61 % 100; /* neighbours differ, a hundred in a row meet each point once */

	for (size_t i = 0; i < sizes->n_shares; i++) {
		if (point < sizes->shares[i].percent)
			return sizes->shares[i].size;
		point -= sizes->shares[i].percent;
	}
	return sizes->usual;
}
