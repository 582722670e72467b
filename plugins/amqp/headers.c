/* SPDX-License-Identifier: MIT */
/* One table names the properties; values of the header table are written by one function a shape. */
#include "headers.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Names, lengths and flags around the headers in a frame of 131,072 bytes. */
#define HEADER_FRAME_MAX (120u * 1024)
#define SHORT_MAX 255u

enum way_back {
	BACK_PROPERTY, /* becomes the property again */
	BACK_HEADER,   /* stays a header: as a property it would change the copy's fate or be refused */
	BACK_NOTHING,  /* the publication has its own */
};

struct property {
	const char *name;
	amqp_flags_t flag;
	size_t at; /* offset of an amqp_bytes_t, or of a uint8_t when is_byte */
	bool is_byte;
	enum way_back back;
};

#define AT(member) offsetof(amqp_basic_properties_t, member)

static const struct property property_table[] = {
	{"content-type", AMQP_BASIC_CONTENT_TYPE_FLAG, AT(content_type), false, BACK_PROPERTY},
	{"content-encoding", AMQP_BASIC_CONTENT_ENCODING_FLAG, AT(content_encoding), false, BACK_PROPERTY},
	{"message-id", AMQP_BASIC_MESSAGE_ID_FLAG, AT(message_id), false, BACK_PROPERTY},
	{"correlation-id", AMQP_BASIC_CORRELATION_ID_FLAG, AT(correlation_id), false, BACK_PROPERTY},
	{"reply-to", AMQP_BASIC_REPLY_TO_FLAG, AT(reply_to), false, BACK_PROPERTY},
	{"type", AMQP_BASIC_TYPE_FLAG, AT(type), false, BACK_PROPERTY},
	{"app-id", AMQP_BASIC_APP_ID_FLAG, AT(app_id), false, BACK_PROPERTY},
	{"priority", AMQP_BASIC_PRIORITY_FLAG, AT(priority), true, BACK_PROPERTY},
	{"user-id", AMQP_BASIC_USER_ID_FLAG, AT(user_id), false, BACK_HEADER},
	{"expiration", AMQP_BASIC_EXPIRATION_FLAG, AT(expiration), false, BACK_HEADER},
	{"delivery-mode", AMQP_BASIC_DELIVERY_MODE_FLAG, AT(delivery_mode), true, BACK_NOTHING},
	{"x-delivery-count", 0, 0, false, BACK_NOTHING},
	{"x-death", 0, 0, false, BACK_NOTHING},
};

#define N_PROPERTIES (sizeof(property_table) / sizeof(*property_table))

void headers_done(struct headers *headers)
{
	free(headers->rows);
	*headers = (struct headers){.rows = NULL};
}

/* ---- from the broker ---- */

static void value_json(struct text *text, const amqp_field_value_t *value, int depth);

static void table_json(struct text *text, const amqp_table_t *table, int depth)
{
	text_add(text, "{", 1);
	for (int i = 0; i < table->num_entries; i++) {
		if (i)
			text_add(text, ",", 1);
		text_add_json(text, table->entries[i].key.bytes, table->entries[i].key.len);
		text_add(text, ":", 1);
		value_json(text, &table->entries[i].value, depth);
	}
	text_add(text, "}", 1);
}

static void array_json(struct text *text, const amqp_array_t *array, int depth)
{
	text_add(text, "[", 1);
	for (int i = 0; i < array->num_entries; i++) {
		if (i)
			text_add(text, ",", 1);
		value_json(text, &array->entries[i], depth);
	}
	text_add(text, "]", 1);
}

/* A number that JSON cannot say becomes null. */
static void real_text(struct text *text, double number)
{
	if (isfinite(number))
		text_format(text, "%.17g", number);
	else
		text_add(text, "null", 4);
}

static void decimal_text(struct text *text, const amqp_decimal_t *decimal)
{
	text_format(text, "%" PRIu32 "e-%u", decimal->value, (unsigned)decimal->decimals);
}

/* Numbers, booleans and times read the same inside JSON and outside. False: the value is none of them. */
static bool plain_text(struct text *text, const amqp_field_value_t *value)
{
	int64_t whole;

	switch (value->kind) {
	case AMQP_FIELD_KIND_BOOLEAN:
		text_format(text, "%s", value->value.boolean ? "true" : "false");
		return true;
	case AMQP_FIELD_KIND_F32:
		real_text(text, (double)value->value.f32);
		return true;
	case AMQP_FIELD_KIND_F64:
		real_text(text, value->value.f64);
		return true;
	case AMQP_FIELD_KIND_DECIMAL:
		decimal_text(text, &value->value.decimal);
		return true;
	case AMQP_FIELD_KIND_U64:
	case AMQP_FIELD_KIND_TIMESTAMP:
		text_format(text, "%" PRIu64, value->value.u64);
		return true;
	case AMQP_FIELD_KIND_I8:
		whole = value->value.i8;
		break;
	case AMQP_FIELD_KIND_U8:
		whole = value->value.u8;
		break;
	case AMQP_FIELD_KIND_I16:
		whole = value->value.i16;
		break;
	case AMQP_FIELD_KIND_U16:
		whole = value->value.u16;
		break;
	case AMQP_FIELD_KIND_I32:
		whole = value->value.i32;
		break;
	case AMQP_FIELD_KIND_U32:
		whole = value->value.u32;
		break;
	case AMQP_FIELD_KIND_I64:
		whole = value->value.i64;
		break;
	default:
		return false;
	}
	text_format(text, "%" PRId64, whole);
	return true;
}

static bool value_is_string(const amqp_field_value_t *value)
{
	return value->kind == AMQP_FIELD_KIND_UTF8 || value->kind == AMQP_FIELD_KIND_BYTES;
}

static void value_json(struct text *text, const amqp_field_value_t *value, int depth)
{
	if (value_is_string(value))
		text_add_json(text, value->value.bytes.bytes, value->value.bytes.len);
	else if (value->kind == AMQP_FIELD_KIND_TABLE && depth < HEADERS_DEPTH_MAX)
		table_json(text, &value->value.table, depth + 1);
	else if (value->kind == AMQP_FIELD_KIND_ARRAY && depth < HEADERS_DEPTH_MAX)
		array_json(text, &value->value.array, depth + 1);
	else if (!plain_text(text, value))
		text_add(text, "null", 4);
}

static struct range value_text(struct text *text, const amqp_field_value_t *value)
{
	struct range range = {.at = text->len};

	if (value_is_string(value))
		return text_add(text, value->value.bytes.bytes, value->value.bytes.len);
	if (value->kind == AMQP_FIELD_KIND_VOID)
		return (struct range){.at = text->len, .is_null = true};
	value_json(text, value, 0);
	range.len = text->len - range.at;
	return range;
}

static struct headers_row *row_add(struct headers *headers)
{
	if (headers->n == headers->capacity) {
		headers->capacity = headers->capacity ? headers->capacity * 2 : 16;
		headers->rows = realloc(headers->rows, headers->capacity * sizeof(*headers->rows));
		if (!headers->rows)
			abort();
	}
	return &headers->rows[headers->n++];
}

static bool headers_have(const struct headers *headers, const struct text *text, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < headers->n; i++)
		if (headers->rows[i].name.len == len && !memcmp(text->data + headers->rows[i].name.at, name, len))
			return true;
	return false;
}

static struct range property_text(struct text *text, const struct property *property, const void *properties)
{
	const char *at = (const char *)properties + property->at;
	struct range range = {.at = text->len};

	if (!property->is_byte)
		return text_add(text, ((const amqp_bytes_t *)at)->bytes, ((const amqp_bytes_t *)at)->len);
	text_format(text, "%u", (unsigned)*(const uint8_t *)at);
	range.len = text->len - range.at;
	return range;
}

void headers_read(struct headers *headers, struct text *text, const amqp_basic_properties_t *properties)
{
	headers->n = 0;
	for (int i = 0; properties->_flags & AMQP_BASIC_HEADERS_FLAG && i < properties->headers.num_entries; i++) {
		const amqp_table_entry_t *entry = &properties->headers.entries[i];
		struct headers_row *row = row_add(headers);

		row->name = text_add(text, entry->key.bytes, entry->key.len);
		row->value = value_text(text, &entry->value);
	}
	for (size_t i = 0; i < N_PROPERTIES; i++) {
		const struct property *property = &property_table[i];

		if (!(properties->_flags & property->flag) || headers_have(headers, text, property->name))
			continue;

		struct headers_row *row = row_add(headers);

		row->name = text_add(text, property->name, strlen(property->name));
		row->value = property_text(text, property, properties);
	}
}

static struct qb_bytes range_lend(const struct text *text, struct range range)
{
	/* An empty text may have no bytes at all, and no data would mean no value. */
	if (range.is_null)
		return (struct qb_bytes){0};
	return (struct qb_bytes){.data = text->data ? text->data + range.at : "", .len = range.len};
}

void headers_lend(const struct headers *headers, const struct text *text, struct qb_header *ret_rows)
{
	for (size_t i = 0; i < headers->n; i++) {
		ret_rows[i].name = range_lend(text, headers->rows[i].name);
		ret_rows[i].value = range_lend(text, headers->rows[i].value);
	}
}

/* NULL: there is no such header. */
static const amqp_field_value_t *header_find(const amqp_basic_properties_t *properties, const char *name)
{
	size_t len = strlen(name);

	for (int i = 0; properties->_flags & AMQP_BASIC_HEADERS_FLAG && i < properties->headers.num_entries; i++) {
		const amqp_table_entry_t *entry = &properties->headers.entries[i];

		if (entry->key.len == len && !memcmp(entry->key.bytes, name, len))
			return &entry->value;
	}
	return NULL;
}

uint32_t headers_delivery_count(const amqp_basic_properties_t *properties)
{
	const amqp_field_value_t *value = header_find(properties, "x-delivery-count");
	struct text text = {.data = NULL};

	if (!value || !plain_text(&text, value))
		return 0;
	text_add(&text, "", 1);

	long long count = strtoll(text.data, NULL, 10);

	text_done(&text);
	return count < 0 ? 0 : count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

bool headers_has_offset(const amqp_basic_properties_t *properties)
{
	return header_find(properties, "x-stream-offset");
}

/* ---- to the broker ---- */

static const struct property *property_find(struct qb_bytes name)
{
	for (size_t i = 0; i < N_PROPERTIES; i++)
		if (strlen(property_table[i].name) == name.len && !memcmp(property_table[i].name, name.data, name.len))
			return &property_table[i];
	return NULL;
}

static amqp_bytes_t bytes_lend(struct qb_bytes bytes)
{
	return (amqp_bytes_t){.len = bytes.len, .bytes = (void *)(uintptr_t)bytes.data};
}

/* False: the value does not fit the property and stays a header. */
static bool property_write(const struct property *property, struct qb_bytes value, amqp_basic_properties_t *ret)
{
	char *at = (char *)ret + property->at;
	char digits[4] = {0}, *end = NULL;

	if (ret->_flags & property->flag || value.len > SHORT_MAX)
		return false;
	if (!property->is_byte) {
		*(amqp_bytes_t *)at = bytes_lend(value);
	} else {
		if (!value.len || value.len >= sizeof(digits))
			return false;
		memcpy(digits, value.data, value.len);

		unsigned long number = strtoul(digits, &end, 10);

		if (*end || number > UINT8_MAX)
			return false;
		*(uint8_t *)at = (uint8_t)number;
	}
	ret->_flags |= property->flag;
	return true;
}

int headers_write(const struct qb_header *rows, size_t n, amqp_table_entry_t *entries, amqp_basic_properties_t *ret)
{
	size_t n_bytes = 0;

	*ret = (amqp_basic_properties_t){._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_HEADERS_FLAG,
		.delivery_mode = AMQP_DELIVERY_PERSISTENT,
		.headers = {.entries = entries}};
	for (size_t i = 0; i < n; i++) {
		const struct property *property = property_find(rows[i].name);

		if (property && property->back == BACK_NOTHING)
			continue;
		n_bytes += rows[i].name.len + rows[i].value.len + 8;
		if (rows[i].name.len > SHORT_MAX || n_bytes > HEADER_FRAME_MAX)
			return -EMSGSIZE;
		if (property && property->back == BACK_PROPERTY && property_write(property, rows[i].value, ret))
			continue;

		amqp_table_entry_t *entry = &entries[ret->headers.num_entries++];

		entry->key = bytes_lend(rows[i].name);
		entry->value.kind = rows[i].value.data ? AMQP_FIELD_KIND_UTF8 : AMQP_FIELD_KIND_VOID;
		entry->value.value.bytes = bytes_lend(rows[i].value);
	}
	return 0;
}
