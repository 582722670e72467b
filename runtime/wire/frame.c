/* SPDX-License-Identifier: MIT */
/* Frames. */
#include "wire/frame.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void frame_reader_done(struct frame_reader *reader)
{
	free(reader->payload);
	*reader = (struct frame_reader){0};
}

size_t frame_n_partial(const struct frame_reader *reader)
{
	return reader->n_had;
}

void frame_head_write(uint8_t *ret_head, uint8_t word, uint32_t len)
{
	ret_head[0] = (uint8_t)(len >> 24);
	ret_head[1] = (uint8_t)(len >> 16);
	ret_head[2] = (uint8_t)(len >> 8);
	ret_head[3] = (uint8_t)len;
	ret_head[4] = word;
	ret_head[5] = ret_head[6] = ret_head[7] = 0;
}

static struct frame frame_of(const uint8_t *head, const uint8_t *payload)
{
	uint32_t len = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
	return (struct frame){.word = head[4], .len = len, .payload = payload};
}

/* Moves what is missing of the first `whole` bytes at `at` from the piece; returns how much that was. */
static size_t frame_fill(uint8_t *at, size_t n_had, size_t whole, const uint8_t *bytes, size_t len)
{
	size_t n = whole - n_had < len ? whole - n_had : len;
	memcpy(at + n_had, bytes, n);
	return n;
}

/* Goes on with the frame that was cut; *ret_used tells how much of the piece went into it. */
static int frame_resume(
	struct frame_reader *reader, const uint8_t *bytes, size_t len, size_t *ret_used, frame_take *take, void *ctx)
{
	size_t used = 0;
	if (reader->n_had < FRAME_HEADER_BYTES) {
		used = frame_fill(reader->head, reader->n_had, FRAME_HEADER_BYTES, bytes, len);
		reader->n_had += used;
	}
	*ret_used = used;
	if (reader->n_had < FRAME_HEADER_BYTES)
		return 0;
	struct frame frame = frame_of(reader->head, reader->payload);
	if (frame.len > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (!reader->payload)
		frame.payload = reader->payload = alloc_new(frame.len);
	size_t n_payload = reader->n_had - FRAME_HEADER_BYTES;
	size_t n = frame_fill(reader->payload, n_payload, frame.len, bytes + used, len - used);
	reader->n_had += n;
	*ret_used += n;
	if (n_payload + n < frame.len)
		return 0;
	int result = take(ctx, &frame);
	frame_reader_done(reader);
	return result;
}

int frame_read(struct frame_reader *reader, const uint8_t *bytes, size_t len, frame_take *take, void *ctx)
{
	while (len) {
		size_t used;
		int result;
		struct frame frame = {.len = FRAME_PAYLOAD_MAX};
		if (!reader->n_had && len >= FRAME_HEADER_BYTES)
			frame = frame_of(bytes, bytes + FRAME_HEADER_BYTES);
		if (frame.len > FRAME_PAYLOAD_MAX)
			return -EMSGSIZE;
		if (frame.payload && len - FRAME_HEADER_BYTES >= frame.len) {
			used = FRAME_HEADER_BYTES + frame.len;
			result = take(ctx, &frame);
		} else {
			result = frame_resume(reader, bytes, len, &used, take, ctx);
		}
		if (result)
			return result;
		bytes += used;
		len -= used;
	}
	return 0;
}
