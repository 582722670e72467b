/* SPDX-License-Identifier: MIT */
/* Quantiles, and the proxy's own as `qbus-proxy status --json` tells them. */
#include "times.h"

#include "child.h"

#include <jansson.h>
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

struct times times_of(const struct histogram *histogram)
{
	struct times times = {.n = histogram->count};

	for (size_t i = 0; i < N_TIMES; i++)
		times.ms[i] = (double)histogram_quantile(histogram, quantiles[i].share) / 1000;
	return times;
}

static struct times times_read(const json_t *object)
{
	struct times times = {.n = (uint64_t)json_integer_value(json_object_get(object, "count"))};

	for (size_t i = 0; i < N_TIMES; i++)
		times.ms[i] = 1000 * json_number_value(json_object_get(object, quantiles[i].name));
	return times;
}

int times_ask(
	const char *proxy, const char *socket, const char *file, struct times *ret_wait, struct times *ret_handler)
{
	const char *const argv[] = {proxy, "status", "--socket", socket, "--json", NULL};
	struct child child;

	unlink(file);
	int err = child_start(&child, argv, file);
	if (!err)
		err = child_wait(&child);

	json_t *status = err ? NULL : json_load_file(file, 0, NULL);
	const json_t *pipeline = json_array_get(json_object_get(status, "pipelines"), 0);

	if (pipeline) {
		*ret_wait = times_read(json_object_get(pipeline, "wait_seconds"));
		*ret_handler = times_read(json_object_get(pipeline, "handler_seconds"));
	} else {
		fprintf(stderr, "qbus-bench: the proxy does not tell its times at %s\n", socket);
	}
	json_decref(status);
	return pipeline ? 0 : -1;
}
