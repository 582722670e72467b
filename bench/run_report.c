/* SPDX-License-Identifier: MIT */
/* Tells what came out: a table for people; what is the same in every form of a report. */
#include "column.h"
#include "report.h"

#include <amqp.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- who took part ---- */

/* The first line that a command writes. */
static void first_line(const char *const *argv, const char *log, char *line, size_t size)
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
}

static void take_versions(struct report *report)
{
	const char *const proxy[] = {report->conf->proxy, "version", NULL};
	const char *const php[] = {"php", "-r", "echo PHP_VERSION;", NULL};
	char log[RUN_MAX_PATH], proxy_line[REPORT_TEXT], php_line[REPORT_TEXT];
	struct utsname kernel;

	snprintf(log, sizeof(log), "%s/version", report->conf->directory);
	uname(&kernel);
	first_line(proxy, log, proxy_line, sizeof(proxy_line));
	first_line(php, log, php_line, sizeof(php_line));

	const char *const rows[REPORT_N_VERSIONS][2] = {{"qbus-bench", QBUS_VERSION}, {"proxy", proxy_line},
		{"librdkafka", rd_kafka_version_str()}, {"rabbitmq-c", amqp_version()}, {"php", php_line},
		{"kernel", kernel.release}};

	for (size_t i = 0; i < REPORT_N_VERSIONS; i++) {
		report->versions[i].name = rows[i][0];
		snprintf(report->versions[i].text, REPORT_TEXT, "%s", rows[i][1]);
	}
}

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

static char *command_of(const struct run_conf *conf)
{
	char *text = NULL;
	size_t size;
	FILE *memory = open_memstream(&text, &size);

	if (memory) {
		write_command(memory, conf);
		fclose(memory);
	}
	return text;
}

/* ---- the table ---- */

static void print_cell(const struct measure_result *rounds, size_t n_rounds, size_t id)
{
	const struct column *column = column_at(id);
	struct summary summary = column_summary(id, rounds, n_rounds);

	if (!isnan(summary.median))
		printf("  %10.*f [%10.*f to %8.*f]", column->decimals, summary.median * column->scale, column->decimals,
			summary.low * column->scale, column->decimals, summary.high * column->scale);
	else
		printf("  %10s%25s", "-", "");
}

static bool has_column(const struct run_conf *conf, const struct run_results *results, size_t id)
{
	for (size_t i = 0; i < conf->n_sides; i++) {
		if (!isnan(column_summary(id, results->rounds[conf->sides[i]], results->n_rounds).median))
			return true;
	}
	return false;
}

/* A few consumers, everything about them. */
static void print_columns(const struct run_conf *conf, const struct run_results *results)
{
	printf("%-20s", "");
	for (size_t i = 0; i < conf->n_sides; i++)
		printf("  %-35s", side_at(conf->sides[i])->name);
	fputc('\n', stdout);
	for (size_t c = 0; c < N_COLUMNS; c++) {
		if (!has_column(conf, results, c))
			continue;
		printf("%-20s", column_at(c)->title);
		for (size_t i = 0; i < conf->n_sides; i++)
			print_cell(results->rounds[conf->sides[i]], results->n_rounds, c);
		fputc('\n', stdout);
	}
	puts("\nFrom the first message handled to the last; CPU within that time, memory of the whole life.\n"
		 "A worker's memory is the largest one's. start: from the start of the process to the first message handled.\n"
		 "waits, handler: as the proxy says, of its whole life.");
	if (conf->rate)
		puts("end to end: from when a message was due, whenever it could be sent, until its handler was through.");
}

/* How many times faster the proxy was than this one, round by round: what slows a round down slows both. */
static struct summary ratio_of(const struct run_results *results, enum side_id side)
{
	double values[RUN_MAX_ROUNDS];

	for (size_t i = 0; i < results->n_rounds; i++)
		values[i] = column_value(COLUMN_RATE, &results->rounds[SIDE_PROXY][i]) /
		            column_value(COLUMN_RATE, &results->rounds[side][i]);
	return summary_of(values, results->n_rounds);
}

/* Many consumers, a line each. */
static void print_sides(const struct run_conf *conf, const struct run_results *results)
{
	printf("%-26s  %-35s  %-26s  %-9s  %s\n", "", "messages/s", "qbus-proxy is faster by", "CPU s", "peak MiB");
	for (size_t i = 0; i < conf->n_sides; i++) {
		const struct measure_result *rounds = results->rounds[conf->sides[i]];
		struct summary ratio = ratio_of(results, conf->sides[i]);
		struct summary cpu = column_summary(COLUMN_CPU, rounds, results->n_rounds);
		struct summary workers_cpu = column_summary(COLUMN_WORKERS_CPU, rounds, results->n_rounds);
		struct summary peak = column_summary(COLUMN_PEAK, rounds, results->n_rounds);

		printf("%-26s", side_at(conf->sides[i])->name);
		print_cell(rounds, results->n_rounds, COLUMN_RATE);
		printf("  %6.2f [%6.2f to %6.2f]  %9.2f  %8.1f\n", ratio.median, ratio.low, ratio.high,
			cpu.median + (isnan(workers_cpu.median) ? 0 : workers_cpu.median),
			peak.median * column_at(COLUMN_PEAK)->scale);
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
	struct summary speed = column_summary(COLUMN_RATE, results->rounds[SIDE_PROXY], results->n_rounds);

	printf("\n%" PRIu64
		   " us of work a message: %.0f messages/s are ideal, qbus-proxy reaches %.3f [%.3f to %.3f] of it\n",
		conf->work_us, ideal, speed.median / ideal, speed.low / ideal, speed.high / ideal);
}

static void print_table(const struct report *report)
{
	const struct run_conf *conf = report->conf;
	const struct run_results *results = report->results;

	printf("\n%s\n%" PRIu64 " messages of %s bytes from %s, %" PRIu64 " worker(s), ordering %s, credit %s; "
		   "medians of %zu rounds [lowest to highest]\n\n",
		report->command, conf->n_messages, conf->size, conf->bootstrap ? "Kafka" : "RabbitMQ", conf->n_workers,
		conf->ordering, conf->credit, results->n_rounds);
	if (conf->is_compare)
		print_sides(conf, results);
	else
		print_columns(conf, results);
	if (conf->work_us)
		print_ideal(conf, results);
}

int run_report(const struct run_conf *conf, const struct run_results *results)
{
	struct report report = {.conf = conf, .results = results, .command = command_of(conf)};
	int err = report.command ? 0 : -1;

	if (!err && !(conf->json && strcmp(conf->json, "-") == 0))
		print_table(&report);
	if (!err && (conf->json || conf->html))
		take_versions(&report);
	if (!err && conf->json)
		err = report_json(&report, conf->json);
	if (!err && conf->html)
		err = report_html(&report, conf->html);
	free(report.command);
	return err;
}
