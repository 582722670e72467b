/* SPDX-License-Identifier: MIT */
/* The lane's memo: what is settled above its position, as text for the broker's commit metadata.
 *
 *     qbus2:NEXT,GAP,RUN,GAP,RUN,...     numbers in base 36
 *
 * counted in receipts from the position: GAP receipts are not settled, the next RUN are. Holes between two settled
 * messages belong to their run. NEXT is the offset that the memo was committed with: tools that move a group's offset,
 * or translate it for another cluster, may carry the metadata along, and it says nothing of other messages. At most
 * LANE_MEMO_BYTES characters, fewer where the broker keeps fewer, all printable ASCII (the broker counts characters and
 * mangles what is not UTF-8); what does not fit is cut at the end and comes again after a restart. */
#include "base/alloc.h"
#include "core/lane.h"
#include "core/ledger.h"

#include <errno.h>
#include <string.h>

static const char memo_magic[] = "qbus2:";
enum { MEMO_MAGIC_LEN = sizeof memo_magic - 1, MEMO_NUMBER_LEN = 14, MEMO_RANGES = LANE_MEMO_BYTES / 4 + 1 };

static size_t memo_number_write(uint64_t number, char *ret)
{
	char digits[16];
	size_t n = 0;
	do {
		digits[n++] = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
		number /= 36;
	} while (number);
	for (size_t i = 0; i < n; i++)
		ret[i] = digits[n - 1 - i];
	return n;
}

/* A memo being written: `at` is the last receipt that it speaks of. */
struct memo {
	char *text;
	size_t len, max;
	int64_t at;
};

static void memo_begin(struct memo *memo)
{
	memcpy(memo->text, memo_magic, memo->len = MEMO_MAGIC_LEN);
	memo->len += memo_number_write((uint64_t)memo->at + 1, memo->text + memo->len);
}

/* Appends a run; false: it does not fit. */
static bool memo_add(struct memo *memo, int64_t first, int64_t last)
{
	if (memo->len + MEMO_MAGIC_LEN + 3 * MEMO_NUMBER_LEN > memo->max)
		return false;
	if (!memo->len)
		memo_begin(memo);
	memo->text[memo->len++] = ',';
	memo->len += memo_number_write((uint64_t)(first - memo->at - 1), memo->text + memo->len);
	memo->text[memo->len++] = ',';
	memo->len += memo_number_write((uint64_t)(last - first + 1), memo->text + memo->len);
	memo->at = last;
	return true;
}

size_t lane_memo_write(const struct lane *lane, char *buf, size_t max, size_t *ret_cut)
{
	struct memo memo = {.text = buf, .max = max, .at = lane->position};
	*ret_cut = 0;
	for (const struct entry *entry = lane->n_above ? lane->head : NULL; entry;) {
		int64_t first = entry->receipt, last = first;
		size_t n = 0;
		for (; entry && entry->state == ENTRY_SETTLED; entry = entry->lane_next, n++)
			last = entry->receipt;
		if (n && !memo_add(&memo, first, last))
			*ret_cut += n;
		if (!n)
			entry = entry->lane_next;
	}
	for (size_t i = 0; i < lane->n_skips; i++) { /* what an earlier owner settled and we have not even fetched */
		const struct lane_range *skip = &lane->skips[i];
		int64_t first = skip->first > lane->newest ? skip->first : lane->newest + 1;
		if (first <= skip->last && !memo_add(&memo, first, skip->last))
			*ret_cut += (size_t)(skip->last - first + 1);
	}
	buf[memo.len] = '\0';
	return memo.len;
}

static int memo_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'z' ? c - 'a' + 10 : -1;
}

/* Reads one number at *at; false: there is none, or it is too big to be a count of receipts. */
static bool memo_number_read(const char **at, const char *end, int64_t *ret)
{
	const char *from = *at;
	int64_t number = 0;
	for (int digit; *at < end && (digit = memo_digit(**at)) >= 0; (*at)++) {
		if (number > (INT64_MAX >> 8) / 36)
			return false;
		number = number * 36 + digit;
	}
	*ret = number;
	return *at > from;
}

static bool memo_comma(const char **at, const char *end)
{
	return *at < end && *(*at)++ == ',';
}

int lane_memo_read(struct lane *lane, const char *memo, size_t len)
{
	const char *at = memo + MEMO_MAGIC_LEN, *end = memo + len;
	int64_t next;
	if (len <= MEMO_MAGIC_LEN || len > LANE_MEMO_BYTES || memcmp(memo, memo_magic, MEMO_MAGIC_LEN) != 0 ||
		!memo_number_read(&at, end, &next) || !memo_comma(&at, end))
		return -EINVAL;
	if (next - 1 != lane->position)
		return -ESTALE;
	struct lane_range ranges[MEMO_RANGES];
	size_t n = 0;
	for (int64_t receipt = lane->position;;) {
		int64_t gap, run;
		if (n == MEMO_RANGES || !memo_number_read(&at, end, &gap) || !memo_comma(&at, end) ||
			!memo_number_read(&at, end, &run) || run == 0 || receipt > INT64_MAX - gap - run - 1)
			return -EINVAL;
		ranges[n].first = receipt + gap + 1;
		receipt = ranges[n++].last = receipt + gap + run;
		if (at == end)
			break;
		if (!memo_comma(&at, end))
			return -EINVAL;
	}
	lane->skips = alloc_resize(lane->skips, n * sizeof *ranges);
	memcpy(lane->skips, ranges, n * sizeof *ranges);
	lane->n_skips = n;
	lane->skip_at = 0;
	return 0;
}
