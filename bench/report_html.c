/* SPDX-License-Identifier: MIT */
/* A report for people who were not there: one page with the table and plots, which needs nothing from elsewhere. */
#include "column.h"
#include "plot.h"
#include "report.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DRAWN = 12, MANY_SIDES = 3 }; /* rounds in a plot; ranges have lines of their own beside more sides */

static_assert(MAX_DRAWN * (N_SIDES + 1) <= PLOT_MAX_LINES, "each round is a line or two");

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>qbus-bench</title>\n"
	"<meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\"><style>\n"
	":root{--text:#222;--faint:#6b7280;--line:#ddd;--box:#f4f4f5;--page:#fff}\n"
	"@media(prefers-color-scheme:dark){:root{--text:#e4e4e7;--faint:#9ca3af;--line:#3f3f46;--box:#27272a;--page:#18181b}}\n"
	"body{font:15px/1.5 system-ui,sans-serif;max-width:920px;margin:2em auto;padding:0 1em;color:var(--text);"
	"background:var(--page)}\n"
	"pre{background:var(--box);padding:.7em;white-space:pre-wrap;overflow-wrap:anywhere}\n"
	".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
	"td,th{padding:.15em .8em;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}\n"
	"th:first-child{text-align:left;font-weight:normal;padding-left:0}tr.part>*{padding-top:.8em}\n"
	"small{color:var(--faint);display:inline-block;min-width:11em}.many small{display:block}\n"
	"figure{margin:2em 0}figcaption{font-weight:bold}svg{width:100%;font:12px system-ui,sans-serif}\n";

static void write_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		const char *name = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : NULL;

		if (name)
			fputs(name, out);
		else
			fputc(*text, out);
	}
}

static void write_facts(FILE *out, const struct report *report)
{
	const struct run_conf *conf = report->conf;

	fputs("<pre>", out);
	write_text(out, report->command);
	fprintf(out, "</pre>\n<p>%s bytes a message from %s, %" PRIu64 " worker(s), ordering ", conf->size,
		run_broker(conf), conf->n_workers);
	write_text(out, conf->ordering);
	fprintf(out, ", %ld processors; medians of %zu rounds [lowest to highest].</p>\n<p>", sysconf(_SC_NPROCESSORS_ONLN),
		report->results->n_rounds);
	for (size_t i = 0; i < REPORT_N_VERSIONS; i++) {
		fprintf(out, "%s%s ", i ? ", " : "", report->versions[i].name);
		write_text(out, report->versions[i].text);
	}
	fputs("</p>\n", out);
	for (size_t i = 0; i < report->n_doubts; i++) {
		fputs("<p>", out);
		write_text(out, report->doubts[i]);
		fputs("</p>\n", out);
	}
}

/* ---- the table ---- */

static void write_cell(FILE *out, const struct column *column, struct summary summary)
{
	if (isnan(summary.median))
		fputs("<td></td>", out);
	else
		fprintf(out, "<td>%.*f <small>[%.*f to %.*f]</small></td>", column->decimals, summary.median * column->scale,
			column->decimals, summary.low * column->scale, column->decimals, summary.high * column->scale);
}

/* Where a table takes a breath. */
static bool begins_part(size_t column)
{
	return column == COLUMN_CPU || column == COLUMN_PEAK || column == COLUMN_RECEIVED || column == COLUMN_END_TO_END ||
	       column == COLUMN_WAIT || column == COLUMN_HANDLER;
}

static void write_table(FILE *out, const struct report *report)
{
	const struct run_conf *conf = report->conf;

	fprintf(out, "<div class=\"wide\"><table%s><tr><th></th>", conf->n_sides > MANY_SIDES ? " class=\"many\"" : "");
	for (size_t i = 0; i < conf->n_sides; i++)
		fprintf(out, "<th>%s</th>", side_at(conf->sides[i])->name);
	fputs("</tr>\n", out);
	for (size_t c = 0; c < N_COLUMNS; c++) {
		if (!run_has_column(conf, report->results, c))
			continue;
		fprintf(out, "<tr%s><th>%s</th>", begins_part(c) ? " class=\"part\"" : "", column_at(c)->title);
		for (size_t i = 0; i < conf->n_sides; i++)
			write_cell(out, column_at(c), run_summary(report->results, conf->sides[i], c));
		fputs("</tr>\n", out);
	}
	fputs("</table></div>\n", out);
}

/* ---- plots ---- */

/* Adds a round of a side to a plot. */
typedef void draw_round(struct plot *plot, enum side_id side, const struct measure_result *round);

static void draw_rate(struct plot *plot, enum side_id side, const struct measure_result *round)
{
	plot_line(plot, side_at(side)->name, side, false);
	for (size_t i = 1; i < round->series.n_points; i++)
		plot_point(plot, round->series.points[i].at_s, round->series.points[i].messages_per_second);
}

static void draw_memory(struct plot *plot, enum side_id side, const struct measure_result *round)
{
	plot_line(plot, side_at(side)->name, side, false);
	for (size_t i = 1; i < round->series.n_points; i++)
		plot_point(plot, round->series.points[i].at_s, (double)round->series.points[i].rss_bytes / 1048576);
}

static void draw_worker_memory(struct plot *plot, enum side_id side, const struct measure_result *round)
{
	plot_line(plot, "its largest worker", side, true);
	for (size_t i = 1; i < round->series.n_points; i++)
		plot_point(plot, round->series.points[i].at_s, (double)round->series.points[i].worker_rss_bytes / 1048576);
}

static const char *const shares[] = {"fastest", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", NULL};

/* x: how many nines. As far as there are messages to tell it. */
static void draw_latency(struct plot *plot, enum side_id side, const struct measure_result *round)
{
	const double step = 0.05, most = 5;

	if (!round->latency || round->latency->count == 0)
		return;
	plot_line(plot, side_at(side)->name, side, false);
	for (double x = 0; x <= most && pow(10, x) <= (double)round->latency->count; x += step)
		plot_point(plot, x, (double)histogram_quantile(round->latency, 1 - pow(10, -x)) / 1000);
}

/* Of the few quantiles that the proxy tells. */
static void draw_times(struct plot *plot, const char *name, size_t colour, bool is_dashed, const struct times *times)
{
	const double nines[] = {0.301, 1, 2, 3}; /* of p50, p90, p99, p99.9 */

	plot_line(plot, name, colour, is_dashed);
	for (size_t i = 0; i < sizeof(nines) / sizeof(nines[0]) && times->n; i++)
		plot_point(plot, nines[i], times->ms[i]);
}

static void draw_wait(struct plot *plot, enum side_id side, const struct measure_result *round)
{
	if (side == SIDE_PROXY)
		draw_times(plot, "waits for a worker", side, false, &round->wait);
}

static void draw_handler(struct plot *plot, enum side_id side, const struct measure_result *round)
{
	draw_times(plot, "in the handler", side, true, &round->handler);
}

static void write_plot(
	FILE *out, const struct report *report, struct plot plot, draw_round *draw, draw_round *draw_more)
{
	for (size_t i = 0; i < report->conf->n_sides; i++) {
		enum side_id side = report->conf->sides[i];

		for (size_t round = 0; round < report->results->n_rounds && round < MAX_DRAWN; round++) {
			draw(&plot, side, &report->results->rounds[side][round]);
			if (draw_more && side == SIDE_PROXY)
				draw_more(&plot, side, &report->results->rounds[side][round]);
		}
	}
	plot_write(&plot, out);
	plot_done(&plot);
}

int report_html(const struct report *report, const char *path)
{
	const struct plot rate = {.title = "Throughput", .x_title = "seconds since the start", .y_title = "messages/s"};
	const struct plot latency = {.title = "From when a message was due until it was handled",
		.x_title = "share of the messages",
		.y_title = "ms",
		.x_labels = shares,
		.is_log = true};
	const struct plot times = {.title = "In the proxy and in the handler, as the proxy says",
		.x_title = "share of the messages",
		.y_title = "ms",
		.x_labels = shares,
		.is_log = true};
	const struct plot memory = {.title = "Resident memory", .x_title = "seconds since the start", .y_title = "MiB"};
	FILE *out = fopen(path, "we");

	if (!out) {
		perror(path);
		return -1;
	}
	fputs(head, out);
	plot_write_style(out);
	fputs("</style></head><body>\n<h1>qbus-bench</h1>\n", out);
	write_facts(out, report);
	write_table(out, report);
	write_plot(out, report, rate, draw_rate, NULL);
	write_plot(out, report, latency, draw_latency, NULL);
	write_plot(out, report, times, draw_wait, draw_handler);
	write_plot(out, report, memory, draw_memory, draw_worker_memory);
	fputs("</body></html>\n", out);
	return fclose(out);
}
