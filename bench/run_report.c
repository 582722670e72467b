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

/* Where the word has a password: in a URL, or behind an option's name that tells. ret_rest: what follows it. NULL: it
 * has none. */
static const char *secret_of(const char *word, const char **ret_rest)
{
	static const char *const names[] = {"password", "secret", "token", "credential", "jaas", "pem"};
	const char *host = strrchr(word, '@'), *scheme = strstr(word, "://");
	const char *colon = scheme && host ? strchr(scheme + 3, ':') : NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *name = strcasestr(word, names[i]), *equals = name ? strchr(name, '=') : NULL;

		*ret_rest = "";
		if (equals)
			return equals + 1;
	}
	*ret_rest = host;
	return colon && colon < host ? colon + 1 : NULL;
}

static void write_command(FILE *out, const struct run_conf *conf)
{
	fputs("qbus-bench", out);
	for (int i = 0; i < conf->argc; i++) {
		const char *word = conf->argv[i], *rest, *secret = secret_of(word, &rest);

		if (secret)
			fprintf(out, " %.*s***%s", (int)(secret - word), word, rest);
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

static void print_cell(const struct run_results *results, enum side_id side, size_t id)
{
	const struct column *column = column_at(id);
	struct summary summary = run_summary(results, side, id);

	if (!isnan(summary.median))
		printf("  %10.*f [%10.*f to %8.*f]", column->decimals, summary.median * column->scale, column->decimals,
			summary.low * column->scale, column->decimals, summary.high * column->scale);
	else
		printf("  %10s%25s", "-", "");
}

bool run_has_column(const struct run_conf *conf, const struct run_results *results, size_t id)
{
	for (size_t i = 0; i < conf->n_sides; i++) {
		if (!isnan(run_summary(results, conf->sides[i], id).median))
			return true;
	}
	return false;
}

/* A few consumers, everything about them. */
static void print_columns(const struct run_conf *conf, const struct run_results *results)
{
	printf("%-21s", "");
	for (size_t i = 0; i < conf->n_sides; i++)
		printf("  %-35s", side_at(conf->sides[i])->name);
	fputc('\n', stdout);
	for (size_t c = 0; c < N_COLUMNS; c++) {
		if (!run_has_column(conf, results, c))
			continue;
		printf("%-21s", column_at(c)->title);
		for (size_t i = 0; i < conf->n_sides; i++)
			print_cell(results, conf->sides[i], c);
		fputc('\n', stdout);
	}
	puts("\nFrom when all workers take part (the readme has it exactly) to the last message; CPU within that time,\n"
		 "memory of the whole life. "
		 "A worker's memory is the largest one's. start: from the start of the process to the first message handled.\n"
		 "waits, handler: as the proxy says, of the same time. System calls: of one more round, which was not timed.");
	if (run_is_live(conf))
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

/* What the main process has, and its workers. */
static double both(const struct run_results *results, enum side_id side, size_t id, size_t of_workers)
{
	double workers = run_summary(results, side, of_workers).median;

	return run_summary(results, side, id).median + (isnan(workers) ? 0 : workers);
}

static void print_number(double value, int width, int decimals)
{
	if (isnan(value))
		printf("  %*s", width, "-");
	else
		printf("  %*.*f", width, decimals, value);
}

/* Many consumers, a line each. */
static void print_sides(const struct run_conf *conf, const struct run_results *results)
{
	printf("%-26s  %-35s  %-26s  %7s  %9s  %9s  %8s\n", "", "messages/s", "qbus-proxy is faster by", "CPU us", "bytes",
		"syscalls", "peak MiB");
	for (size_t i = 0; i < conf->n_sides; i++) {
		enum side_id side = conf->sides[i];
		struct summary ratio = ratio_of(results, side);

		printf("%-26s", side_at(side)->name);
		print_cell(results, side, COLUMN_RATE);
		if (isnan(ratio.median))
			printf("  %6s%22s", "-", ""); /* so few messages that they took no time */
		else
			printf("  %6.2f [%6.2f to %6.2f]   ", ratio.median, ratio.low, ratio.high);
		print_number(both(results, side, COLUMN_CPU_EACH, COLUMN_WORKERS_CPU_EACH), 7, 2);
		print_number(run_summary(results, side, COLUMN_RECEIVED_EACH).median, 9, 0);
		print_number(both(results, side, COLUMN_CALLS_EACH, COLUMN_WORKERS_CALLS_EACH), 9, 2);
		print_number(run_summary(results, side, COLUMN_PEAK).median * column_at(COLUMN_PEAK)->scale, 8, 1);
		fputc('\n', stdout);
	}
	puts("\nFrom when all take part to the last message; ratios are of the same round. A message's CPU, bytes fetched\n"
		 "and system calls are of all processes of a side but the broker, peak memory is its main process's.");
	for (size_t i = 0; i < conf->n_sides; i++) {
		if (side_at(conf->sides[i])->note)
			printf("%s: %s.\n", side_at(conf->sides[i])->name, side_at(conf->sides[i])->note);
	}
}

/* How long messages of a live load took. */
static void print_latencies(const struct run_conf *conf, const struct run_results *results)
{
	printf("\n%-26s", "end to end, ms");
	for (size_t i = 0; i < N_TIMES; i++)
		printf("  %9s", times_name(i));
	puts("  p99, lowest to highest");
	for (size_t i = 0; i < conf->n_sides; i++) {
		enum side_id side = conf->sides[i];
		struct summary p99 = run_summary(results, side, COLUMN_END_TO_END + TIMES_P99);

		printf("%-26s", side_at(side)->name);
		for (size_t k = 0; k < N_TIMES; k++)
			print_number(run_summary(results, side, COLUMN_END_TO_END + k).median, 9, 3);
		printf("  %.3f to %.3f\n", p99.low, p99.high);
	}
	puts("\nFrom when a message was due, whenever it could be sent, until its handler was through.");
}

/* The times of a consumer that could not keep up tell how long the round was. */
static void print_late(const struct run_conf *conf, const struct run_results *results)
{
	for (size_t i = 0; i < conf->n_sides; i++) {
		double speed = run_summary(results, conf->sides[i], COLUMN_RATE).median;

		if (!run_keeps_up(conf, speed))
			printf("%s FALLS BEHIND: %.0f of %" PRIu64 " messages/s; its times grow with the length of the round.\n",
				side_at(conf->sides[i])->name, speed, conf->rate);
	}
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

	printf("\n%s\n%" PRIu64 " messages of %s bytes from %s, workers: %" PRIu64 ", ordering %s, credit %s; "
		   "rounds: %zu, medians [lowest to highest]\n\n",
		report->command, conf->n_messages, conf->size, run_broker(conf), conf->n_workers, conf->ordering, conf->credit,
		results->n_rounds);
	if (conf->is_compare)
		print_sides(conf, results);
	if (conf->is_compare && conf->rate)
		print_latencies(conf, results);
	if (!conf->is_compare)
		print_columns(conf, results);
	if (conf->rate)
		print_late(conf, results);
	if (conf->work_us)
		print_ideal(conf, results);
	if (report->n_doubts)
		putchar('\n');
	for (size_t i = 0; i < report->n_doubts; i++)
		puts(report->doubts[i]);
}

struct summary run_summary(const struct run_results *results, enum side_id side, size_t column)
{
	bool is_counted = column == COLUMN_CALLS_EACH || column == COLUMN_WORKERS_CALLS_EACH;

	return is_counted ? column_summary(column, &results->counted[side], 1)
	                  : column_summary(column, results->rounds[side], results->n_rounds);
}

const char *run_broker(const struct run_conf *conf)
{
	if (conf->is_generated)
		return "no broker (generated)";
	return conf->embedded ? "the embedded Kafka" : conf->bootstrap ? "Kafka" : "RabbitMQ";
}

int run_report(const struct run_conf *conf, const struct run_results *results)
{
	struct report report = {.conf = conf, .results = results, .command = command_of(conf)};
	int err = report.command ? 0 : -1;

	report.n_doubts = doubt_find(conf, results, report.doubts);
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
