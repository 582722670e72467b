/* SPDX-License-Identifier: MIT */
/* Draws lines over two axes as an SVG picture that needs nothing from elsewhere. */
#ifndef QBUS_BENCH_PLOT_H
#define QBUS_BENCH_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { PLOT_MAX_LINES = 160 };

enum { PLOT_N_COLOURS = 11 };

/* Lines with the same name have one place in the legend. */
struct plot_line {
	const char *name; /* borrowed */
	size_t colour;
	bool is_dashed;
	double *xs, *ys; /* from 0 on */
	size_t n, capacity;
};

/* All bytes but the texts 0 is an empty plot. Texts are borrowed and not escaped: they must be fit for HTML. */
struct plot {
	const char *title, *x_title, *y_title;
	const char *const *x_labels; /* at x = 0, 1, 2...; ends with NULL. NULL: numbers */
	bool is_log;                 /* y goes by powers of ten */
	struct plot_line lines[PLOT_MAX_LINES];
	size_t n_lines;
};

/* Writes what the page's stylesheet must say of plots, in light and in dark; texts take the page's colour. */
void plot_write_style(FILE *out);

/* The points that follow belong to a new line. At most PLOT_MAX_LINES. colour: any number; the same one is the same
 * colour in all plots. */
void plot_line(struct plot *plot, const char *name, size_t colour, bool is_dashed);
/* After plot_line. Drops the point when there is no memory for it. */
void plot_point(struct plot *plot, double x, double y);
/* Writes a <figure>; nothing when there is no line of two points. */
void plot_write(const struct plot *plot, FILE *out);
void plot_done(struct plot *plot);

#endif
