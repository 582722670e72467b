/* SPDX-License-Identifier: MIT */
/* Any bytes as a memo in a commit's metadata: refused, or ranges above the position, in order, that read the same after
 * they were written. The first eight bytes of the input are the offset at which the lane begins. */
#include "core/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool is_true)
{
	if (!is_true)
		abort();
}

static struct lane *lane_at(int64_t next)
{
	return lane_new(1, "orders", 6, 0, next);
}

static void check_ranges(struct lane *lane)
{
	int64_t above = lane->position;
	demand(lane->n_skips > 0);
	for (size_t i = 0; i < lane->n_skips; i++) {
		const struct lane_range range = lane->skips[i];
		demand(range.first > above && range.first <= range.last);
		demand(range.first - 1 == above || !lane_is_skipped(lane, range.first - 1));
		demand(lane_is_skipped(lane, range.first) && lane_is_skipped(lane, range.last));
		above = range.last;
	}
	demand(above == INT64_MAX || !lane_is_skipped(lane, above + 1));
	demand(!lane_check(lane));
}

/* What is left after a cut is the beginning of what was there. */
static void check_again(const struct lane *lane, int64_t next)
{
	char memo[LANE_MEMO_BYTES + 1];
	size_t cut, len = lane_memo_write(lane, memo, LANE_MEMO_BYTES, &cut);
	struct lane *again = lane_at(next);
	demand(len > 0 && len <= LANE_MEMO_BYTES && memo[len] == '\0');
	demand(lane_memo_read(again, memo, len) == 0);
	demand(cut ? again->n_skips < lane->n_skips : again->n_skips == lane->n_skips);
	demand(memcmp(again->skips, lane->skips, again->n_skips * sizeof *again->skips) == 0);
	lane_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t next;
	if (size < sizeof next)
		return 0;
	memcpy(&next, data, sizeof next);
	struct lane *lane = lane_at(next);
	int status = lane_memo_read(lane, (const char *)data + sizeof next, size - sizeof next);
	demand(status == 0 || ((status == -EINVAL || status == -ESTALE) && lane->n_skips == 0));
	if (status == 0) {
		check_ranges(lane);
		check_again(lane, next);
	}
	lane_free(lane);
	return 0;
}
