/* SPDX-License-Identifier: MIT */
/* Tables of the command line: each is a list of objects of the answer, and which of their fields stand in which column.
 */
#include "host/glance_show.h"

#include "base/alloc.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum cell_kind { CELL_TEXT, CELL_NUMBER, CELL_BYTES, CELL_SECONDS, CELL_FLAG, CELL_LIST, CELL_PLACE };

enum { CELL_BYTES_MAX = 160 };

struct column {
	const char *title, *key; /* key: "a.b" is the field b of the field a */
	enum cell_kind kind;
};

struct table {
	const char *title;
	const char *list; /* the key of the list; "pipelines.lanes": the lists of all pipelines */
	const struct column *columns;
	size_t n_columns;
	const char *whole, *whole_key; /* then each has, as its `whole`, what the pipeline has as `whole_key` */
};

struct glance_view {
	const char *name, *page;
	void (*head)(FILE *out, json_t *answer);
	const struct table *tables[4];
	void (*foot)(FILE *out, json_t *answer);
};

/* ---- cells ---- */

static void bytes_write(double n, char *ret, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;
	for (; (n >= 1024 || n <= -1024) && unit < 4; unit++)
		n /= 1024;
	snprintf(ret, size, "%.*f %s", unit && n < 100 && n > -100 ? 1 : 0, n, units[unit]);
}

static void seconds_write(double seconds, char *ret, size_t size)
{
	bool is_over = seconds <= -1; /* so long ago */
	if (is_over && size)
		*ret++ = '-', size--, seconds = -seconds;
	if (seconds < 1)
		snprintf(ret, size, "%.*f ms", seconds < 0.1 ? 1 : 0, seconds * 1e3);
	else if (seconds < 100)
		snprintf(ret, size, "%.1f s", seconds);
	else if (seconds < 2 * 3600)
		snprintf(ret, size, "%.0f min", seconds / 60);
	else if (seconds < 48 * 3600)
		snprintf(ret, size, "%.1f h", seconds / 3600);
	else
		snprintf(ret, size, "%.1f days", seconds / 86400);
}

static void list_write(const json_t *list, char *ret, size_t size)
{
	size_t len = 0;
	*ret = '\0';
	for (size_t i = 0; i < json_array_size(list) && len < size - 1; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		len += (size_t)snprintf(ret + len, size - len, "%s%s", i ? "," : "", text ? text : "?");
	}
}

static void text_write(const char *text, char *ret, size_t size);

/* A message by the place that the broker knows it by. */
static void place_write(const json_t *message, char *ret, size_t size)
{
	const char *source = json_string_value(json_object_get(message, "source"));
	text_write(source ? source : "-", ret, size);
	size_t len = strlen(ret);
	if (source)
		snprintf(ret + len, size - len, "[%" JSON_INTEGER_FORMAT "] %" JSON_INTEGER_FORMAT,
			json_integer_value(json_object_get(message, "partition")),
			json_integer_value(json_object_get(message, "offset")));
}

/* Names come from outside: what would move the cursor is not printed. */
static void text_write(const char *text, char *ret, size_t size)
{
	size_t len = 0;
	for (; *text && len + 1 < size; text++)
		ret[len++] = (unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text;
	ret[len] = '\0';
}

static void cell_write(const json_t *value, enum cell_kind kind, char *ret, size_t size)
{
	if (kind == CELL_LIST)
		list_write(value, ret, size);
	else if (kind == CELL_PLACE)
		place_write(value, ret, size);
	else if (!value || json_is_null(value))
		snprintf(ret, size, "-");
	else if (kind == CELL_BYTES)
		bytes_write(json_number_value(value), ret, size);
	else if (kind == CELL_SECONDS)
		seconds_write(json_number_value(value), ret, size);
	else if (kind == CELL_NUMBER)
		snprintf(ret, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (kind == CELL_FLAG)
		snprintf(ret, size, "%s", json_is_true(value) ? "yes" : "no");
	else
		text_write(json_is_string(value) ? json_string_value(value) : "-", ret, size);
}

static const json_t *field_find(const json_t *object, const char *key)
{
	const char *dot = strchr(key, '.');
	char first[64];
	if (!dot)
		return json_object_get(object, key);
	snprintf(first, sizeof first, "%.*s", (int)(dot - key), key);
	const json_t *whole = json_object_get(object, first), *count = json_object_get(whole, "count");
	bool is_of_nothing = json_is_integer(count) && json_integer_value(count) == 0; /* times that nobody took */
	return is_of_nothing ? NULL : json_object_get(whole, dot + 1);
}

/* ---- tables ---- */

typedef char cell[CELL_BYTES_MAX];

/* How many columns of a terminal the text takes, as far as one can say without its fonts: its characters. */
static int text_width(const char *text)
{
	int n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void table_line(FILE *out, const struct table *table, const cell *cells, const int *widths)
{
	for (size_t i = 0; i < table->n_columns; i++) {
		enum cell_kind kind = table->columns[i].kind;
		bool is_left = kind == CELL_TEXT || kind == CELL_LIST || kind == CELL_FLAG || kind == CELL_PLACE;
		int pad = widths[i] - text_width(cells[i]);
		bool is_last = i + 1 == table->n_columns;
		fprintf(out, "%s%*s%s%*s", i ? "  " : "", is_left ? 0 : pad, "", cells[i], is_left && !is_last ? pad : 0, "");
	}
	fputc('\n', out);
}

static void table_print(FILE *out, const struct table *table, const json_t *rows)
{
	size_t n_rows = json_array_size(rows), n_columns = table->n_columns;
	cell *cells = alloc_zero((n_rows + 1) * n_columns * sizeof *cells);
	int *widths = alloc_zero(n_columns * sizeof *widths);
	for (size_t row = 0; row <= n_rows; row++) {
		for (size_t i = 0; i < n_columns; i++) {
			const struct column *column = &table->columns[i];
			char *text = cells[row * n_columns + i];
			if (row == 0)
				snprintf(text, CELL_BYTES_MAX, "%s", column->title);
			else
				cell_write(field_find(json_array_get(rows, row - 1), column->key), column->kind, text, CELL_BYTES_MAX);
			if (text_width(text) > widths[i])
				widths[i] = text_width(text);
		}
	}
	fprintf(out, "\n%s\n", table->title);
	for (size_t row = 0; row <= n_rows; row++)
		table_line(out, table, &cells[row * n_columns], widths);
	free(widths);
	free(cells);
}

/* The parts of all, each with the name of its whole: the lanes of pipelines, the leaks of workers. */
static json_t *collect_parts(json_t *answer, const struct table *table)
{
	char wholes[32];
	const char *parts = strchr(table->list, '.') + 1;
	snprintf(wholes, sizeof wholes, "%.*s", (int)(parts - 1 - table->list), table->list);
	json_t *collected = json_array(), *whole, *part;
	size_t i, j;
	json_array_foreach(json_object_get(answer, wholes), i, whole)
	{
		json_array_foreach(json_object_get(whole, parts), j, part)
		{
			json_object_set(part, table->whole, json_object_get(whole, table->whole_key));
			json_array_append(collected, part);
		}
	}
	return collected;
}

static void table_show(FILE *out, const struct table *table, json_t *answer)
{
	json_t *rows = table->whole ? collect_parts(answer, table) : json_incref(json_object_get(answer, table->list));
	if (json_array_size(rows))
		table_print(out, table, rows);
	else
		fprintf(out, "\n%s: none\n", table->title);
	json_decref(rows);
}

#define COLUMNS(columns) columns, sizeof(columns) / sizeof *(columns)

static const struct column pipeline_columns[] = {
	{"PIPELINE", "name", CELL_TEXT},
	{"BROKER", "broker", CELL_TEXT},
	{"SOURCE", "source", CELL_TEXT},
	{"CONNECTED", "connected", CELL_FLAG},
	{"BREAKER", "breaker", CELL_TEXT},
	{"PAUSED BY", "paused_by", CELL_TEXT},
	{"WORKERS", "workers", CELL_NUMBER},
	{"LAG", "lag", CELL_NUMBER},
	{"BUFFERED", "buffered", CELL_NUMBER},
	{"IN FLIGHT", "in_flight", CELL_NUMBER},
	{"WAITING", "waiting", CELL_NUMBER},
	{"UNCOMMITTED", "acked_uncommitted", CELL_NUMBER},
	{"HELD", "buffered_bytes", CELL_BYTES},
};
static const struct column count_columns[] = {
	{"PIPELINE", "name", CELL_TEXT},
	{"RECEIVED", "received", CELL_NUMBER},
	{"DELIVERED", "delivered", CELL_NUMBER},
	{"ACKED", "acked", CELL_NUMBER},
	{"RETRIED", "retried", CELL_NUMBER},
	{"REJECTED", "rejected", CELL_NUMBER},
	{"DEAD LETTERS", "dead_lettered", CELL_NUMBER},
	{"DEADLINES", "deadlines", CELL_NUMBER},
	{"BROKEN", "broken", CELL_NUMBER},
	{"HANDLER P50", "handler_seconds.p50", CELL_SECONDS},
	{"P99", "handler_seconds.p99", CELL_SECONDS},
	{"END TO END P99", "end_to_end_seconds.p99", CELL_SECONDS},
};
static const struct column lane_columns[] = {
	{"PIPELINE", "pipeline", CELL_TEXT},
	{"SOURCE", "source", CELL_TEXT},
	{"PARTITION", "partition", CELL_NUMBER},
	{"STATE", "state", CELL_TEXT},
	{"SETTLED", "position", CELL_NUMBER},
	{"COMMITTED", "kept", CELL_NUMBER},
	{"NEWEST", "newest", CELL_NUMBER},
	{"GAP", "gap", CELL_NUMBER},
	{"LAG", "lag", CELL_NUMBER},
	{"SHUT", "shut", CELL_FLAG},
	{"WEDGED", "wedged", CELL_FLAG},
};
static const struct column pool_columns[] = {
	{"POOL", "name", CELL_TEXT},
	{"WANTED", "wanted", CELL_NUMBER},
	{"ALIVE", "alive", CELL_NUMBER},
	{"READY", "ready", CELL_NUMBER},
	{"STARTS", "starts", CELL_NUMBER},
	{"BREAKS CALLS BY", "breaking", CELL_TEXT},
	{"CRASH LOOP", "crash_looping", CELL_FLAG},
};
static const struct column worker_columns[] = {
	{"WORKER", "number", CELL_NUMBER},
	{"PID", "pid", CELL_NUMBER},
	{"POOL", "pool", CELL_TEXT},
	{"PLACE", "place", CELL_NUMBER},
	{"STATE", "state", CELL_TEXT},
	{"RSS", "rss_bytes", CELL_BYTES},
	{"PHP MEMORY", "memory_bytes", CELL_BYTES},
	{"GROWTH/1000", "growth_bytes_per_1000", CELL_BYTES},
	{"LEAKING", "leaking", CELL_FLAG},
	{"MESSAGES", "messages", CELL_NUMBER},
	{"AGE", "age_seconds", CELL_SECONDS},
	{"HELD", "held", CELL_NUMBER},
	{"CREDIT", "credit", CELL_NUMBER},
	{"CURRENT", "current", CELL_PLACE},
	{"RUNNING", "running_seconds", CELL_SECONDS},
	{"LEFT", "current.remaining_seconds", CELL_SECONDS},
	{"CLIENT", "client", CELL_TEXT},
	{"PIPELINES", "pipelines", CELL_LIST},
};
static const struct column leak_columns[] = {
	{"WORKER", "worker", CELL_NUMBER},
	{"GREW IN", "grew", CELL_NUMBER},
	{"OF LOOKS", "looks", CELL_NUMBER},
	{"BY", "bytes", CELL_BYTES},
	{"WHAT", "path", CELL_TEXT},
};
static const struct column delivery_columns[] = {
	{"ID", "id", CELL_NUMBER},
	{"PIPELINE", "pipeline", CELL_TEXT},
	{"WORKER", "worker", CELL_NUMBER},
	{"SOURCE", "source", CELL_TEXT},
	{"PARTITION", "partition", CELL_NUMBER},
	{"OFFSET", "offset", CELL_NUMBER},
	{"ATTEMPT", "attempt", CELL_NUMBER},
	{"SIZE", "bytes", CELL_BYTES},
	{"RUNS", "running", CELL_FLAG},
	{"FOR", "running_seconds", CELL_SECONDS},
	{"AGE", "age_seconds", CELL_SECONDS},
};

static const struct table pipelines_table = {"Pipelines", "pipelines", COLUMNS(pipeline_columns)};
static const struct table counts_table = {"Since the start", "pipelines", COLUMNS(count_columns)};
static const struct table lanes_table = {"Lanes", "pipelines.lanes", COLUMNS(lane_columns), "pipeline", "name"};
static const struct table pools_table = {"Pools", "pools", COLUMNS(pool_columns)};
static const struct table workers_table = {"Workers", "workers", COLUMNS(worker_columns)};
static const struct table leaks_table = {
	"What keeps growing", "workers.leaks", COLUMNS(leak_columns), "worker", "number"};
static const struct table deliveries_table = {"In flight", "deliveries", COLUMNS(delivery_columns)};

/* ---- views ---- */

static void reason_print(FILE *out, const json_t *reason)
{
	static const char *const facts[] = {"pipeline", "pool", "broker", "source", "partition", "offset"};
	const json_t *why = json_object_get(reason, "why");
	char text[512];
	cell_write(json_object_get(reason, "reason"), CELL_TEXT, text, sizeof text);
	fprintf(out, "not ready: %s", text);
	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
		const json_t *fact = json_object_get(reason, facts[i]);
		if (!fact)
			continue;
		cell_write(fact, json_is_integer(fact) ? CELL_NUMBER : CELL_TEXT, text, sizeof text);
		fprintf(out, " %s=%s", facts[i], text);
	}
	if (why)
		cell_write(why, CELL_TEXT, text, sizeof text);
	fprintf(out, "%s%s\n", why ? ": " : "", why ? text : "");
}

static void head_status(FILE *out, json_t *answer)
{
	cell version, state, uptime, used, most, resident, breaking, cgroups;
	size_t i;
	json_t *reason;
	cell_write(json_object_get(answer, "version"), CELL_TEXT, version, sizeof version);
	cell_write(json_object_get(answer, "state"), CELL_TEXT, state, sizeof state);
	cell_write(json_object_get(answer, "uptime_seconds"), CELL_SECONDS, uptime, sizeof uptime);
	cell_write(field_find(answer, "memory.used_bytes"), CELL_BYTES, used, sizeof used);
	cell_write(field_find(answer, "memory.max_bytes"), CELL_BYTES, most, sizeof most);
	cell_write(field_find(answer, "memory.rss_bytes"), CELL_BYTES, resident, sizeof resident);
	fprintf(out, "qbus-proxy %s is %s, up %s, pid %" JSON_INTEGER_FORMAT "\n", version, state, uptime,
		json_integer_value(json_object_get(answer, "pid")));
	if (json_is_true(json_object_get(answer, "reload_refused")))
		fputs("SIGHUP found the configuration wrong, its log tells how: what is served is what was read before\n", out);
	fprintf(out, "messages take %s of %s, the process %s\n", used, most, resident);
	cell_write(json_object_get(answer, "breaking"), CELL_TEXT, breaking, sizeof breaking);
	fprintf(out, "calls that hang in workers from outside can be broken by %s\n", breaking);
	cell_write(json_object_get(answer, "cgroups"), CELL_TEXT, cgroups, sizeof cgroups);
	fprintf(out, "workers in cgroups of their own: %s\n", cgroups);
	json_array_foreach(json_object_get(answer, "reasons"), i, reason) reason_print(out, reason);
}

static void head_inflight(FILE *out, json_t *answer)
{
	fprintf(out, "%" JSON_INTEGER_FORMAT " in flight, %" JSON_INTEGER_FORMAT " shown\n",
		json_integer_value(json_object_get(answer, "in_flight")), json_integer_value(json_object_get(answer, "shown")));
}

/* Who does not look, and what makes them. */
static void foot_leaks(FILE *out, json_t *answer)
{
	json_t *pool, *worker;
	size_t i;
	bool has_strangers = false;
	json_array_foreach(json_object_get(answer, "pools"), i, pool)
	{
		cell name;
		cell_write(json_object_get(pool, "name"), CELL_TEXT, name, sizeof name);
		if (!json_integer_value(json_object_get(pool, "leak_check")))
			fprintf(out,
				"leak_check is off in the pool %s: with `leak_check: 100` its workers look every 100 messages\n", name);
	}
	json_array_foreach(json_object_get(answer, "workers"), i, worker) has_strangers |=
		json_is_null(json_object_get(worker, "pool")) && !json_integer_value(json_object_get(worker, "leak_looks"));
	if (has_strangers)
		fputs("workers that qbus-proxy did not start look with QBUS_LEAK_CHECK=100 in their environment\n", out);
}

static const struct glance_view views[] = {
	{"status", "/status", head_status, {&pipelines_table, &counts_table, &pools_table, &workers_table}},
	{"pipelines", "/status", NULL, {&pipelines_table, &counts_table, &lanes_table}},
	{"workers", "/status", NULL, {&pools_table, &workers_table}},
	{"leaks", "/status", NULL, {&workers_table, &leaks_table}, foot_leaks},
	{"inflight", "/inflight", head_inflight, {&deliveries_table}},
};

const struct glance_view *glance_view_find(const char *name)
{
	for (size_t i = 0; i < sizeof views / sizeof *views; i++)
		if (strcmp(views[i].name, name) == 0)
			return &views[i];
	return NULL;
}

const char *glance_view_page(const struct glance_view *view)
{
	return view->page;
}

bool glance_view_show(const struct glance_view *view, const char *text, FILE *out)
{
	json_t *answer = json_loads(text, 0, NULL);
	if (!json_is_object(answer)) {
		json_decref(answer);
		return false;
	}
	if (view->head)
		view->head(out, answer);
	for (size_t i = 0; i < sizeof view->tables / sizeof *view->tables && view->tables[i]; i++)
		table_show(out, view->tables[i], answer);
	if (view->foot)
		view->foot(out, answer);
	json_decref(answer);
	return true;
}

/* ---- single facts ---- */

int glance_outcome_read(const char *text, char *ret_sentence, size_t size)
{
	json_t *answer = json_loads(text, 0, NULL);
	const char *sentence = json_string_value(json_object_get(answer, "message"));
	if (sentence)
		text_write(sentence, ret_sentence, size);
	json_decref(answer);
	return sentence ? 0 : -EINVAL;
}

static const json_t *only_pipeline(const json_t *answer)
{
	return json_array_get(json_object_get(answer, "pipelines"), 0);
}

int64_t glance_pipeline_number(const char *text, const char *key)
{
	json_t *answer = json_loads(text, 0, NULL);
	const json_t *value = json_object_get(only_pipeline(answer), key);
	int64_t number = json_is_integer(value) ? json_integer_value(value) : -1;
	json_decref(answer);
	return number;
}

int64_t glance_lane_newest(const char *text, const char *source, int64_t partition)
{
	json_t *answer = json_loads(text, 0, NULL), *lane;
	int64_t newest = -1;
	size_t i;
	json_array_foreach(json_object_get(only_pipeline(answer), "lanes"), i, lane)
	{
		const char *name = json_string_value(json_object_get(lane, "source"));
		if (name && strcmp(name, source) == 0 && json_integer_value(json_object_get(lane, "partition")) == partition)
			newest = json_integer_value(json_object_get(lane, "newest"));
	}
	json_decref(answer);
	return newest;
}
