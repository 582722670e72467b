/* SPDX-License-Identifier: MIT */
/* Collects what is wrong with a configuration: all of it, in the order of the file, each sentence once. */
#ifndef QBUS_HOST_CONF_REPORT_H
#define QBUS_HOST_CONF_REPORT_H

#include "host/conf.h"
#include "host/conf_arena.h"

#define CONF_REPORT_MAX 100 /* complaints that are kept; the rest is counted */

/* A place in the file, from 1. */
struct conf_at {
	int line, column;
};

struct conf_report {
	struct conf_arena *arena;
	struct conf_complaint complaints[CONF_REPORT_MAX];
	size_t n_complaints;
	size_t n_errors; /* also those that were not kept */
	size_t n_lost;
};

/* Sentences have no full stop. Control bytes become '?'; what is very long is cut. */
void conf_report_error(struct conf_report *report, struct conf_at at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void conf_report_warn(struct conf_report *report, struct conf_at at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Sorts the complaints and moves them into conf, with a last one that tells how many were lost. */
void conf_report_finish(struct conf_report *report, struct conf *conf);

/* The best guess of what a mistyped word was meant to be. Begin with a zeroed struct, offer candidates, then ask. */
struct conf_guess {
	const char *word;
	const char *best; /* borrowed from the candidates; NULL: none is near */
	size_t distance;
};
void conf_guess_offer(struct conf_guess *guess, const char *candidate);
/* ` (did you mean "..."?)`, or the empty string when nothing is near. */
const char *conf_guess_hint(const struct conf_guess *guess, struct conf_arena *arena);

#endif
