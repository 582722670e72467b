/* SPDX-License-Identifier: MIT */
/* The frames that messages travel in: heads of DELIVER and CHUNK, and rows whose bodies do not travel with them. The
 * bytes that belong to a head follow it as they lie in their batch. How a row is made: proto_codec(). */
#ifndef QBUS_WIRE_PROTO_ROW_H
#define QBUS_WIRE_PROTO_ROW_H

#include "wire/proto.h"

enum {
	PROTO_INT_MAX = 9, /* bytes of a number */
	PROTO_DELIVER_HEAD_MAX = FRAME_HEADER_BYTES + 1 + 4 * PROTO_INT_MAX + 5,
	PROTO_CHUNK_HEAD_MAX = FRAME_HEADER_BYTES + 1 + 2 * PROTO_INT_MAX + 5,
	PROTO_CHUNK_MAX = PROTO_FRAME_MAX + FRAME_HEADER_BYTES - PROTO_CHUNK_HEAD_MAX, /* bytes of a body in one CHUNK */
};

/* Writes a DELIVER frame up to its rows, which follow, n_rows of them in rows_len bytes. Returns its length, at most
 * PROTO_DELIVER_HEAD_MAX. */
struct proto_deliver {
	uint32_t pipeline, attempt;
	uint64_t first_id;
	int64_t remaining_ms;
	uint32_t n_rows;
	size_t rows_len;
};
size_t proto_deliver_write(uint8_t *ret_head, const struct proto_deliver *deliver);

/* A row that tells its body's length in the body's place: the first n_kept bytes of the row, then the end. */
struct proto_cut {
	size_t n_kept, end_len;
	uint8_t end[PROTO_INT_MAX];
};
struct proto_cut proto_row_cut(size_t row_len, uint32_t body_len);

/* Writes a CHUNK frame up to its bytes, at most PROTO_CHUNK_MAX, which follow; data NULL: the delivery is not held.
 * Returns its length, at most PROTO_CHUNK_HEAD_MAX. */
size_t proto_chunk_write(uint8_t *ret_head, uint64_t id, uint64_t offset, struct qb_bytes bytes);

#endif
