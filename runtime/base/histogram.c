/* SPDX-License-Identifier: MIT */
/* The log-linear histogram. Buckets 0..31 hold one value each; from there on 32 buckets share a power of two. */
#include "base/histogram.h"

enum { PARTS_BITS = 5 };

static unsigned bucket_of(uint64_t value)
{
	if (value < HISTOGRAM_PARTS)
		return (unsigned)value;
	unsigned shift = 63 - PARTS_BITS - (unsigned)__builtin_clzll(value);
	unsigned bucket = shift * HISTOGRAM_PARTS + (unsigned)(value >> shift);
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

int64_t histogram_bucket_end(unsigned bucket)
{
	if (bucket < HISTOGRAM_PARTS)
		return bucket;
	unsigned shift = bucket / HISTOGRAM_PARTS - 1;
	uint64_t part = bucket % HISTOGRAM_PARTS + HISTOGRAM_PARTS;
	return (int64_t)(((part + 1) << shift) - 1);
}

void histogram_record(struct histogram *histogram, int64_t value, uint64_t n)
{
	uint64_t natural = value > 0 ? (uint64_t)value : 0;
	histogram->count += n;
	histogram->sum += natural * n;
	histogram->n_in[bucket_of(natural)] += n;
}

void histogram_n_upto(const struct histogram *histogram, const int64_t *bounds, uint64_t *ret_n, int n_bounds)
{
	uint64_t n = 0;
	unsigned bucket = 0;
	for (int i = 0; i < n_bounds; i++) {
		while (bucket < HISTOGRAM_BUCKETS && histogram_bucket_end(bucket) <= bounds[i])
			n += histogram->n_in[bucket++];
		ret_n[i] = n;
	}
}

int64_t histogram_quantile(const struct histogram *histogram, double share)
{
	uint64_t n = 0;
	if (!histogram->count)
		return 0;
	for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
		n += histogram->n_in[bucket];
		if (n && (double)n >= share * (double)histogram->count)
			return histogram_bucket_end(bucket);
	}
	return histogram_bucket_end(HISTOGRAM_BUCKETS - 1);
}

void histogram_subtract(struct histogram *histogram, const struct histogram *earlier)
{
	histogram->count -= earlier->count;
	histogram->sum -= earlier->sum;
	for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
		histogram->n_in[bucket] -= earlier->n_in[bucket];
}
