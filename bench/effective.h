/* SPDX-License-Identifier: MIT */
/* A configuration as qbus-proxy understands it: what `check-config --print` writes, by path. */
#ifndef QBUS_BENCH_EFFECTIVE_H
#define QBUS_BENCH_EFFECTIVE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { EFFECTIVE_MAX_ROWS = 4096, EFFECTIVE_MAX_DEPTH = 8, EFFECTIVE_MAX_PATH = 192, EFFECTIVE_MAX_VALUE = 96 };

struct effective_row {
	char path[EFFECTIVE_MAX_PATH]; /* "pipelines.orders.fetch.max_bytes" */
	char value[EFFECTIVE_MAX_VALUE];
	size_t depth; /* 0: "pipelines" */
};

struct effective {
	struct effective_row rows[EFFECTIVE_MAX_ROWS];
	size_t n_rows;
	char *ceiling; /* what it says at its end of memory */
	struct effective_row *open[EFFECTIVE_MAX_DEPTH];
};

/* Reads what the command has written. 0, or -1 after a sentence on stderr. */
int effective_read(struct effective *effective, FILE *file);
void effective_done(struct effective *effective);

/* NULL: it has no such row, or not with a value. Parts that are NULL end the path. */
const char *effective_text(const struct effective *effective, const char *section, const char *name, const char *key);
/* A number, bytes, or microseconds; -1: it has no such row. */
int64_t effective_number(const struct effective *effective, const char *section, const char *name, const char *key);

#endif
