/* SPDX-License-Identifier: MIT */
/* The words of the worker protocol (PROTOCOL.md), read from frames and written as frames. Reading allocates nothing; a
 * reader returns NULL, or the sentence that is wrong, which is fit for an ERROR. */
#ifndef QBUS_WIRE_PROTO_H
#define QBUS_WIRE_PROTO_H

#include "core/msg.h"
#include "wire/frame.h"

#include <stdbool.h>

enum {
	PROTO_VERSION = 1,
	PROTO_PIPELINES_MAX = 256, /* of one session */
	PROTO_IDS_MAX = 1048576,   /* of one SETTLE */
	PROTO_REASON_BYTES = 1024,
	PROTO_FRAME_MAX = 262144, /* payload of a DELIVER, unless one message alone is bigger */
};

enum proto_word {
	PROTO_HELLO = 1,
	PROTO_SETTLE,
	PROTO_EXTEND,
	PROTO_BYE,
	PROTO_CREDIT,
	PROTO_PUBLISH,
	PROTO_LIMIT,
	PROTO_UNLIMIT,
	PROTO_LEAK,
	PROTO_READ,
	PROTO_SYNC,
	PROTO_WELCOME = 65,
	PROTO_DELIVER,
	PROTO_CANCEL,
	PROTO_EXTENDED,
	PROTO_LATE,
	PROTO_DRAIN,
	PROTO_ERROR,
	PROTO_CHUNK,
	PROTO_SYNCED,
};

/* ---- from the worker; bytes point into the frame ---- */

struct proto_hello {
	int64_t protocol;
	struct qb_bytes client;
	int64_t credit;
	bool can_stream;  /* it asks for the bodies of streamed messages */
	bool has_signals; /* it has a handler for SIGUSR1 */
	bool has_batches; /* it handles what it holds together */
	struct qb_bytes pipelines[PROTO_PIPELINES_MAX];
	size_t n_pipelines; /* at least 1 */
};

enum proto_verdict_kind { PROTO_RETRY = 1, PROTO_REJECT, PROTO_RELEASE, PROTO_ACK };

struct proto_verdict {
	uint64_t id;
	enum proto_verdict_kind kind;
	int64_t delay_ms;   /* -1: the pipeline's backoff */
	const char *reason; /* NULL: none; ended by '\0', for the length of the call */
};

/* What a SETTLE says, in its order. Ids are positive; what is said before a fault counts. */
struct proto_settle_sink {
	void (*acks)(void *ctx, uint64_t first_id, uint64_t count);
	void (*verdict)(void *ctx, const struct proto_verdict *verdict);
};

const char *proto_hello_read(const struct frame *frame, struct proto_hello *ret_hello);
const char *proto_settle_read(
	const struct frame *frame, const struct proto_settle_sink *sink, void *ctx, uint64_t *ret_memory);
const char *proto_extend_read(const struct frame *frame, uint64_t *ret_id, int64_t *ret_ms);
const char *proto_bye_read(const struct frame *frame, struct qb_bytes *ret_reason); /* data NULL: none */
const char *proto_credit_read(const struct frame *frame, int64_t *ret_credit);
/* A part of a handler: level 1 to DEADLINE_PARTS_MAX, ms at least 1. */
const char *proto_limit_read(const struct frame *frame, uint64_t *ret_id, uint32_t *ret_level, int64_t *ret_ms);
const char *proto_unlimit_read(const struct frame *frame, uint64_t *ret_id, uint32_t *ret_level);
const char *proto_sync_read(const struct frame *frame, int64_t *ret_n);
/* A piece of a body: ret_n bytes, at least 1, from ret_offset. */
const char *proto_read_read(const struct frame *frame, uint64_t *ret_id, uint64_t *ret_offset, uint64_t *ret_n);

/* ---- towards the worker ---- */

/* Whole frames are appended to it. A zeroed one is valid. */
struct proto_out {
	uint8_t *bytes;
	size_t len, size;
};

struct proto_pipeline {
	const char *name, *kind;
	int64_t timeout_ms, max_attempts;
};

struct proto_welcome {
	const char *server;
	uint32_t session;
	int64_t max_message; /* no DELIVER has a longer payload */
	const struct proto_pipeline *pipelines;
	size_t n_pipelines;
};

void proto_out_done(struct proto_out *out);
void proto_welcome_write(struct proto_out *out, const struct proto_welcome *welcome);
void proto_cancel_write(struct proto_out *out, uint64_t id, int64_t grace_ms);
void proto_extended_write(struct proto_out *out, uint64_t id, int64_t remaining_ms);
void proto_late_write(struct proto_out *out, const uint64_t *ids, size_t n);
void proto_synced_write(struct proto_out *out, int64_t n);
void proto_drain_write(struct proto_out *out, const char *reason);
void proto_error_write(struct proto_out *out, const char *code, const char *message);

/* How a message becomes a row of DELIVER and back. exchange and deliveries are not part of a row. */
const struct msg_codec *proto_codec(void);

/* Of msgpack-c, as it is linked: "4.0.0". */
const char *proto_library_version(void);

#endif
