/* SPDX-License-Identifier: MIT */
/* Axes with round numbers, polylines, a legend. */
#include "plot.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 860, HEIGHT = 300, LEFT = 80, RIGHT = 20, TOP = 20, BOTTOM = 50, N_TICKS = 6, LEGEND_STEP = 200 };

static const char *const colours[] = {
	"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#7f7f7f"};

void plot_line(struct plot *plot, const char *name)
{
	assert(plot->n_lines < PLOT_MAX_LINES);
	plot->lines[plot->n_lines++].name = name;
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

/* Where things lie in the picture. */
struct scale {
	double x_most, y_most; /* values at the right and upper ends */
};

static double place_x(const struct scale *scale, double x)
{
	return LEFT + (WIDTH - LEFT - RIGHT) * x / scale->x_most;
}

static double place_y(const struct scale *scale, double y)
{
	return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / scale->y_most;
}

static struct scale scale_of(const struct plot *plot)
{
	struct scale scale = {0, 0};

	for (size_t i = 0; i < plot->n_lines; i++) {
		for (size_t k = 0; k < plot->lines[i].n; k++) {
			scale.x_most = fmax(scale.x_most, plot->lines[i].xs[k]);
			scale.y_most = fmax(scale.y_most, plot->lines[i].ys[k]);
		}
	}
	scale.y_most *= 1.05;
	return scale;
}

static void write_x_tick(FILE *out, const struct scale *scale, double x, const char *label)
{
	fprintf(out, "<path d=\"M%.1f %dV%d\" class=\"grid\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
		place_x(scale, x), TOP, HEIGHT - BOTTOM, place_x(scale, x), HEIGHT - BOTTOM + 15, label);
}

static void write_axes(FILE *out, const struct plot *plot, const struct scale *scale)
{
	double x_step = plot->x_labels ? 1 : round_step(scale->x_most), y_step = round_step(scale->y_most);
	char number[32];

	for (double y = 0; y <= scale->y_most; y += y_step)
		fprintf(out,
			"<path d=\"M%d %.1fH%d\" class=\"grid\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n", LEFT,
			place_y(scale, y), WIDTH - RIGHT, LEFT - 6, place_y(scale, y) + 4, y_step < 1 ? 3 : 0, y);
	for (size_t i = 0; (double)i * x_step <= scale->x_most && !(plot->x_labels && !plot->x_labels[i]); i++) {
		snprintf(number, sizeof(number), "%.*f", x_step < 1 ? 1 : 0, (double)i * x_step);
		write_x_tick(out, scale, (double)i * x_step, plot->x_labels ? plot->x_labels[i] : number);
	}
	fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16,
		plot->x_title);
	fprintf(out, "<text x=\"%d\" y=\"12\">%s</text>\n", 4, plot->y_title);
}

/* The index of the line's name among all names, which chooses its colour; *ret_is_first: it was not there before. */
static size_t name_index(const struct plot *plot, size_t line, bool *ret_is_first)
{
	size_t n_names = 0;

	for (size_t i = 0; i < line; i++) {
		bool is_first;
		size_t index = name_index(plot, i, &is_first);

		if (strcmp(plot->lines[i].name, plot->lines[line].name) == 0) {
			*ret_is_first = false;
			return index;
		}
		n_names += is_first;
	}
	*ret_is_first = true;
	return n_names;
}

static void write_line(FILE *out, const struct plot *plot, const struct scale *scale, size_t index)
{
	const struct plot_line *line = &plot->lines[index];
	bool is_first;
	size_t name = name_index(plot, index, &is_first);
	const char *colour = colours[name % (sizeof(colours) / sizeof(colours[0]))];

	fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", colour);
	for (size_t i = 0; i < line->n; i++)
		fprintf(out, "%.1f,%.1f ", place_x(scale, line->xs[i]), place_y(scale, line->ys[i]));
	fputs("\"/>\n", out);
	if (is_first)
		fprintf(out, "<text x=\"%zu\" y=\"%d\" fill=\"%s\">&#9644; %s</text>\n", LEFT + name * LEGEND_STEP, HEIGHT - 2,
			colour, line->name);
}

void plot_write(const struct plot *plot, FILE *out)
{
	struct scale scale = scale_of(plot);

	if (!(scale.x_most > 0 && scale.y_most > 0))
		return;
	fprintf(out, "<figure><figcaption>%s</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", plot->title, WIDTH,
		HEIGHT);
	write_axes(out, plot, &scale);
	for (size_t i = 0; i < plot->n_lines; i++)
		write_line(out, plot, &scale, i);
	fputs("</svg></figure>\n", out);
}
