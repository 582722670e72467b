/* SPDX-License-Identifier: MIT */
/* The three forms of a report, and what all of them say: who took part, with which command line. */
#ifndef QBUS_BENCH_REPORT_H
#define QBUS_BENCH_REPORT_H

#include "doubt.h"
#include "run.h"

enum { REPORT_N_VERSIONS = 6, REPORT_TEXT = 128 };

struct report {
	const struct run_conf *conf;
	const struct run_results *results;
	char doubts[DOUBT_MAX][DOUBT_TEXT]; /* sentences */
	size_t n_doubts;
	char *command; /* as it was given, but for the password of a URL */
	struct {
		const char *name;
		char text[REPORT_TEXT];
	} versions[REPORT_N_VERSIONS];
};

/* path: "-" is stdout. 0, or -1 after a sentence on stderr. */
int report_json(const struct report *report, const char *path);
int report_html(const struct report *report, const char *path);

#endif
