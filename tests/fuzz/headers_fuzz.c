/* SPDX-License-Identifier: MIT */
/* Any bytes as a message's properties from an AMQP broker: what the client library reads of them becomes flat headers,
 * tables and arrays become JSON that is valid, and the way back fits what a publication may carry. */
#include "headers.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool is_true)
{
	if (!is_true)
		abort();
}

/* Valid, but for what only jansson does not like: numbers beyond a double, and zeros in names. */
static void check_json(struct qb_bytes value)
{
	json_error_t error;
	json_t *json = json_loadb(value.data, value.len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
	enum json_error_code code = json ? json_error_unknown : json_error_code(&error);
	demand(json || code == json_error_numeric_overflow || code == json_error_null_byte_in_key);
	json_decref(json);
}

static void check_rows(const struct qb_header *rows, size_t n, const amqp_basic_properties_t *properties)
{
	int n_entries = properties->_flags & AMQP_BASIC_HEADERS_FLAG ? properties->headers.num_entries : 0;
	size_t n_bytes = 0;
	demand(n >= (size_t)n_entries);
	for (size_t i = 0; i < n; i++) {
		demand(rows[i].name.data && (rows[i].value.data || rows[i].value.len == 0));
		n_bytes += rows[i].name.len + rows[i].value.len;
	}
	demand(n_bytes < 1 << 24);
	for (int i = 0; i < n_entries; i++) {
		uint8_t kind = properties->headers.entries[i].value.kind;
		if (kind == AMQP_FIELD_KIND_TABLE || kind == AMQP_FIELD_KIND_ARRAY)
			check_json(rows[i].value);
	}
}

/* What is published can be written by the client library and is read again. */
static void check_way_back(const struct qb_header *rows, size_t n)
{
	static char frame[1 << 18];
	amqp_table_entry_t *entries = calloc(n + 1, sizeof *entries);
	amqp_basic_properties_t back;
	amqp_pool_t pool;
	void *again = NULL;
	int status = headers_write(rows, n, entries, &back);
	demand(status == 0 || status == -EMSGSIZE);
	init_amqp_pool(&pool, 4096);
	if (status == 0) {
		demand(back.headers.num_entries >= 0 && (size_t)back.headers.num_entries <= n);
		demand(back.delivery_mode == AMQP_DELIVERY_PERSISTENT);
		int len = amqp_encode_properties(AMQP_BASIC_CLASS, &back, (amqp_bytes_t){sizeof frame, frame});
		demand(len > 0);
		demand(amqp_decode_properties(AMQP_BASIC_CLASS, &pool, (amqp_bytes_t){(size_t)len, frame}, &again) == 0);
		demand(((amqp_basic_properties_t *)again)->headers.num_entries == back.headers.num_entries);
	}
	empty_amqp_pool(&pool);
	free(entries);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct headers headers = {.rows = NULL};
	struct text text = {.data = NULL};
	void *properties = NULL;
	amqp_pool_t pool;
	init_amqp_pool(&pool, 4096);
	amqp_bytes_t bytes = {size, (void *)(uintptr_t)data};
	if (amqp_decode_properties(AMQP_BASIC_CLASS, &pool, bytes, &properties) == 0) {
		headers_read(&headers, &text, properties);
		struct qb_header *rows = calloc(headers.n + 1, sizeof *rows);
		headers_lend(&headers, &text, rows);
		check_rows(rows, headers.n, properties);
		check_way_back(rows, headers.n);
		(void)headers_delivery_count(properties);
		free(rows);
	}
	headers_done(&headers);
	text_done(&text);
	empty_amqp_pool(&pool);
	return 0;
}
