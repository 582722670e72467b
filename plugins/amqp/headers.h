/* SPDX-License-Identifier: MIT */
/* Properties and header table of an AMQP message as flat headers, and back. */
#ifndef QBUS_AMQP_HEADERS_H
#define QBUS_AMQP_HEADERS_H

#include "text.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <qbus/plugin.h>
#include <stdint.h>

/* Tables inside tables deeper than this become null. */
#define HEADERS_DEPTH_MAX 32

struct headers_row {
	struct range name;
	struct range value;
};

struct headers {
	struct headers_row *rows;
	size_t n;
	size_t capacity;
};

void headers_done(struct headers *headers);

/* Replaces the rows; names and values are appended to `text`. Strings stay as they are, numbers, booleans and times
 * become text, tables and arrays become JSON. A property (content-type, priority, ...) becomes a header of its name
 * unless the table has one of that name. */
void headers_read(struct headers *headers, struct text *text, const amqp_basic_properties_t *properties);

/* The rows as the contract wants them; ret_rows has room for headers->n, `text` must not grow while they are in use. */
void headers_lend(const struct headers *headers, const struct text *text, struct qb_header *ret_rows);

/* What a quorum queue counts in x-delivery-count; 0: nothing. */
uint32_t headers_delivery_count(const amqp_basic_properties_t *properties);

/* Whether it bears the x-stream-offset of a stream, or of a publisher that has copied a stream's headers. */
bool headers_has_offset(const amqp_basic_properties_t *properties);

/* The way back, for a persistent publication: headers named like a property become that property, but those that would
 * change a copy's fate do not: user-id and expiration stay headers, the broker's own counts are left out. Borrows all
 * bytes. entries has room for n. -EMSGSIZE: more than a header frame holds. */
int headers_write(const struct qb_header *rows, size_t n, amqp_table_entry_t *entries, amqp_basic_properties_t *ret);

#endif
