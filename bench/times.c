/* SPDX-License-Identifier: MIT */
/* Quantiles, and the proxy's own as `qbus-proxy status --json` tells them. */
#include "times.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <unistd.h>

static const struct {
	const char *name;
	double share;
} quantiles[N_TIMES] = {
	[TIMES_P50] = {"p50", 0.5},
	[TIMES_P90] = {"p90", 0.9},
	[TIMES_P99] = {"p99", 0.99},
	[TIMES_P999] = {"p99.9", 0.999},
	[TIMES_MAX] = {"max", 1},
};

const char *times_name(enum times_quantile quantile)
{
	return quantiles[quantile].name;
}

double times_share(enum times_quantile quantile)
{
	return quantiles[quantile].share;
}

struct times times_of(const struct histogram *histogram)
{
	struct times times = {.n = histogram->count};

	for (size_t i = 0; i < N_TIMES; i++)
		times.ms[i] = (double)histogram_quantile(histogram, quantiles[i].share) / 1000;
	return times;
}

static void histogram_read(const json_t *object, struct histogram *ret)
{
	size_t i;
	json_t *bucket;

	*ret = (struct histogram){0};
	json_array_foreach(json_object_get(object, "buckets"), i, bucket)
		histogram_record(ret, llround(1e6 * json_number_value(json_array_get(bucket, 0))),
			(uint64_t)json_integer_value(json_array_get(bucket, 1)));
}

int times_ask(struct times_question *question, const char *proxy, const char *socket, const char *file)
{
	const char *const argv[] = {proxy, "status", "--socket", socket, "--json", NULL};

	snprintf(question->file, sizeof(question->file), "%s", file);
	unlink(file);
	return child_start(&question->child, argv, file);
}

int times_answer(struct times_question *question, struct times_told *ret_told)
{
	bool is_asked = question->child.pid != 0;
	json_t *status = !is_asked || child_wait(&question->child) ? NULL : json_load_file(question->file, 0, NULL);
	const json_t *pipeline = json_array_get(json_object_get(status, "pipelines"), 0);

	if (pipeline) {
		histogram_read(json_object_get(pipeline, "wait_seconds"), &ret_told->wait);
		histogram_read(json_object_get(pipeline, "handler_seconds"), &ret_told->handler);
	} else {
		fputs("qbus-bench: the proxy does not tell its times\n", stderr);
	}
	json_decref(status);
	return pipeline ? 0 : -1;
}
