/* SPDX-License-Identifier: MIT */
/* Rows of DELIVER, written on the sources' threads, once for each message: direct stores into a buffer whose size the
 * bound promised, no branch that a message does not need. And what goes in front of them and of pieces of bodies. */
#include "wire/proto_row.h"

#include "wire/value.h"

#include <errno.h>
#include <string.h>

enum { ROW_ELEMENTS = 7, ROW_HEAD_MAX = 5 };

static inline uint8_t *put_be16(uint8_t *at, uint16_t number)
{
	number = __builtin_bswap16(number);
	memcpy(at, &number, sizeof number);
	return at + sizeof number;
}

static inline uint8_t *put_be32(uint8_t *at, uint32_t number)
{
	number = __builtin_bswap32(number);
	memcpy(at, &number, sizeof number);
	return at + sizeof number;
}

static inline uint8_t *put_be64(uint8_t *at, uint64_t number)
{
	number = __builtin_bswap64(number);
	memcpy(at, &number, sizeof number);
	return at + sizeof number;
}

static inline uint8_t *put_int(uint8_t *at, int64_t number)
{
	if (number >= 0 && number < 0x80) {
		*at++ = (uint8_t)number;
	} else if (number < 0 && number >= -32) {
		*at++ = (uint8_t)number;
	} else if (number >= 0 && number <= UINT32_MAX) {
		*at++ = 0xce;
		at = put_be32(at, (uint32_t)number);
	} else {
		*at++ = 0xd3;
		at = put_be64(at, (uint64_t)number);
	}
	return at;
}

static inline uint8_t *put_body(uint8_t *at, struct qb_bytes bytes)
{
	if (bytes.len)
		memcpy(at, bytes.data, bytes.len);
	return at + bytes.len;
}

static inline uint8_t *put_str(uint8_t *at, struct qb_bytes bytes)
{
	if (bytes.len < 32) {
		*at++ = (uint8_t)(0xa0 | bytes.len);
	} else if (bytes.len <= UINT16_MAX) {
		*at++ = 0xda;
		at = put_be16(at, (uint16_t)bytes.len);
	} else {
		*at++ = 0xdb;
		at = put_be32(at, (uint32_t)bytes.len);
	}
	return put_body(at, bytes);
}

static inline uint8_t *put_bin_head(uint8_t *at, size_t len)
{
	if (len <= UINT8_MAX) {
		*at++ = 0xc4;
		*at++ = (uint8_t)len;
	} else if (len <= UINT16_MAX) {
		*at++ = 0xc5;
		at = put_be16(at, (uint16_t)len);
	} else {
		*at++ = 0xc6;
		at = put_be32(at, (uint32_t)len);
	}
	return at;
}

static inline uint8_t *put_bin(uint8_t *at, struct qb_bytes bytes)
{
	return put_body(put_bin_head(at, bytes.len), bytes);
}

static inline uint8_t *put_bin_or_nil(uint8_t *at, struct qb_bytes bytes)
{
	if (bytes.data)
		return put_bin(at, bytes);
	*at++ = 0xc0;
	return at;
}

static inline uint8_t *put_array(uint8_t *at, uint32_t n)
{
	if (n < 16) {
		*at++ = (uint8_t)(0x90 | n);
	} else if (n <= UINT16_MAX) {
		*at++ = 0xdc;
		at = put_be16(at, (uint16_t)n);
	} else {
		*at++ = 0xdd;
		at = put_be32(at, n);
	}
	return at;
}

static size_t proto_row_bound(const struct qb_message *message)
{
	size_t bound = 1 + 4 * ROW_HEAD_MAX + 3 * PROTO_INT_MAX + ROW_HEAD_MAX;
	bound += message->source.len + message->routing_key.len + message->key.len + message->body.len;
	for (size_t i = 0; i < message->n_headers; i++)
		bound += 2 * ROW_HEAD_MAX + message->headers[i].name.len + message->headers[i].value.len;
	return bound;
}

static size_t proto_row_write(const struct qb_message *message, uint8_t *ret_row)
{
	uint8_t *at = ret_row;
	*at++ = 0x90 | ROW_ELEMENTS;
	at = put_str(at, message->source);
	if (message->routing_key.data)
		at = put_bin(at, message->routing_key);
	else
		at = put_int(at, message->partition);
	at = put_int(at, message->receipt);
	at = put_int(at, message->timestamp_ms);
	at = put_bin_or_nil(at, message->key);
	if (message->n_headers)
		at = put_array(at, 2 * (uint32_t)message->n_headers);
	else
		*at++ = 0xc0;
	for (size_t i = 0; i < message->n_headers; i++) {
		at = put_str(at, message->headers[i].name);
		at = put_bin_or_nil(at, message->headers[i].value);
	}
	at = put_bin(at, message->body);
	return (size_t)(at - ret_row);
}

/* nil leaves data NULL. */
static int row_bytes(struct value *value, struct qb_bytes *ret_bytes)
{
	*ret_bytes = (struct qb_bytes){NULL, 0};
	return value_nil(value) ? 0 : value_bytes(value, ret_bytes);
}

static int row_place(struct value *value, struct qb_message *ret)
{
	int64_t partition = -1;
	ret->routing_key = (struct qb_bytes){NULL, 0};
	if (value_bytes(value, &ret->routing_key) != 0 && value_int(value, &partition) != 0)
		return -EBADMSG;
	ret->partition = (int32_t)partition;
	return 0;
}

/* Headers beyond n_slots are passed over. */
static int row_headers(struct value *value, struct qb_header *headers, size_t n_slots, size_t *ret_n)
{
	uint32_t n = 0;
	size_t n_kept = 0;
	if (!value_nil(value) && value_array(value, &n) != 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < n / 2; i++) {
		struct qb_header header;
		if (row_bytes(value, &header.name) || row_bytes(value, &header.value))
			return -EBADMSG;
		if (n_kept < n_slots)
			headers[n_kept++] = header;
	}
	*ret_n = n_kept;
	return n % 2 ? -EBADMSG : 0;
}

static int proto_row_read(
	const uint8_t *row, size_t len, struct qb_message *ret, struct qb_header *headers, size_t *n_headers)
{
	struct value value = {row, row + len};
	uint32_t n;
	if (value_array(&value, &n) || n < ROW_ELEMENTS)
		return -EBADMSG;
	if (value_bytes(&value, &ret->source) || row_place(&value, ret))
		return -EBADMSG;
	if (value_int(&value, &ret->receipt) || value_int(&value, &ret->timestamp_ms) || row_bytes(&value, &ret->key))
		return -EBADMSG;
	if (row_headers(&value, headers, *n_headers, n_headers) || value_bytes(&value, &ret->body))
		return -EBADMSG;
	ret->headers = headers;
	ret->n_headers = *n_headers;
	return 0;
}

const struct msg_codec *proto_codec(void)
{
	static const struct msg_codec codec = {proto_row_bound, proto_row_write, proto_row_read};
	return &codec;
}

size_t proto_deliver_write(uint8_t *ret_head, const struct proto_deliver *deliver)
{
	uint8_t *at = ret_head + FRAME_HEADER_BYTES;
	*at++ = 0x95;
	at = put_int(at, deliver->pipeline);
	at = put_int(at, (int64_t)deliver->first_id);
	at = put_int(at, deliver->attempt);
	at = put_int(at, deliver->remaining_ms);
	at = put_array(at, deliver->n_rows);
	size_t len = (size_t)(at - ret_head);
	frame_head_write(ret_head, PROTO_DELIVER, (uint32_t)(len - FRAME_HEADER_BYTES + deliver->rows_len));
	return len;
}

struct proto_cut proto_row_cut(size_t row_len, uint32_t body_len)
{
	uint8_t head[ROW_HEAD_MAX];
	struct proto_cut cut;
	cut.n_kept = row_len - body_len - (size_t)(put_bin_head(head, body_len) - head);
	cut.end_len = (size_t)(put_int(cut.end, body_len) - cut.end);
	return cut;
}

size_t proto_chunk_write(uint8_t *ret_head, uint64_t id, uint64_t offset, struct qb_bytes bytes)
{
	uint8_t *at = ret_head + FRAME_HEADER_BYTES;
	*at++ = 0x93;
	at = put_int(at, (int64_t)id);
	at = put_int(at, (int64_t)offset);
	if (bytes.data)
		at = put_bin_head(at, bytes.len);
	else
		*at++ = 0xc0;
	size_t len = (size_t)(at - ret_head);
	frame_head_write(ret_head, PROTO_CHUNK, (uint32_t)(len - FRAME_HEADER_BYTES + bytes.len));
	return len;
}
