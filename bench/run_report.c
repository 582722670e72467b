/* SPDX-License-Identifier: MIT */
/* Tells what came out: a table for people, JSON for programs; medians, and from the lowest to the highest. */
#include "run.h"

#include <amqp.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static double rate(const struct measure_result *result)
{
	return result->seconds > 0 ? (double)result->n_messages / result->seconds : 0;
}

static double main_cpu(const struct measure_result *result)
{
	return result->main.cpu_s;
}

static double worker_cpu(const struct measure_result *result)
{
	return result->workers.cpu_s;
}

static double main_peak(const struct measure_result *result)
{
	return (double)result->main.peak_bytes;
}

static double worker_peak(const struct measure_result *result)
{
	return (double)result->workers.peak_bytes;
}

static double start_time(const struct measure_result *result)
{
	return result->start_s;
}

static double length(const struct measure_result *result)
{
	return result->seconds;
}

/* One column of the table and one value of the JSON. scale: from the value to what the table shows. */
static const struct column {
	const char *name, *title;
	double scale;
	int decimals;
	double (*value)(const struct measure_result *result);
} columns[] = {
	{"messages_per_second", "messages/s", 1, 0, rate},
	{"seconds", "seconds", 1, 2, length},
	{"start_seconds", "start s", 1, 2, start_time},
	{"cpu_seconds", "CPU s", 1, 2, main_cpu},
	{"worker_cpu_seconds", "workers' CPU s", 1, 2, worker_cpu},
	{"peak_rss_bytes", "peak MiB", 1 / 1048576.0, 1, main_peak},
	{"worker_peak_rss_bytes", "worker's peak MiB", 1 / 1048576.0, 1, worker_peak},
};

enum { CPU = 3, WORKERS_CPU = 4, PEAK = 5, N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

struct summary {
	double median, low, high;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts them. */
static struct summary summary_of_values(double *values, size_t n)
{
	qsort(values, n, sizeof(values[0]), compare);
	return (struct summary){(values[(n - 1) / 2] + values[n / 2]) / 2, values[0], values[n - 1]};
}

static struct summary summary_of(const struct measure_result *rounds, size_t n, const struct column *column)
{
	double values[RUN_MAX_ROUNDS];

	for (size_t i = 0; i < n; i++)
		values[i] = column->value(&rounds[i]);
	return summary_of_values(values, n);
}

/* ---- who took part ---- */

/* The first line that a command writes. */
static const char *first_line(const char *const *argv, const char *log, char *line, size_t size)
{
	struct child child;

	*line = '\0';
	unlink(log);
	if (child_start(&child, argv, log) == 0 && child_wait(&child) == 0) {
		FILE *file = fopen(log, "re");

		if (file && fgets(line, (int)size, file))
			line[strcspn(line, "\n")] = '\0';
		if (file)
			fclose(file);
	}
	unlink(log);
	return line;
}

static void write_versions(FILE *out, const struct run_conf *conf)
{
	const char *const proxy[] = {conf->proxy, "version", NULL};
	const char *const php[] = {"php", "-r", "echo PHP_VERSION;", NULL};
	char log[RUN_MAX_PATH], proxy_line[128], php_line[128];
	struct utsname kernel;

	snprintf(log, sizeof(log), "%s/version", conf->directory);
	uname(&kernel);
	first_line(proxy, log, proxy_line, sizeof(proxy_line));
	first_line(php, log, php_line, sizeof(php_line));
	fprintf(out,
		"{\"qbus-bench\": \"" QBUS_VERSION "\", \"proxy\": \"%s\", \"librdkafka\": \"%s\", \"rabbitmq-c\": \"%s\", "
		"\"php\": \"%s\", \"kernel\": \"%s\"}",
		proxy_line, rd_kafka_version_str(), amqp_version(), php_line, kernel.release);
}

/* ---- JSON ---- */

static void write_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if ((unsigned char)*text < 0x20)
			fprintf(out, "\\u%04x", (unsigned)*text);
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

/* As it was given, but for the password of a URL. */
static void write_command(FILE *out, const struct run_conf *conf)
{
	fputs("qbus-bench", out);
	for (int i = 0; i < conf->argc; i++) {
		const char *word = conf->argv[i], *host = strrchr(word, '@'), *scheme = strstr(word, "://");
		const char *colon = scheme && host ? strchr(scheme + 3, ':') : NULL;

		if (colon && colon < host)
			fprintf(out, " %.*s:***%s", (int)(colon - word), word, host);
		else
			fprintf(out, " %s", word);
	}
}

static void write_command_string(FILE *out, const struct run_conf *conf)
{
	char *text = NULL;
	size_t size;
	FILE *memory = open_memstream(&text, &size);

	if (!memory)
		return;
	write_command(memory, conf);
	fclose(memory);
	write_string(out, text);
	free(text);
}

static void write_side(FILE *out, const struct measure_result *rounds, size_t n_rounds)
{
	fputs("{\"rounds\": [", out);
	for (size_t i = 0; i < n_rounds; i++) {
		fprintf(out, "%s\n    {\"messages\": %" PRIu64 ", \"workers\": %zu", i ? "," : "", rounds[i].n_messages,
			rounds[i].n_workers);
		for (size_t c = 0; c < N_COLUMNS; c++)
			fprintf(out, ", \"%s\": %.3f", columns[c].name, columns[c].value(&rounds[i]));
		fputs("}", out);
	}
	fputs("],\n   \"summary\": {", out);
	for (size_t c = 0; c < N_COLUMNS; c++) {
		struct summary summary = summary_of(rounds, n_rounds, &columns[c]);

		fprintf(out, "%s\n    \"%s\": {\"median\": %.3f, \"low\": %.3f, \"high\": %.3f}", c ? "," : "", columns[c].name,
			summary.median, summary.low, summary.high);
	}
	fputs("}}", out);
}

static int write_json(const struct run_conf *conf, const struct run_results *results)
{
	FILE *out = strcmp(conf->json, "-") ? fopen(conf->json, "we") : stdout;

	if (!out) {
		perror(conf->json);
		return -1;
	}
	fputs("{\"command\": ", out);
	write_command_string(out, conf);
	fputs(",\n \"versions\": ", out);
	write_versions(out, conf);
	fprintf(out, ",\n \"processors\": %ld,\n \"sides\": {", sysconf(_SC_NPROCESSORS_ONLN));
	for (size_t i = 0; i < conf->n_sides; i++) {
		fprintf(out, "%s\n  \"%s\": ", i ? "," : "", side_at(conf->sides[i])->name);
		write_side(out, results->rounds[conf->sides[i]], results->n_rounds);
	}
	fputs("}}\n", out);
	return out == stdout ? fflush(out) : fclose(out);
}

/* ---- the table ---- */

static void print_cell(const struct measure_result *rounds, size_t n_rounds, const struct column *column)
{
	struct summary summary = summary_of(rounds, n_rounds, column);

	if (summary.high > 0)
		printf("  %10.*f [%10.*f to %8.*f]", column->decimals, summary.median * column->scale, column->decimals,
			summary.low * column->scale, column->decimals, summary.high * column->scale);
	else
		printf("  %10s%25s", "-", "");
}

/* A few consumers, everything about them. */
static void print_columns(const struct run_conf *conf, const struct run_results *results)
{
	printf("%-18s", "");
	for (size_t i = 0; i < conf->n_sides; i++)
		printf("  %-35s", side_at(conf->sides[i])->name);
	fputc('\n', stdout);
	for (size_t c = 0; c < N_COLUMNS; c++) {
		printf("%-18s", columns[c].title);
		for (size_t i = 0; i < conf->n_sides; i++)
			print_cell(results->rounds[conf->sides[i]], results->n_rounds, &columns[c]);
		fputc('\n', stdout);
	}
	puts("\nFrom the first message handled to the last; CPU within that time, memory of the whole life.\n"
		 "A worker's memory is the largest one's. start: from the start of the process to the first message handled.");
}

/* How many times faster the proxy was than this one, round by round: what slows a round down slows both. */
static struct summary ratio_of(const struct run_results *results, enum side_id side)
{
	double values[RUN_MAX_ROUNDS];

	for (size_t i = 0; i < results->n_rounds; i++)
		values[i] = rate(&results->rounds[SIDE_PROXY][i]) / rate(&results->rounds[side][i]);
	return summary_of_values(values, results->n_rounds);
}

/* Many consumers, a line each. */
static void print_sides(const struct run_conf *conf, const struct run_results *results)
{
	const struct column *speed = &columns[0];

	printf("%-26s  %-35s  %-26s  %-9s  %s\n", "", "messages/s", "qbus-proxy is faster by", "CPU s", "peak MiB");
	for (size_t i = 0; i < conf->n_sides; i++) {
		const struct measure_result *rounds = results->rounds[conf->sides[i]];
		struct summary ratio = ratio_of(results, conf->sides[i]);
		struct summary cpu = summary_of(rounds, results->n_rounds, &columns[CPU]);
		struct summary workers_cpu = summary_of(rounds, results->n_rounds, &columns[WORKERS_CPU]);
		struct summary peak = summary_of(rounds, results->n_rounds, &columns[PEAK]);

		printf("%-26s", side_at(conf->sides[i])->name);
		print_cell(rounds, results->n_rounds, speed);
		printf("  %6.2f [%6.2f to %6.2f]  %9.2f  %8.1f\n", ratio.median, ratio.low, ratio.high,
			cpu.median + workers_cpu.median, peak.median * columns[PEAK].scale);
	}
	puts(
		"\nFrom the first message handled to the last; ratios are of the same round. CPU of all processes of a side but\n"
		"the broker, peak memory of its main process.");
}

/* What the processors could do if nothing but the handlers' work took their time. */
static void print_ideal(const struct run_conf *conf, const struct run_results *results)
{
	long n_processors = sysconf(_SC_NPROCESSORS_ONLN);
	double busy = conf->n_workers < (uint64_t)n_processors ? (double)conf->n_workers : (double)n_processors;
	double ideal = busy * 1e6 / (double)conf->work_us;
	struct summary speed = summary_of(results->rounds[SIDE_PROXY], results->n_rounds, &columns[0]);

	printf("\n%" PRIu64
		   " us of work a message: %.0f messages/s are ideal, qbus-proxy reaches %.3f [%.3f to %.3f] of it\n",
		conf->work_us, ideal, speed.median / ideal, speed.low / ideal, speed.high / ideal);
}

static void print_table(const struct run_conf *conf, const struct run_results *results)
{
	putchar('\n');
	write_command(stdout, conf);
	printf("\n%" PRIu64 " messages of %" PRIu64 " bytes from %s, %" PRIu64 " worker(s), ordering %s, credit %s; "
		   "medians of %zu rounds [lowest to highest]\n\n",
		conf->n_messages, conf->size, conf->bootstrap ? "Kafka" : "RabbitMQ", conf->n_workers, conf->ordering,
		conf->credit, results->n_rounds);
	if (conf->is_compare)
		print_sides(conf, results);
	else
		print_columns(conf, results);
	if (conf->work_us)
		print_ideal(conf, results);
}

int run_report(const struct run_conf *conf, const struct run_results *results)
{
	bool is_stdout = conf->json && strcmp(conf->json, "-") == 0;

	if (!is_stdout)
		print_table(conf, results);
	return conf->json ? write_json(conf, results) : 0;
}
