/* SPDX-License-Identifier: MIT */
/* Header tables of every shape, flattened, and the way back. */
#include "headers.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N(array) ((int)(sizeof(array) / sizeof(*(array))))
#define VALUE(kind_, member, ...)                                                                                      \
	{                                                                                                                  \
		.kind = AMQP_FIELD_KIND_##kind_, .value.member = __VA_ARGS__                                                   \
	}
#define ENTRY(name, ...)                                                                                               \
	{                                                                                                                  \
		.key = {sizeof(name) - 1, (void *)(uintptr_t)(name)}, .value = __VA_ARGS__                                     \
	}
#define TEXT(text)                                                                                                     \
	{                                                                                                                  \
		sizeof(text) - 1, (void *)(uintptr_t)(text)                                                                    \
	}

struct flat {
	struct headers headers;
	struct text text;
	struct qb_header *rows;
};

static struct flat flatten(amqp_table_entry_t *entries, int n, amqp_basic_properties_t properties)
{
	struct flat flat = {.text = {.data = NULL}};

	if (n)
		properties._flags |= AMQP_BASIC_HEADERS_FLAG;
	properties.headers = (amqp_table_t){.num_entries = n, .entries = entries};
	headers_read(&flat.headers, &flat.text, &properties);
	flat.rows = calloc(flat.headers.n + 1, sizeof(*flat.rows));
	headers_lend(&flat.headers, &flat.text, flat.rows);
	return flat;
}

static void flat_done(struct flat *flat)
{
	headers_done(&flat->headers);
	text_done(&flat->text);
	free(flat->rows);
}

static void row_is(const struct flat *flat, size_t i, const char *name, const char *value)
{
	assert_true(i < flat->headers.n);
	assert_int_equal(flat->rows[i].name.len, strlen(name));
	assert_memory_equal(flat->rows[i].name.data, name, strlen(name));
	assert_int_equal(flat->rows[i].value.len, strlen(value));
	assert_memory_equal(flat->rows[i].value.data, value, strlen(value));
}

static void plain_values_become_text(void **state)
{
	(void)state;
	amqp_table_entry_t entries[] = {
		ENTRY("string", VALUE(UTF8, bytes, TEXT("a \"b\"\n"))),
		ENTRY("bytes", VALUE(BYTES, bytes, TEXT("\xff\x01"))),
		ENTRY("true", VALUE(BOOLEAN, boolean, 1)),
		ENTRY("i8", VALUE(I8, i8, -128)),
		ENTRY("u16", VALUE(U16, u16, 65535)),
		ENTRY("i64", VALUE(I64, i64, INT64_MIN)),
		ENTRY("u64", VALUE(U64, u64, UINT64_MAX)),
		ENTRY("time", VALUE(TIMESTAMP, u64, 1700000000)),
		ENTRY("f64", VALUE(F64, f64, 0.5)),
		ENTRY("nan", VALUE(F64, f64, NAN)),
		ENTRY("decimal", VALUE(DECIMAL, decimal, {.decimals = 2, .value = 314})),
		ENTRY("", VALUE(UTF8, bytes, TEXT(""))),
		ENTRY("void", {.kind = AMQP_FIELD_KIND_VOID}),
	};
	static const char *const texts[] = {"a \"b\"\n", "\xff\x01", "true", "-128", "65535", "-9223372036854775808",
		"18446744073709551615", "1700000000", "0.5", "null", "314e-2", ""};
	struct flat flat = flatten(entries, N(entries), (amqp_basic_properties_t){0});

	assert_int_equal(flat.headers.n, N(entries));
	for (int i = 0; i < N(texts); i++)
		row_is(&flat, (size_t)i, entries[i].key.bytes, texts[i]);
	assert_null(flat.rows[N(entries) - 1].value.data); /* void: there is none */
	assert_non_null(flat.rows[N(entries) - 2].value.data);
	flat_done(&flat);
}

static void nested_values_become_json(void **state)
{
	(void)state;
	amqp_table_entry_t inner[] = {
		ENTRY("count", VALUE(I64, i64, 2)),
		ENTRY("q\"", VALUE(UTF8, bytes, TEXT("\xc3\xa9\xff\x1f\\\xed\xa0\x80"))),
		ENTRY("none", {.kind = AMQP_FIELD_KIND_VOID}),
	};
	amqp_field_value_t list[] = {
		VALUE(TABLE, table, {.num_entries = N(inner), .entries = inner}),
		VALUE(BOOLEAN, boolean, 0),
		VALUE(ARRAY, array, {.num_entries = 0}),
	};
	amqp_table_entry_t entries[] = {
		ENTRY("x-death", VALUE(ARRAY, array, {.num_entries = N(list), .entries = list})),
	};
	struct flat flat = flatten(entries, N(entries), (amqp_basic_properties_t){0});

	row_is(&flat, 0, "x-death",
		"[{\"count\":2,\"q\\\"\":\"\xc3\xa9\\u00ff\\u001f\\\\\\u00ed\\u00a0\\u0080\",\"none\":null},false,[]]");
	flat_done(&flat);
}

static void a_bottomless_table_ends_in_null(void **state)
{
	(void)state;
	enum { DEPTH = 1000 };
	amqp_table_entry_t *entries = calloc(DEPTH, sizeof(*entries));

	for (int i = 0; i < DEPTH; i++) {
		entries[i].key = (amqp_bytes_t)TEXT("t");
		entries[i].value.kind = AMQP_FIELD_KIND_TABLE;
		entries[i].value.value.table =
			(amqp_table_t){.num_entries = i + 1 < DEPTH, .entries = i + 1 < DEPTH ? &entries[i + 1] : NULL};
	}

	struct flat flat = flatten(entries, 1, (amqp_basic_properties_t){0});
	size_t n_open = 0;

	for (size_t i = 0; i < flat.rows[0].value.len; i++)
		n_open += ((const char *)flat.rows[0].value.data)[i] == '{';
	assert_int_equal(n_open, HEADERS_DEPTH_MAX);
	assert_memory_equal((const char *)flat.rows[0].value.data + n_open * 5, "null}}", 6);
	flat_done(&flat);
	free(entries);
}

static void a_property_is_a_header_unless_the_table_has_one(void **state)
{
	(void)state;
	amqp_table_entry_t entries[] = {ENTRY("message-id", VALUE(UTF8, bytes, TEXT("mine")))};
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_PRIORITY_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG,
		.message_id = TEXT("theirs"),
		.content_type = TEXT("text/plain"),
		.priority = 9,
	};
	struct flat flat = flatten(entries, N(entries), properties);

	assert_int_equal(flat.headers.n, 3);
	row_is(&flat, 0, "message-id", "mine");
	row_is(&flat, 1, "content-type", "text/plain");
	row_is(&flat, 2, "priority", "9");
	flat_done(&flat);
}

static void a_delivery_count_is_a_number_or_nothing(void **state)
{
	(void)state;
	amqp_table_entry_t entries[] = {
		ENTRY("x-delivery-coun", VALUE(I64, i64, 9)),
		ENTRY("x-delivery-count", VALUE(I64, i64, 3)),
	};
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_HEADERS_FLAG, .headers = {.num_entries = 2, .entries = entries}};

	assert_int_equal(headers_delivery_count(&properties), 3);
	entries[1].value.value.i64 = -1;
	assert_int_equal(headers_delivery_count(&properties), 0);
	entries[1].value.value.i64 = INT64_MAX;
	assert_int_equal(headers_delivery_count(&properties), UINT32_MAX);
	entries[1].value = (amqp_field_value_t)VALUE(UTF8, bytes, TEXT("3"));
	assert_int_equal(headers_delivery_count(&properties), 0);
	properties._flags = 0;
	assert_int_equal(headers_delivery_count(&properties), 0);
}

static void headers_find_their_way_back(void **state)
{
	(void)state;
	const struct qb_header rows[] = {
		{{"content-type", 12}, {"text/plain", 10}},
		{{"content-type", 12}, {"second", 6}},
		{{"priority", 8}, {"255", 3}},
		{{"user-id", 7}, {"root", 4}},
		{{"delivery-mode", 13}, {"1", 1}},
		{{"x-death", 7}, {"[]", 2}},
		{{"void", 4}, {NULL, 0}},
	};
	amqp_table_entry_t entries[N(rows)];
	amqp_basic_properties_t properties;

	assert_int_equal(headers_write(rows, N(rows), entries, &properties), 0);
	assert_int_equal(properties.delivery_mode, 2);
	assert_int_equal(properties.priority, 255);
	assert_memory_equal(properties.content_type.bytes, "text/plain", 10);
	assert_false(properties._flags & AMQP_BASIC_USER_ID_FLAG);
	assert_int_equal(properties.headers.num_entries, 3);
	assert_memory_equal(entries[0].value.value.bytes.bytes, "second", 6);
	assert_memory_equal(entries[1].key.bytes, "user-id", 7);
	assert_int_equal(entries[2].value.kind, AMQP_FIELD_KIND_VOID);
}

static void what_fits_no_frame_is_refused(void **state)
{
	(void)state;
	char *large = calloc(1, 200000);
	struct qb_header row = {{"name", 4}, {large, 200000}};
	amqp_table_entry_t entry;
	amqp_basic_properties_t properties;

	assert_int_equal(headers_write(&row, 1, &entry, &properties), -EMSGSIZE);
	row = (struct qb_header){{large, 256}, {"x", 1}};
	assert_int_equal(headers_write(&row, 1, &entry, &properties), -EMSGSIZE);
	row = (struct qb_header){{"message-id", 10}, {large, 256}};
	assert_int_equal(headers_write(&row, 1, &entry, &properties), 0);
	assert_int_equal(properties.headers.num_entries, 1);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_values_become_text),
		cmocka_unit_test(nested_values_become_json),
		cmocka_unit_test(a_bottomless_table_ends_in_null),
		cmocka_unit_test(a_property_is_a_header_unless_the_table_has_one),
		cmocka_unit_test(a_delivery_count_is_a_number_or_nothing),
		cmocka_unit_test(headers_find_their_way_back),
		cmocka_unit_test(what_fits_no_frame_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
