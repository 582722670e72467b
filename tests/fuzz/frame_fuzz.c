/* SPDX-License-Identifier: MIT */
/* Any bytes from a worker: frames are the same wherever the stream is cut, and every word is read or refused within its
 * bounds. The first byte of the input says where it is cut. */
#include "core/deadline.h"
#include "wire/frame.h"
#include "wire/leaks.h"
#include "wire/proto.h"
#include "wire/value.h"

#include <stdlib.h>
#include <string.h>

/* What was found in a stream; two readings of one stream must find the same. */
struct found {
	uint64_t hash;
	size_t n_frames;
	uint64_t n_ids;
};

static void demand(bool is_true)
{
	if (!is_true)
		abort();
}

static void found_add(struct found *found, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		found->hash = (found->hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
}

static void on_acks(void *ctx, uint64_t first_id, uint64_t count)
{
	struct found *found = ctx;
	demand(first_id > 0 && count > 0 && first_id + count <= INT64_MAX);
	found->n_ids += count;
	demand(found->n_ids <= PROTO_IDS_MAX);
}

static void on_verdict(void *ctx, const struct proto_verdict *verdict)
{
	demand(verdict->id > 0 && verdict->delay_ms >= -1);
	demand(!verdict->reason || strlen(verdict->reason) <= PROTO_REASON_BYTES);
	found_add(ctx, &verdict->id, sizeof verdict->id);
}

static void read_hello(const struct frame *frame, struct found *found)
{
	struct proto_hello hello;
	if (proto_hello_read(frame, &hello))
		return;
	demand(hello.n_pipelines >= 1 && hello.n_pipelines <= PROTO_PIPELINES_MAX && hello.credit >= 0);
	found_add(found, hello.client.data, hello.client.len);
	for (size_t i = 0; i < hello.n_pipelines; i++)
		found_add(found, hello.pipelines[i].data, hello.pipelines[i].len);
}

static void read_settle(const struct frame *frame, struct found *found)
{
	static const struct proto_settle_sink sink = {on_acks, on_verdict};
	uint64_t memory;
	found->n_ids = 0;
	if (!proto_settle_read(frame, &sink, found, &memory))
		found_add(found, &memory, sizeof memory);
}

static void read_small(const struct frame *frame, struct found *found)
{
	uint64_t id, offset, n;
	int64_t number;
	struct qb_bytes reason;
	if (!proto_extend_read(frame, &id, &number))
		demand(id > 0 && number >= 0);
	if (!proto_read_read(frame, &id, &offset, &n))
		demand(id > 0 && offset <= INT64_MAX && n > 0 && n <= INT64_MAX);
	if (!proto_credit_read(frame, &number))
		demand(number >= 0);
	if (!proto_sync_read(frame, &number))
		demand(number >= 0);
	if (!proto_bye_read(frame, &reason) && reason.data)
		found_add(found, reason.data, reason.len);
}

static void read_parts(const struct frame *frame)
{
	uint64_t id;
	uint32_t level;
	int64_t ms;
	if (!proto_limit_read(frame, &id, &level, &ms))
		demand(id > 0 && level >= 1 && level <= DEADLINE_PARTS_MAX && ms >= 1);
	if (!proto_unlimit_read(frame, &id, &level))
		demand(id > 0 && level >= 1 && level <= DEADLINE_PARTS_MAX);
}

static void read_leaks(const struct frame *frame, struct found *found)
{
	struct leaks leaks;
	demand(leaks_read(frame, &leaks) || leaks.n <= LEAKS_MAX);
	for (uint32_t i = 0; i < leaks.n; i++) {
		demand(strlen(leaks.leaks[i].path) <= LEAKS_PATH_BYTES && leaks.leaks[i].n_grew <= leaks.leaks[i].n_looks);
		found_add(found, leaks.leaks[i].path, strlen(leaks.leaks[i].path));
	}
}

/* A row that is read can be written, and then reads the same. */
static void read_row(const struct frame *frame)
{
	enum { HEADERS = 64 };
	struct qb_header headers[HEADERS], again_headers[HEADERS];
	struct qb_message message = {0}, again = {0};
	const struct msg_codec *codec = proto_codec();
	size_t n = HEADERS, n_again = HEADERS;
	if (codec->row_read(frame->payload, frame->len, &message, headers, &n) != 0)
		return;
	uint8_t *row = malloc(codec->row_bound(&message));
	size_t len = codec->row_write(&message, row);
	demand(len <= codec->row_bound(&message));
	demand(codec->row_read(row, len, &again, again_headers, &n_again) == 0);
	demand(n == n_again && message.receipt == again.receipt && message.body.len == again.body.len);
	demand(memcmp(message.body.data, again.body.data, message.body.len) == 0);
	free(row);
}

static int take(void *ctx, const struct frame *frame)
{
	struct found *found = ctx;
	found->n_frames++;
	found_add(found, &frame->word, 1);
	found_add(found, frame->payload, frame->len);
	if (!value_check(frame->payload, frame->len))
		found_add(found, "valid", 5);
	read_hello(frame, found);
	read_settle(frame, found);
	read_small(frame, found);
	read_parts(frame);
	read_leaks(frame, found);
	read_row(frame);
	return 0;
}

static struct found read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
	struct frame_reader reader = {{0}};
	struct found found = {0};
	int result = 0;
	for (size_t at = 0; at < size && result == 0; at += piece)
		result = frame_read(&reader, data + at, size - at < piece ? size - at : piece, take, &found);
	demand(frame_n_partial(&reader) < FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX);
	frame_reader_done(&reader);
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct found whole = read_in_pieces(data + 1, size - 1, size);
	struct found cut = read_in_pieces(data + 1, size - 1, 1 + (size_t)data[0]);
	demand(whole.hash == cut.hash && whole.n_frames == cut.n_frames);
	return 0;
}
