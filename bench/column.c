/* SPDX-License-Identifier: MIT */
/* The table of columns, and how a value of each is got. */
#include "column.h"

#include "run.h"

#include <math.h>
#include <stdlib.h>

static const struct column columns[N_COLUMNS] = {
	[COLUMN_RATE] = {"messages_per_second", "messages/s", 1, 0},
	[COLUMN_SECONDS] = {"seconds", "seconds", 1, 2},
	[COLUMN_START] = {"start_seconds", "start s", 1, 2},
	[COLUMN_CPU] = {"cpu_seconds", "CPU s", 1, 2},
	[COLUMN_WORKERS_CPU] = {"worker_cpu_seconds", "workers' CPU s", 1, 2},
	[COLUMN_CPU_EACH] = {"cpu_us_per_message", "CPU us/message", 1, 2},
	[COLUMN_WORKERS_CPU_EACH] = {"worker_cpu_us_per_message", "workers' us/message", 1, 2},
	[COLUMN_PEAK] = {"peak_rss_bytes", "peak MiB", 1 / 1048576.0, 1},
	[COLUMN_WORKERS_PEAK] = {"worker_peak_rss_bytes", "worker's peak MiB", 1 / 1048576.0, 1},
	[COLUMN_RECEIVED] = {"received_bytes_per_second", "fetched MiB/s", 1 / 1048576.0, 1},
	[COLUMN_RECEIVED_EACH] = {"received_bytes_per_message", "fetched bytes/msg", 1, 1},
	[COLUMN_CALLS_EACH] = {"syscalls_per_message", "syscalls/message", 1, 3},
	[COLUMN_WORKERS_CALLS_EACH] = {"worker_syscalls_per_message", "workers' syscalls/msg", 1, 3},
	[COLUMN_END_TO_END + TIMES_P50] = {"end_to_end_p50_ms", "end to end p50 ms", 1, 3},
	[COLUMN_END_TO_END + TIMES_P90] = {"end_to_end_p90_ms", "end to end p90 ms", 1, 3},
	[COLUMN_END_TO_END + TIMES_P99] = {"end_to_end_p99_ms", "end to end p99 ms", 1, 3},
	[COLUMN_END_TO_END + TIMES_P999] = {"end_to_end_p999_ms", "end to end p99.9 ms", 1, 3},
	[COLUMN_END_TO_END + TIMES_MAX] = {"end_to_end_max_ms", "end to end max ms", 1, 3},
	[COLUMN_WAIT + TIMES_P50] = {"wait_p50_ms", "waits p50 ms", 1, 3},
	[COLUMN_WAIT + TIMES_P90] = {"wait_p90_ms", "waits p90 ms", 1, 3},
	[COLUMN_WAIT + TIMES_P99] = {"wait_p99_ms", "waits p99 ms", 1, 3},
	[COLUMN_WAIT + TIMES_P999] = {"wait_p999_ms", "waits p99.9 ms", 1, 3},
	[COLUMN_WAIT + TIMES_MAX] = {"wait_max_ms", "waits max ms", 1, 3},
	[COLUMN_HANDLER + TIMES_P50] = {"handler_p50_ms", "handler p50 ms", 1, 3},
	[COLUMN_HANDLER + TIMES_P90] = {"handler_p90_ms", "handler p90 ms", 1, 3},
	[COLUMN_HANDLER + TIMES_P99] = {"handler_p99_ms", "handler p99 ms", 1, 3},
	[COLUMN_HANDLER + TIMES_P999] = {"handler_p999_ms", "handler p99.9 ms", 1, 3},
	[COLUMN_HANDLER + TIMES_MAX] = {"handler_max_ms", "handler max ms", 1, 3},
};

const struct column *column_at(size_t id)
{
	return &columns[id];
}

static double times_value(size_t id, const struct measure_result *result)
{
	struct times times = result->end_to_end;

	if (id >= COLUMN_WAIT)
		times = id >= COLUMN_HANDLER ? result->handler : result->wait;
	return times.n ? times.ms[(id - COLUMN_END_TO_END) % N_TIMES] : NAN;
}

/* NAN: was not found out. */
static double known(double value, bool is_known)
{
	return is_known ? value : NAN;
}

double column_value(size_t id, const struct measure_result *result)
{
	double n = result->n_messages ? (double)result->n_messages : NAN;
	double workers_us = result->n_workers ? result->workers.cpu_s * 1e6 : NAN;

	switch (id) {
	case COLUMN_RATE:
		return result->seconds > 0 ? (double)result->n_messages / result->seconds : 0;
	case COLUMN_SECONDS:
		return result->seconds;
	case COLUMN_START:
		return result->start_s;
	case COLUMN_CPU:
		return result->main.cpu_s;
	case COLUMN_WORKERS_CPU:
		return workers_us / 1e6;
	case COLUMN_CPU_EACH:
		return result->main.cpu_s * 1e6 / n;
	case COLUMN_WORKERS_CPU_EACH:
		return workers_us / n;
	case COLUMN_PEAK:
		return (double)result->main.peak_bytes;
	case COLUMN_WORKERS_PEAK:
		return result->n_workers ? (double)result->workers.peak_bytes : NAN;
	case COLUMN_RECEIVED:
		return known((double)result->received / result->seconds, result->received > 0);
	case COLUMN_RECEIVED_EACH:
		return known(
			(double)result->received_ever / (double)result->n_ever, result->received_ever > 0 && result->n_ever);
	case COLUMN_CALLS_EACH:
		return known((double)result->main_calls / n, result->main_calls > 0);
	case COLUMN_WORKERS_CALLS_EACH:
		return known((double)result->worker_calls / n, result->worker_calls > 0);
	default:
		return times_value(id, result);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct summary summary_of(double *values, size_t n)
{
	qsort(values, n, sizeof(values[0]), compare);
	return (struct summary){(values[(n - 1) / 2] + values[n / 2]) / 2, values[0], values[n - 1]};
}

/* What one round lacks is not known of all. */
struct summary column_summary(size_t id, const struct measure_result *rounds, size_t n)
{
	double values[RUN_MAX_ROUNDS];

	for (size_t i = 0; i < n; i++) {
		values[i] = column_value(id, &rounds[i]);
		if (isnan(values[i]))
			return (struct summary){NAN, NAN, NAN};
	}
	return summary_of(values, n);
}
