/* SPDX-License-Identifier: MIT */
/* Axes with round numbers, polylines, a legend. */
#include "plot.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 860, HEIGHT = 300, LEFT = 80, RIGHT = 26, TOP = 20, BOTTOM = 40, N_TICKS = 6 };

/* On white, and on black. */
static const char *const colours[PLOT_N_COLOURS][2] = {{"#1f6fb4", "#5aa9e6"}, {"#c8322b", "#f2786f"},
	{"#2b8a3e", "#69c47c"}, {"#8252b0", "#b793db"}, {"#c96f00", "#f0a04b"}, {"#7a4b3a", "#c69584"},
	{"#b83b8f", "#e88cc8"}, {"#5f6b76", "#a5b1bc"}, {"#00818a", "#4cc5cd"}, {"#7d7a00", "#c9c54a"},
	{"#3d4fb5", "#8f9cf0"}};

void plot_write_style(FILE *out)
{
	fputs(".plot text{fill:currentColor}.plot .grid{stroke:currentColor;opacity:.15;fill:none}\n"
		  ".legend{margin:.2em 0 0 80px;font-size:13px}.legend span{margin-right:1.5em;white-space:nowrap}\n",
		out);
	for (size_t i = 0; i < PLOT_N_COLOURS; i++)
		fprintf(out, ".c%zu{color:%s}", i, colours[i][0]);
	fputs("\n@media(prefers-color-scheme:dark){", out);
	for (size_t i = 0; i < PLOT_N_COLOURS; i++)
		fprintf(out, ".c%zu{color:%s}", i, colours[i][1]);
	fputs("}\n", out);
}

void plot_line(struct plot *plot, const char *name, size_t colour, bool is_dashed)
{
	assert(plot->n_lines < PLOT_MAX_LINES);

	struct plot_line *line = &plot->lines[plot->n_lines++];

	line->name = name;
	line->colour = colour % PLOT_N_COLOURS;
	line->is_dashed = is_dashed;
}

static bool line_grow(struct plot_line *line)
{
	size_t capacity = line->capacity ? 2 * line->capacity : 64;
	double *xs = realloc(line->xs, capacity * sizeof(*xs));

	if (xs)
		line->xs = xs;

	double *ys = xs ? realloc(line->ys, capacity * sizeof(*ys)) : NULL;

	if (!ys)
		return false;
	line->ys = ys;
	line->capacity = capacity;
	return true;
}

void plot_point(struct plot *plot, double x, double y)
{
	struct plot_line *line = &plot->lines[plot->n_lines - 1];

	if (line->n == line->capacity && !line_grow(line))
		return;
	line->xs[line->n] = x;
	line->ys[line->n++] = y;
}

void plot_done(struct plot *plot)
{
	for (size_t i = 0; i < plot->n_lines; i++) {
		free(plot->lines[i].xs);
		free(plot->lines[i].ys);
	}
	plot->n_lines = 0;
}

/* ---- drawing ---- */

/* 1, 2 or 5 times a power of ten, so that about N_TICKS of them reach most. */
static double round_step(double most)
{
	double step = pow(10, floor(log10(most / N_TICKS)));

	if (step * 5 * N_TICKS < most)
		return step * 10;
	return step * 2 * N_TICKS < most ? step * 5 : step * N_TICKS < most ? step * 2 : step;
}

/* Where things lie in the picture: values at its edges. With is_log y is the power of ten. */
struct scale {
	double x_most, y_least, y_most;
	bool is_log;
};

static double place_x(const struct scale *scale, double x)
{
	return LEFT + (WIDTH - LEFT - RIGHT) * x / scale->x_most;
}

static double place_y(const struct scale *scale, double y)
{
	double value = scale->is_log ? log10(fmax(y, pow(10, scale->y_least))) : y;

	return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - scale->y_least) / (scale->y_most - scale->y_least);
}

static struct scale scale_of(const struct plot *plot)
{
	struct scale scale = {.is_log = plot->is_log};
	double least = INFINITY;

	for (size_t i = 0; i < plot->n_lines; i++) {
		for (size_t k = 0; k < plot->lines[i].n; k++) {
			double y = plot->lines[i].ys[k];

			scale.x_most = fmax(scale.x_most, plot->lines[i].xs[k]);
			scale.y_most = fmax(scale.y_most, y);
			if (y > 0)
				least = fmin(least, y);
		}
	}
	if (scale.is_log && scale.y_most > 0) {
		scale.y_most = ceil(log10(scale.y_most));
		scale.y_least = fmin(floor(log10(least)), scale.y_most - 1);
	} else {
		scale.y_most *= 1.05;
	}
	return scale;
}

static void write_x_tick(FILE *out, const struct scale *scale, double x, const char *label)
{
	fprintf(out, "<path d=\"M%.1f %dV%d\" class=\"grid\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
		place_x(scale, x), TOP, HEIGHT - BOTTOM, place_x(scale, x), HEIGHT - BOTTOM + 15, label);
}

static void write_y_tick(FILE *out, const struct scale *scale, double y, int decimals)
{
	fprintf(out, "<path d=\"M%d %.1fH%d\" class=\"grid\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n",
		LEFT, place_y(scale, y), WIDTH - RIGHT, LEFT - 6, place_y(scale, y) + 4, decimals, y);
}

static void write_y_axis(FILE *out, const struct scale *scale)
{
	if (scale->is_log) {
		for (double power = scale->y_least; power <= scale->y_most; power++)
			write_y_tick(out, scale, pow(10, power), power < 0 ? (int)-power : 0);
		return;
	}

	double step = round_step(scale->y_most);

	for (double y = 0; y <= scale->y_most; y += step)
		write_y_tick(out, scale, y, step < 1 ? 3 : 0);
}

static void write_axes(FILE *out, const struct plot *plot, const struct scale *scale)
{
	double x_step = plot->x_labels ? 1 : round_step(scale->x_most);
	char number[32];

	write_y_axis(out, scale);
	for (size_t i = 0; (double)i * x_step <= scale->x_most && !(plot->x_labels && !plot->x_labels[i]); i++) {
		snprintf(number, sizeof(number), "%.*f", x_step < 1 ? 1 : 0, (double)i * x_step);
		write_x_tick(out, scale, (double)i * x_step, plot->x_labels ? plot->x_labels[i] : number);
	}
	fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", WIDTH - RIGHT, HEIGHT - 6, plot->x_title);
	fprintf(out, "<text x=\"%d\" y=\"12\" text-anchor=\"end\">%s</text>\n", LEFT - 6, plot->y_title);
}

static void write_line(FILE *out, const struct plot_line *line, const struct scale *scale)
{
	fprintf(out, "<polyline class=\"c%zu\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.5\"%s points=\"",
		line->colour, line->is_dashed ? " stroke-dasharray=\"5 4\"" : "");
	for (size_t i = 0; i < line->n; i++)
		fprintf(out, "%.1f,%.1f ", place_x(scale, line->xs[i]), place_y(scale, line->ys[i]));
	fputs("\"/>\n", out);
}

static bool is_new_name(const struct plot *plot, size_t line)
{
	for (size_t i = 0; i < line; i++) {
		if (strcmp(plot->lines[i].name, plot->lines[line].name) == 0)
			return false;
	}
	return true;
}

static void write_legend(FILE *out, const struct plot *plot)
{
	fputs("<p class=\"legend\">", out);
	for (size_t i = 0; i < plot->n_lines; i++) {
		const struct plot_line *line = &plot->lines[i];

		if (is_new_name(plot, i))
			fprintf(out, "<span><b class=\"c%zu\">%s</b> %s</span>\n", line->colour,
				line->is_dashed ? "&#9549;&#9549;" : "&#9473;&#9473;", line->name);
	}
	fputs("</p>", out);
}

void plot_write(const struct plot *plot, FILE *out)
{
	struct scale scale = scale_of(plot);

	if (!(scale.x_most > 0 && scale.y_most > scale.y_least))
		return;
	fprintf(out, "<figure><figcaption>%s</figcaption>\n<svg class=\"plot\" viewBox=\"0 0 %d %d\" role=\"img\">\n",
		plot->title, WIDTH, HEIGHT);
	write_axes(out, plot, &scale);
	for (size_t i = 0; i < plot->n_lines; i++)
		write_line(out, &plot->lines[i], &scale);
	fputs("</svg>\n", out);
	write_legend(out, plot);
	fputs("</figure>\n", out);
}
