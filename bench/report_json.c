/* SPDX-License-Identifier: MIT */
/* A report for programs. */
#include "column.h"
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

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

/* Moments are seconds since the start of the process. */
static void write_series(FILE *out, const struct series *series)
{
	fputs(", \"series\": [", out);
	for (size_t i = 0; i < series->n_points; i++) {
		const struct series_point *point = &series->points[i];

		fprintf(out,
			"%s\n      {\"at\": %.3f, \"messages_per_second\": %.1f, \"rss_bytes\": %" PRIu64
			", \"worker_rss_bytes\": %" PRIu64 "}",
			i ? "," : "", point->at_s, point->messages_per_second, point->rss_bytes, point->worker_rss_bytes);
	}
	fputs("]", out);
}

static void write_round(FILE *out, const struct measure_result *round)
{
	fprintf(out, "{\"messages\": %" PRIu64 ", \"workers\": %zu", round->n_messages, round->n_workers);
	for (size_t c = 0; c < N_COLUMNS; c++) {
		double value = column_value(c, round);

		if (!isnan(value))
			fprintf(out, ", \"%s\": %.3f", column_at(c)->name, value);
	}
	fputs(", \"worker_processes\": [", out);
	for (size_t i = 0; i < round->n_each; i++)
		fprintf(out, "%s{\"cpu_seconds\": %.2f, \"peak_rss_bytes\": %" PRIu64 "}", i ? ", " : "", round->each[i].cpu_s,
			round->each[i].peak_bytes);
	fputs("]", out);
	write_series(out, &round->series);
	fputs("}", out);
}

static void write_side(FILE *out, const struct run_results *results, enum side_id side)
{
	const struct measure_result *rounds = results->rounds[side];
	size_t n_rounds = results->n_rounds;
	const char *comma = "";

	fputs("{\"rounds\": [", out);
	for (size_t i = 0; i < n_rounds; i++) {
		fprintf(out, "%s\n    ", i ? "," : "");
		write_round(out, &rounds[i]);
	}
	fputs("],\n   \"summary\": {", out);
	for (size_t c = 0; c < N_COLUMNS; c++) {
		struct summary summary = run_summary(results, side, c);

		if (isnan(summary.median))
			continue;
		fprintf(out, "%s\n    \"%s\": {\"median\": %.3f, \"low\": %.3f, \"high\": %.3f}", comma, column_at(c)->name,
			summary.median, summary.low, summary.high);
		comma = ",";
	}
	fputs("}}", out);
}

int report_json(const struct report *report, const char *path)
{
	const struct run_conf *conf = report->conf;
	FILE *out = strcmp(path, "-") ? fopen(path, "we") : stdout;

	if (!out) {
		perror(path);
		return -1;
	}
	fputs("{\"command\": ", out);
	write_string(out, report->command);
	fputs(",\n \"versions\": {", out);
	for (size_t i = 0; i < REPORT_N_VERSIONS; i++) {
		fprintf(out, "%s\"%s\": ", i ? ", " : "", report->versions[i].name);
		write_string(out, report->versions[i].text);
	}
	fputs("},\n \"doubts\": [", out);
	for (size_t i = 0; i < report->n_doubts; i++) {
		fputs(i ? ", " : "", out);
		write_string(out, report->doubts[i]);
	}
	fprintf(out, "],\n \"processors\": %ld,\n \"sides\": {", sysconf(_SC_NPROCESSORS_ONLN));
	for (size_t i = 0; i < conf->n_sides; i++) {
		fprintf(out, "%s\n  \"%s\": ", i ? "," : "", side_at(conf->sides[i])->name);
		write_side(out, report->results, conf->sides[i]);
	}
	fputs("}}\n", out);
	return out == stdout ? fflush(out) : fclose(out);
}
