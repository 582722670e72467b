/* SPDX-License-Identifier: MIT */
/* Frames: the header of 8 bytes, and the reader that finds whole frames in a stream that may be cut at any byte.
 *
 * The reader copies nothing while frames come whole; only the frame that is cut at the end of a piece is kept, and its
 * length is checked before anything is allocated for it. */
#ifndef QBUS_WIRE_FRAME_H
#define QBUS_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum {
	FRAME_HEADER_BYTES = 8,
	FRAME_PAYLOAD_MAX = 65536, /* of every frame towards the proxy */
};

struct frame {
	uint8_t word;
	uint32_t len;
	const uint8_t *payload;
};

/* What is done with a whole frame, which is valid for the length of the call. Other than 0 ends the reading. */
typedef int frame_take(void *ctx, const struct frame *frame);

/* A zeroed reader is valid. */
struct frame_reader {
	uint8_t head[FRAME_HEADER_BYTES]; /* of the frame that is cut */
	uint8_t *payload;                 /* NULL: its header is not whole */
	size_t n_had;                     /* of its bytes */
};

void frame_reader_done(struct frame_reader *reader);

/* Hands each frame that this piece completes to take. Returns 0, -EMSGSIZE for a header that announces more than
 * FRAME_PAYLOAD_MAX, or what take returned; after other than 0 the stream is of no use any more. */
int frame_read(struct frame_reader *reader, const uint8_t *bytes, size_t len, frame_take *take, void *ctx);

/* How many bytes of a frame came of which the rest is missing. */
size_t frame_n_partial(const struct frame_reader *reader);

void frame_head_write(uint8_t *ret_head, uint8_t word, uint32_t len);

#endif
