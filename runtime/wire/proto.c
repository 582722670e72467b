/* SPDX-License-Identifier: MIT */
/* The words of the worker protocol.
 *
 * They are read by hand (value.h) and not through the library's tree of objects: a tree costs an allocation and 24
 * bytes for each element that a peer sends, a cursor costs nothing, and SETTLE is read for every few messages. Words
 * towards the worker are packed by the library; rows and the heads of DELIVER and CHUNK, which is what time goes into,
 * are in proto_row.c. */
#include "wire/proto.h"

#include "base/alloc.h"
#include "core/deadline.h"
#include "wire/value.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static const char *proto_open(const struct frame *frame, struct value *ret_value)
{
	*ret_value = (struct value){frame->payload, frame->payload + frame->len};
	return value_check(frame->payload, frame->len);
}

static bool bytes_are(struct qb_bytes bytes, const char *text)
{
	return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

static const char *hello_protocol(struct value *value, struct proto_hello *hello)
{
	return value_int(value, &hello->protocol) ? "HELLO: protocol must be an integer" : NULL;
}

static const char *hello_client(struct value *value, struct proto_hello *hello)
{
	return value_bytes(value, &hello->client) ? "HELLO: client must be a string" : NULL;
}

static const char *hello_credit(struct value *value, struct proto_hello *hello)
{
	if (value_int(value, &hello->credit) || hello->credit < 0)
		return "HELLO: credit must be an integer from 0";
	return NULL;
}

static int hello_flag(struct value *value, bool *ret_flag)
{
	int64_t number = 0;
	int result = value_int(value, &number);
	*ret_flag = number > 0;
	return result;
}

static const char *hello_streams(struct value *value, struct proto_hello *hello)
{
	return hello_flag(value, &hello->can_stream) ? "HELLO: streams must be an integer" : NULL;
}

static const char *hello_signals(struct value *value, struct proto_hello *hello)
{
	return hello_flag(value, &hello->has_signals) ? "HELLO: signals must be an integer" : NULL;
}

static const char *hello_batches(struct value *value, struct proto_hello *hello)
{
	return hello_flag(value, &hello->has_batches) ? "HELLO: batches must be an integer" : NULL;
}

static const char *hello_pipelines(struct value *value, struct proto_hello *hello)
{
	uint32_t n;
	if (value_array(value, &n) || n == 0 || n > PROTO_PIPELINES_MAX)
		return "HELLO: pipelines must be an array of 1 to 256 names";
	hello->n_pipelines = n;
	for (uint32_t i = 0; i < n; i++) {
		if (value_bytes(value, &hello->pipelines[i]))
			return "HELLO: a pipeline's name must be a string";
	}
	return NULL;
}

static const struct {
	const char *name;
	const char *(*read)(struct value *value, struct proto_hello *hello);
} hello_keys[] = {
	{"protocol", hello_protocol},
	{"client", hello_client},
	{"pipelines", hello_pipelines},
	{"credit", hello_credit},
	{"streams", hello_streams},
	{"signals", hello_signals},
	{"batches", hello_batches},
};

static const char *hello_pair(struct value *value, struct proto_hello *hello)
{
	struct qb_bytes key;
	if (value_bytes(value, &key))
		return "HELLO: keys must be strings";
	for (size_t i = 0; i < sizeof hello_keys / sizeof hello_keys[0]; i++) {
		if (bytes_are(key, hello_keys[i].name))
			return hello_keys[i].read(value, hello);
	}
	value_skip(value);
	return NULL;
}

const char *proto_hello_read(const struct frame *frame, struct proto_hello *ret_hello)
{
	struct value value;
	uint32_t n_pairs;
	ret_hello->protocol = ret_hello->credit = 0;
	ret_hello->client = (struct qb_bytes){"", 0};
	ret_hello->can_stream = ret_hello->has_signals = ret_hello->has_batches = false;
	ret_hello->n_pipelines = 0;
	const char *wrong = proto_open(frame, &value);
	if (!wrong && value_map(&value, &n_pairs))
		wrong = "HELLO must be a map";
	for (uint32_t i = 0; !wrong && i < n_pairs; i++)
		wrong = hello_pair(&value, ret_hello);
	if (!wrong && ret_hello->protocol != PROTO_VERSION)
		wrong = "HELLO: this proxy speaks protocol 1";
	if (!wrong && ret_hello->n_pipelines == 0)
		wrong = "HELLO: pipelines is missing";
	return wrong;
}

static const char *settle_acks(struct value *value, const struct proto_settle_sink *sink, void *ctx)
{
	uint32_t n;
	int64_t n_ids = 0;
	if (value_array(value, &n) || n % 2)
		return "SETTLE: acks must be a flat array of first ids and counts";
	for (uint32_t i = 0; i < n; i += 2) {
		int64_t first, count;
		if (value_int(value, &first) || value_int(value, &count) || first < 1 || count < 1)
			return "SETTLE: first id and count of a run must be positive integers";
		if (count > PROTO_IDS_MAX - n_ids || first > INT64_MAX - count)
			return "SETTLE: more than 1048576 ids in one frame";
		n_ids += count;
		sink->acks(ctx, (uint64_t)first, (uint64_t)count);
	}
	return NULL;
}

/* Copies as much as fits, ended by '\0'; a zero byte of its own, which would end it before, becomes U+FFFD. */
static void text_copy(struct qb_bytes text, char *buf, size_t max)
{
	static const char shown[] = "\xef\xbf\xbd";
	const char *bytes = text.data;
	size_t len = 0;
	for (size_t i = 0; i < text.len; i++) {
		size_t n = bytes[i] ? 1 : sizeof shown - 1;
		if (len + n > max)
			break;
		memcpy(buf + len, bytes[i] ? &bytes[i] : shown, n);
		len += n;
	}
	buf[len] = '\0';
}

/* Reads nil or a text into buf. */
static int settle_reason(struct value *value, char *buf, const char **ret_reason)
{
	struct qb_bytes reason;
	*ret_reason = NULL;
	if (value_nil(value))
		return 0;
	int result = value_bytes(value, &reason);
	if (result)
		return result;
	text_copy(reason, buf, PROTO_REASON_BYTES);
	*ret_reason = buf;
	return 0;
}

static const char *settle_verdict(struct value *value, const struct proto_settle_sink *sink, void *ctx)
{
	char reason[PROTO_REASON_BYTES + 1];
	struct proto_verdict verdict;
	uint32_t n;
	int64_t id, kind;
	if (value_array(value, &n) || n < 4)
		return "SETTLE: a verdict must be an array of id, verdict, delay_ms, reason";
	if (value_int(value, &id) || id < 1)
		return "SETTLE: a verdict's id must be a positive integer";
	if (value_int(value, &kind) || kind < PROTO_RETRY || kind > PROTO_ACK)
		return "SETTLE: a verdict must be 1, 2, 3 or 4";
	if (value_int(value, &verdict.delay_ms) || verdict.delay_ms < -1)
		return "SETTLE: delay_ms must be an integer from -1";
	if (settle_reason(value, reason, &verdict.reason))
		return "SETTLE: a reason must be a string or nil";
	for (uint32_t i = 4; i < n; i++)
		value_skip(value);
	verdict.id = (uint64_t)id;
	verdict.kind = (enum proto_verdict_kind)kind;
	sink->verdict(ctx, &verdict);
	return NULL;
}

const char *proto_settle_read(
	const struct frame *frame, const struct proto_settle_sink *sink, void *ctx, uint64_t *ret_memory)
{
	struct value value;
	uint32_t n, n_others = 0;
	int64_t memory;
	const char *wrong = proto_open(frame, &value);
	if (!wrong && (value_array(&value, &n) || n < 3))
		wrong = "SETTLE must be an array of acks, others, memory";
	if (!wrong)
		wrong = settle_acks(&value, sink, ctx);
	if (!wrong && !value_nil(&value) && value_array(&value, &n_others))
		wrong = "SETTLE: others must be an array or nil";
	for (uint32_t i = 0; !wrong && i < n_others; i++)
		wrong = settle_verdict(&value, sink, ctx);
	if (!wrong && (value_int(&value, &memory) || memory < 0))
		wrong = "SETTLE: memory must be an integer from 0";
	if (!wrong)
		*ret_memory = (uint64_t)memory;
	return wrong;
}

const char *proto_bye_read(const struct frame *frame, struct qb_bytes *ret_reason)
{
	struct value value;
	uint32_t n_pairs;
	*ret_reason = (struct qb_bytes){NULL, 0};
	const char *wrong = proto_open(frame, &value);
	if (!wrong && value_map(&value, &n_pairs))
		wrong = "BYE must be a map";
	for (uint32_t i = 0; !wrong && i < n_pairs; i++) {
		struct qb_bytes key;
		if (value_bytes(&value, &key))
			wrong = "BYE: keys must be strings";
		else if (!bytes_are(key, "reason"))
			value_skip(&value);
		else if (value_bytes(&value, ret_reason))
			wrong = "BYE: reason must be a string";
	}
	return wrong;
}

/* Integers of an array of at least so many, none below its least; else `sentence`. */
static const char *proto_numbers_read(
	const struct frame *frame, const int64_t *least, int64_t *ret_numbers, uint32_t n_numbers, const char *sentence)
{
	struct value value;
	uint32_t n;
	const char *wrong = proto_open(frame, &value);
	if (wrong)
		return wrong;
	if (value_array(&value, &n) || n < n_numbers)
		return sentence;
	for (uint32_t i = 0; i < n_numbers; i++)
		if (value_int(&value, &ret_numbers[i]) || ret_numbers[i] < least[i])
			return sentence;
	return NULL;
}

const char *proto_extend_read(const struct frame *frame, uint64_t *ret_id, int64_t *ret_ms)
{
	int64_t numbers[2] = {0};
	const char *wrong = proto_numbers_read(
		frame, (int64_t[]){1, 0}, numbers, 2, "EXTEND must be an array of a positive id and a number of milliseconds");
	*ret_id = (uint64_t)numbers[0];
	*ret_ms = numbers[1];
	return wrong;
}

const char *proto_credit_read(const struct frame *frame, int64_t *ret_credit)
{
	return proto_numbers_read(frame, (int64_t[]){0}, ret_credit, 1, "CREDIT must be an array of an integer from 0");
}

const char *proto_read_read(const struct frame *frame, uint64_t *ret_id, uint64_t *ret_offset, uint64_t *ret_n)
{
	int64_t numbers[3] = {0};
	const char *wrong = proto_numbers_read(frame, (int64_t[]){1, 0, 1}, numbers, 3,
		"READ must be an array of a positive id, an offset from 0 and a positive number of bytes");
	*ret_id = (uint64_t)numbers[0];
	*ret_offset = (uint64_t)numbers[1];
	*ret_n = (uint64_t)numbers[2];
	return wrong;
}

const char *proto_limit_read(const struct frame *frame, uint64_t *ret_id, uint32_t *ret_level, int64_t *ret_ms)
{
	static const char sentence[] =
		"LIMIT must be an array of a positive id, a level from 1 to 32 and milliseconds from 1";
	int64_t numbers[3] = {0};
	const char *wrong = proto_numbers_read(frame, (int64_t[]){1, 1, 1}, numbers, 3, sentence);
	*ret_id = (uint64_t)numbers[0];
	*ret_level = (uint32_t)numbers[1];
	*ret_ms = numbers[2];
	return wrong || numbers[1] <= DEADLINE_PARTS_MAX ? wrong : sentence;
}

const char *proto_unlimit_read(const struct frame *frame, uint64_t *ret_id, uint32_t *ret_level)
{
	static const char sentence[] = "UNLIMIT must be an array of a positive id and a level from 1 to 32";
	int64_t numbers[2] = {0};
	const char *wrong = proto_numbers_read(frame, (int64_t[]){1, 1}, numbers, 2, sentence);
	*ret_id = (uint64_t)numbers[0];
	*ret_level = (uint32_t)numbers[1];
	return wrong || numbers[1] <= DEADLINE_PARTS_MAX ? wrong : sentence;
}

const char *proto_sync_read(const struct frame *frame, int64_t *ret_n)
{
	return proto_numbers_read(frame, (int64_t[]){0}, ret_n, 1, "SYNC must be an array of an integer from 0");
}

/* ---- writing ---- */

void proto_out_done(struct proto_out *out)
{
	free(out->bytes);
	*out = (struct proto_out){0};
}

static int proto_out_add(void *ctx, const char *bytes, size_t len)
{
	struct proto_out *out = ctx;
	if (len > out->size - out->len) {
		out->size = 2 * out->size + len + 64;
		out->bytes = alloc_resize(out->bytes, out->size);
	}
	memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
	return 0;
}

/* Begins a frame; returns where, for proto_frame_end, which knows its length. */
static size_t proto_frame_begin(struct proto_out *out, msgpack_packer *packer)
{
	static const char head[FRAME_HEADER_BYTES];
	size_t at = out->len;
	proto_out_add(out, head, sizeof head);
	msgpack_packer_init(packer, out, proto_out_add);
	return at;
}

static void proto_frame_end(struct proto_out *out, size_t at, enum proto_word word)
{
	frame_head_write(out->bytes + at, (uint8_t)word, (uint32_t)(out->len - at - FRAME_HEADER_BYTES));
}

static void pack_string(msgpack_packer *packer, const char *string)
{
	msgpack_pack_str_with_body(packer, string, strlen(string));
}

static void pack_string_pair(msgpack_packer *packer, const char *key, const char *string)
{
	pack_string(packer, key);
	pack_string(packer, string);
}

static void pack_int_pair(msgpack_packer *packer, const char *key, int64_t number)
{
	pack_string(packer, key);
	msgpack_pack_int64(packer, number);
}

void proto_welcome_write(struct proto_out *out, const struct proto_welcome *welcome)
{
	msgpack_packer packer;
	size_t at = proto_frame_begin(out, &packer);
	msgpack_pack_map(&packer, 6);
	pack_int_pair(&packer, "protocol", PROTO_VERSION);
	pack_string_pair(&packer, "server", welcome->server);
	pack_int_pair(&packer, "session", welcome->session);
	pack_int_pair(&packer, "max_frame", PROTO_FRAME_MAX);
	pack_int_pair(&packer, "max_message", welcome->max_message);
	pack_string(&packer, "pipelines");
	msgpack_pack_array(&packer, welcome->n_pipelines);
	for (size_t i = 0; i < welcome->n_pipelines; i++) {
		const struct proto_pipeline *pipeline = &welcome->pipelines[i];
		msgpack_pack_map(&packer, 4);
		pack_string_pair(&packer, "name", pipeline->name);
		pack_string_pair(&packer, "kind", pipeline->kind);
		pack_int_pair(&packer, "timeout_ms", pipeline->timeout_ms);
		pack_int_pair(&packer, "max_attempts", pipeline->max_attempts);
	}
	proto_frame_end(out, at, PROTO_WELCOME);
}

static void proto_pair_write(struct proto_out *out, enum proto_word word, uint64_t id, int64_t ms)
{
	msgpack_packer packer;
	size_t at = proto_frame_begin(out, &packer);
	msgpack_pack_array(&packer, 2);
	msgpack_pack_uint64(&packer, id);
	msgpack_pack_int64(&packer, ms);
	proto_frame_end(out, at, word);
}

void proto_cancel_write(struct proto_out *out, uint64_t id, int64_t grace_ms)
{
	proto_pair_write(out, PROTO_CANCEL, id, grace_ms);
}

void proto_extended_write(struct proto_out *out, uint64_t id, int64_t remaining_ms)
{
	proto_pair_write(out, PROTO_EXTENDED, id, remaining_ms);
}

void proto_late_write(struct proto_out *out, const uint64_t *ids, size_t n)
{
	msgpack_packer packer;
	size_t at = proto_frame_begin(out, &packer);
	msgpack_pack_array(&packer, n);
	for (size_t i = 0; i < n; i++)
		msgpack_pack_uint64(&packer, ids[i]);
	proto_frame_end(out, at, PROTO_LATE);
}

void proto_synced_write(struct proto_out *out, int64_t n)
{
	msgpack_packer packer;
	size_t at = proto_frame_begin(out, &packer);
	msgpack_pack_array(&packer, 1);
	msgpack_pack_int64(&packer, n);
	proto_frame_end(out, at, PROTO_SYNCED);
}

void proto_drain_write(struct proto_out *out, const char *reason)
{
	msgpack_packer packer;
	size_t at = proto_frame_begin(out, &packer);
	msgpack_pack_map(&packer, 1);
	pack_string_pair(&packer, "reason", reason);
	proto_frame_end(out, at, PROTO_DRAIN);
}

void proto_error_write(struct proto_out *out, const char *code, const char *message)
{
	msgpack_packer packer;
	size_t at = proto_frame_begin(out, &packer);
	msgpack_pack_map(&packer, 2);
	pack_string_pair(&packer, "code", code);
	pack_string_pair(&packer, "message", message);
	proto_frame_end(out, at, PROTO_ERROR);
}

const char *proto_library_version(void)
{
	return msgpack_version();
}
