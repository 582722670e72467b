/* SPDX-License-Identifier: MIT */
/* Dead letters as text and as JSON. */
#include "host/dlq_show.h"

#include "admin/text.h"
#include "base/alloc.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DLQ_TEXT_MAX = 2048 };

struct dlq_list {
	FILE *out;
	json_t *letters; /* NULL: as text */
};

bool dlq_header_find(const struct qb_message *letter, const char *name, struct qb_bytes *ret_value)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < letter->n_headers; i++) {
		const struct qb_header *header = &letter->headers[i];
		if (header->name.len != len || memcmp(header->name.data, name, len) != 0)
			continue;
		*ret_value = header->value;
		return true;
	}
	return false;
}

static uint64_t hash_add(uint64_t hash, struct qb_bytes bytes)
{
	const uint8_t *data = bytes.data;
	for (size_t i = 0; i < bytes.len; i++)
		hash = (hash ^ data[i]) * 0x100000001b3u;
	return (hash ^ bytes.len) * 0x100000001b3u;
}

/* A place in a queue is not the same a moment later; what the letter is stays. */
void dlq_id_write(const struct qb_message *letter, char ret_id[DLQ_ID_MAX])
{
	static const char *const names[] = {"x-qbus-origin", "x-qbus-first-delivered", "message-id"};
	if (letter->partition >= 0) {
		snprintf(ret_id, DLQ_ID_MAX, "%" PRId32 "/%" PRId64, letter->partition, letter->receipt);
		return;
	}
	uint64_t hash = hash_add(0xcbf29ce484222325u, letter->body);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct qb_bytes value = {0};
		dlq_header_find(letter, names[i], &value);
		hash = hash_add(hash, value);
	}
	snprintf(ret_id, DLQ_ID_MAX, "%016" PRIx64, hash);
}

/* What a terminal would obey is not printed: control characters of both ranges, but for those from `first` on, what
 * turns the direction of writing, and what is no UTF-8. A zero byte ends nothing. */
static const char *clean_of(struct qb_bytes value, char first, char ret[DLQ_TEXT_MAX])
{
	char raw[DLQ_TEXT_MAX];
	size_t len = value.len < sizeof raw ? value.len : sizeof raw - 1;
	for (size_t i = 0; i < len; i++) {
		char c = ((const char *)value.data)[i];
		if ((unsigned char)c < (unsigned char)first || c == 0x7f)
			c = '?';
		raw[i] = c;
	}
	raw[len] = '\0';
	return text_clean(raw, ret, DLQ_TEXT_MAX);
}

/* ---- JSON, which escapes the control characters of ASCII itself ---- */

static json_t *text_of(struct qb_bytes bytes)
{
	char clean[DLQ_TEXT_MAX];
	return bytes.data ? json_string(clean_of(bytes, '\x01', clean)) : json_null();
}

static json_t *letter_json(const struct qb_message *letter, const char *id)
{
	static const char ours[] = "x-qbus-";
	json_t *facts = json_object();
	for (size_t i = 0; i < letter->n_headers; i++) {
		const struct qb_header *header = &letter->headers[i];
		char name[64];
		if (header->name.len < sizeof ours - 1 || header->name.len >= sizeof name ||
			memcmp(header->name.data, ours, sizeof ours - 1) != 0)
			continue;
		snprintf(name, sizeof name, "%.*s", (int)header->name.len, (const char *)header->name.data);
		json_object_set_new(facts, name, text_of(header->value));
	}
	return json_pack("{s:s, s:o, s:i, s:I, s:I, s:I, s:i, s:o, s:o}", "id", id, "source", text_of(letter->source),
		"partition", (int)letter->partition, "offset", (json_int_t)letter->receipt, "timestamp_ms",
		(json_int_t)letter->timestamp_ms, "bytes", (json_int_t)letter->body.len, "deliveries", (int)letter->deliveries,
		"key", text_of(letter->key), "headers", facts);
}

/* ---- text ---- */

static void fact_print(FILE *out, const char *before, const struct qb_message *letter, const char *name)
{
	char line[DLQ_TEXT_MAX];
	struct qb_bytes value;
	if (dlq_header_find(letter, name, &value) && value.len)
		fprintf(out, "%s%s", before, clean_of(value, ' ', line));
}

static void letter_print(FILE *out, const struct qb_message *letter, const char *id)
{
	char when[40] = "-";
	time_t seconds = (time_t)(letter->timestamp_ms / 1000);
	struct tm parts;
	if (letter->timestamp_ms >= 0 && gmtime_r(&seconds, &parts))
		strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &parts);
	fprintf(out, "%s  %s  %zu B", id, when, letter->body.len);
	fact_print(out, "  from=", letter, "x-qbus-origin");
	fact_print(out, " attempts=", letter, "x-qbus-attempts");
	fact_print(out, " reason=", letter, "x-qbus-reason");
	if (letter->deliveries)
		fprintf(out, " redelivered=%" PRIu32, letter->deliveries);
	fact_print(out, "\n    ", letter, "x-qbus-error");
	fputc('\n', out);
}

/* ---- lists ---- */

struct dlq_list *dlq_list_new(FILE *out, bool json)
{
	struct dlq_list *list = alloc_zero(sizeof *list);
	*list = (struct dlq_list){out, json ? json_array() : NULL};
	return list;
}

void dlq_list_add(struct dlq_list *list, const struct qb_message *letter, const char *id)
{
	if (list->letters)
		json_array_append_new(list->letters, letter_json(letter, id));
	else
		letter_print(list->out, letter, id);
}

void dlq_list_free(struct dlq_list *list)
{
	if (list->letters) {
		json_t *all = json_pack("{s:o}", "letters", list->letters);
		json_dumpf(all, list->out, JSON_INDENT(1));
		fputc('\n', list->out);
		json_decref(all);
	}
	free(list);
}
