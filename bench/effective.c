/* SPDX-License-Identifier: MIT */
/* Reads lines of "key: value" by their indentation: no YAML but that of the printer in qbus-proxy. */
#include "effective.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT = 2, MAX_LINE = 4096 };

static const char ceiling_head[] = "# Memory";

/* text: without its indentation. What a plugin does by default stands behind a "# ". */
static void take_line(struct effective *effective, size_t depth, char *text)
{
	char *colon = strchr(text, ':');
	struct effective_row *row = &effective->rows[effective->n_rows];

	if (!colon || depth >= EFFECTIVE_MAX_DEPTH || effective->n_rows == EFFECTIVE_MAX_ROWS ||
		(depth > 0 && !effective->open[depth - 1]))
		return;
	*colon = '\0';
	if ((size_t)snprintf(row->path, sizeof(row->path), "%s%s%s", depth ? effective->open[depth - 1]->path : "",
			depth ? "." : "", text) >= sizeof(row->path))
		return;
	snprintf(row->value, sizeof(row->value), "%s", colon + 1 + strspn(colon + 1, " "));
	row->depth = depth;
	effective->open[depth] = row;
	effective->n_rows++;
}

static int read_ceiling(struct effective *effective, const char *first, FILE *file)
{
	char line[MAX_LINE];
	size_t size;
	FILE *memory = open_memstream(&effective->ceiling, &size);

	if (!memory)
		return -1;
	fputs(first, memory);
	while (fgets(line, sizeof(line), file))
		fputs(line, memory);
	return fclose(memory);
}

int effective_read(struct effective *effective, FILE *file)
{
	char line[MAX_LINE];

	effective->n_rows = 0;
	effective->ceiling = NULL;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, ceiling_head, strlen(ceiling_head)) == 0)
			return read_ceiling(effective, line, file);

		size_t indent = strspn(line, " ");
		char *text = line + indent;

		text[strcspn(text, "\n")] = '\0';
		take_line(effective, indent / INDENT, strncmp(text, "# ", 2) == 0 ? text + 2 : text);
	}
	fputs("qbus-bench: this qbus-proxy prints its configuration in another way\n", stderr);
	return -1;
}

void effective_done(struct effective *effective)
{
	free(effective->ceiling);
	effective->ceiling = NULL;
}

const char *effective_text(const struct effective *effective, const char *section, const char *name, const char *key)
{
	char path[EFFECTIVE_MAX_PATH];

	snprintf(
		path, sizeof(path), "%s%s%s%s%s", section, name ? "." : "", name ? name : "", key ? "." : "", key ? key : "");
	for (size_t i = 0; i < effective->n_rows; i++) {
		if (strcmp(effective->rows[i].path, path) == 0)
			return *effective->rows[i].value ? effective->rows[i].value : NULL;
	}
	return NULL;
}

int64_t effective_number(const struct effective *effective, const char *section, const char *name, const char *key)
{
	static const struct {
		const char *name;
		int64_t factor;
	} units[] = {{"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"us", 1}, {"ms", 1000},
		{"s", 1000000}, {"m", 60000000}, {"h", 3600000000}, {"d", 86400000000}};
	const char *text = effective_text(effective, section, name, key);
	char *end = NULL;
	int64_t number = text ? strtoll(text, &end, 10) : -1;

	for (size_t i = 0; text && end != text && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) == 0)
			return number * units[i].factor;
	}
	return -1;
}
