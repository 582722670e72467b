/* SPDX-License-Identifier: MIT */
/* Histogram of whole numbers from 0 to about 10^12, log-linear: each power of two is cut into 32 equal parts, so that a
 * value is known to about 3 percent. Fixed memory, no allocation; record is O(1), the questions are O(buckets). What is
 * above the range counts in the highest bucket. One thread. All bytes 0 is an empty histogram. */
#ifndef QBUS_BASE_HISTOGRAM_H
#define QBUS_BASE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_PARTS = 32, HISTOGRAM_POWERS = 36, HISTOGRAM_BUCKETS = HISTOGRAM_PARTS * HISTOGRAM_POWERS };

struct histogram {
	uint64_t count, sum;
	uint64_t n_in[HISTOGRAM_BUCKETS];
};

/* The value came n times. Below 0 counts as 0. */
void histogram_record(struct histogram *histogram, int64_t value, uint64_t n);
/* How many values were at most bounds[i], for each of the ascending bounds; those of a bound's own bucket count only
 * when all of that bucket does. */
void histogram_n_upto(const struct histogram *histogram, const int64_t *bounds, uint64_t *ret_n, int n_bounds);
/* The highest value that counts in this bucket. */
int64_t histogram_bucket_end(unsigned bucket);
/* Takes away what was in it at an earlier moment: left is what came since then. */
void histogram_subtract(struct histogram *histogram, const struct histogram *earlier);
/* The value that this share (0..1) of all does not exceed, rounded up to the end of its bucket; 0: nothing came. */
int64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
