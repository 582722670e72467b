/* SPDX-License-Identifier: MIT */
/* What a worker packs is read as it was meant, what the proxy packs the library reads, and rows come back as they were.
 */
#include "wire/proto_row.h"

#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* A payload under way, packed by the library as a client would. */
struct payload {
	msgpack_sbuffer buffer;
	msgpack_packer packer;
};

static void payload_begin(struct payload *payload)
{
	msgpack_sbuffer_init(&payload->buffer);
	msgpack_packer_init(&payload->packer, &payload->buffer, msgpack_sbuffer_write);
}

static void pack_text(struct payload *payload, const char *text)
{
	msgpack_pack_str_with_body(&payload->packer, text, strlen(text));
}

static struct frame frame_of(const struct payload *payload)
{
	return (struct frame){.len = (uint32_t)payload->buffer.size, .payload = (const uint8_t *)payload->buffer.data};
}

static struct frame frame_of_bytes(const char *bytes, size_t len)
{
	return (struct frame){.len = (uint32_t)len, .payload = (const uint8_t *)bytes};
}

static bool bytes_are(struct qb_bytes bytes, const char *text)
{
	return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

/* ---- HELLO, EXTEND, BYE, CREDIT ---- */

static void the_hello_of_the_specification_is_read(void **state)
{
	(void)state;
	static const char payload[] = "\x84\xa8protocol\x01\xa6"
								  "client\xa6"
								  "demo/1\xa9pipelines\x91\xa6orders\xa6"
								  "credit\0";
	struct proto_hello hello;
	struct frame frame = frame_of_bytes(payload, sizeof payload - 1);
	assert_int_equal(frame.len, 0x33);
	assert_null(proto_hello_read(&frame, &hello));
	assert_true(bytes_are(hello.client, "demo/1"));
	assert_int_equal(hello.n_pipelines, 1);
	assert_true(bytes_are(hello.pipelines[0], "orders"));
	assert_int_equal(hello.credit, 0);
}

static void an_unknown_key_of_hello_is_skipped(void **state)
{
	(void)state;
	struct payload payload;
	struct proto_hello hello;
	payload_begin(&payload);
	msgpack_pack_map(&payload.packer, 3);
	pack_text(&payload, "colour");
	msgpack_pack_array(&payload.packer, 2);
	pack_text(&payload, "red");
	msgpack_pack_map(&payload.packer, 0);
	pack_text(&payload, "pipelines");
	msgpack_pack_array(&payload.packer, 2);
	msgpack_pack_bin_with_body(&payload.packer, "a", 1);
	pack_text(&payload, "b");
	pack_text(&payload, "protocol");
	msgpack_pack_int(&payload.packer, 1);
	struct frame frame = frame_of(&payload);
	assert_null(proto_hello_read(&frame, &hello));
	assert_int_equal(hello.n_pipelines, 2);
	assert_true(bytes_are(hello.pipelines[1], "b"));
	msgpack_sbuffer_destroy(&payload.buffer);
}

struct refused {
	const char *bytes;
	size_t len;
	const char *sentence;
};

#define REFUSED(bytes, sentence)                                                                                       \
	{                                                                                                                  \
		bytes, sizeof(bytes) - 1, sentence                                                                             \
	}

static void a_wrong_hello_is_refused_with_its_sentence(void **state)
{
	(void)state;
	static const struct refused rows[] = {
		REFUSED("\x90", "HELLO must be a map"),
		REFUSED("\x80", "HELLO: this proxy speaks protocol 1"),
		REFUSED("\x81\xa8protocol\x02", "HELLO: this proxy speaks protocol 1"),
		REFUSED("\x81\xa8protocol\xa1"
				"1",
			"HELLO: protocol must be an integer"),
		REFUSED("\x81\xa8protocol\x01", "HELLO: pipelines is missing"),
		REFUSED("\x81\xa9pipelines\x90", "HELLO: pipelines must be an array of 1 to 256 names"),
		REFUSED("\x81\xa9pipelines\xdc\x01\x01", "the payload is cut short"),
		REFUSED("\x81\xa9pipelines\x91\x05", "HELLO: a pipeline's name must be a string"),
		REFUSED("\x81\xa6"
				"credit\xff",
			"HELLO: credit must be an integer from 0"),
		REFUSED("\x81\xa6"
				"client\x05",
			"HELLO: client must be a string"),
		REFUSED("\x81\x05\x05", "HELLO: keys must be strings"),
		REFUSED("\x80\xc0", "bytes follow the value of the payload"),
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct proto_hello hello;
		struct frame frame = frame_of_bytes(rows[i].bytes, rows[i].len);
		const char *wrong = proto_hello_read(&frame, &hello);
		assert_non_null(wrong);
		assert_string_equal(wrong, rows[i].sentence);
	}
}

static void more_than_256_pipelines_are_refused(void **state)
{
	(void)state;
	for (size_t n = 256; n <= 257; n++) {
		struct payload payload;
		struct proto_hello hello;
		payload_begin(&payload);
		msgpack_pack_map(&payload.packer, 2);
		pack_text(&payload, "protocol");
		msgpack_pack_int(&payload.packer, 1);
		pack_text(&payload, "pipelines");
		msgpack_pack_array(&payload.packer, n);
		for (size_t i = 0; i < n; i++)
			pack_text(&payload, "p");
		struct frame frame = frame_of(&payload);
		assert_int_equal(proto_hello_read(&frame, &hello) != NULL, n > 256);
		msgpack_sbuffer_destroy(&payload.buffer);
	}
}

static void the_small_words_are_read(void **state)
{
	(void)state;
	uint64_t id;
	int64_t number;
	struct qb_bytes reason;
	struct frame frame = frame_of_bytes("\x93\xcf\0\0\0\1\0\0\0\2\xcd\x03\xe8\xc0", 14);
	assert_null(proto_extend_read(&frame, &id, &number));
	assert_true(id == 4294967298u);
	assert_int_equal(number, 1000);
	frame = frame_of_bytes("\x92\0\1", 3);
	assert_non_null(proto_extend_read(&frame, &id, &number));
	frame = frame_of_bytes("\x92\1\xff", 3);
	assert_non_null(proto_extend_read(&frame, &id, &number));
	frame = frame_of_bytes("\x91\x07", 2);
	assert_null(proto_credit_read(&frame, &number));
	assert_int_equal(number, 7);
	frame = frame_of_bytes("\x91\xff", 2);
	assert_non_null(proto_credit_read(&frame, &number));
	frame = frame_of_bytes("\x80", 1);
	assert_null(proto_bye_read(&frame, &reason));
	assert_null(reason.data);
	frame = frame_of_bytes("\x82\xa1x\x91\xc0\xa6reason\xa4"
						   "done",
		17);
	assert_null(proto_bye_read(&frame, &reason));
	assert_true(bytes_are(reason, "done"));
	frame = frame_of_bytes("\x81\xa6reason\x01", 9);
	assert_non_null(proto_bye_read(&frame, &reason));
}

/* ---- SETTLE ---- */

enum { RUNS_MAX = 40, VERDICTS_MAX = 20 };

struct model {
	struct {
		uint64_t first, count;
	} runs[RUNS_MAX];
	size_t n_runs, runs_at;
	struct {
		uint64_t id;
		int kind;
		int64_t delay_ms;
		char reason[64];
		bool has_reason;
	} verdicts[VERDICTS_MAX];
	size_t n_verdicts, verdicts_at;
};

static void model_acks(void *ctx, uint64_t first, uint64_t count)
{
	struct model *model = ctx;
	assert_true(model->runs_at < model->n_runs);
	assert_true(model->runs[model->runs_at].first == first && model->runs[model->runs_at].count == count);
	model->runs_at++;
}

static void model_verdict(void *ctx, const struct proto_verdict *verdict)
{
	struct model *model = ctx;
	size_t i = model->verdicts_at++;
	assert_true(i < model->n_verdicts);
	assert_true(model->verdicts[i].id == verdict->id);
	assert_int_equal(model->verdicts[i].kind, verdict->kind);
	assert_true(model->verdicts[i].delay_ms == verdict->delay_ms);
	assert_int_equal(model->verdicts[i].has_reason, verdict->reason != NULL);
	if (verdict->reason)
		assert_string_equal(model->verdicts[i].reason, verdict->reason);
}

static const struct proto_settle_sink model_sink = {model_acks, model_verdict};

static uint64_t random_id(void)
{
	return 1 + ((uint64_t)(rand() % 3) << 32) + (uint64_t)(rand() % 100000);
}

static void model_pack(struct model *model, struct payload *payload, uint64_t memory)
{
	msgpack_pack_array(&payload->packer, 3);
	msgpack_pack_array(&payload->packer, 2 * model->n_runs);
	for (size_t i = 0; i < model->n_runs; i++) {
		model->runs[i].first = random_id();
		model->runs[i].count = 1 + (uint64_t)(rand() % 1000);
		msgpack_pack_uint64(&payload->packer, model->runs[i].first);
		msgpack_pack_uint64(&payload->packer, model->runs[i].count);
	}
	if (!model->n_verdicts && rand() % 2)
		msgpack_pack_nil(&payload->packer);
	else
		msgpack_pack_array(&payload->packer, model->n_verdicts);
	for (size_t i = 0; i < model->n_verdicts; i++) {
		model->verdicts[i].id = random_id();
		model->verdicts[i].kind = 1 + rand() % 4;
		model->verdicts[i].delay_ms = rand() % 100000 - 1;
		model->verdicts[i].has_reason = rand() % 2;
		snprintf(model->verdicts[i].reason, sizeof model->verdicts[i].reason, "reason %d", rand());
		bool has_surplus = rand() % 4 == 0;
		msgpack_pack_array(&payload->packer, 4 + has_surplus);
		msgpack_pack_uint64(&payload->packer, model->verdicts[i].id);
		msgpack_pack_int(&payload->packer, model->verdicts[i].kind);
		msgpack_pack_int64(&payload->packer, model->verdicts[i].delay_ms);
		if (model->verdicts[i].has_reason)
			pack_text(payload, model->verdicts[i].reason);
		else
			msgpack_pack_nil(&payload->packer);
		if (has_surplus)
			msgpack_pack_array(&payload->packer, 0);
	}
	msgpack_pack_uint64(&payload->packer, memory);
}

static void any_settle_is_read_as_it_was_packed(void **state)
{
	(void)state;
	srand(3);
	for (int round = 0; round < 3000; round++) {
		struct payload payload;
		struct model model = {.n_runs = (size_t)(rand() % RUNS_MAX), .n_verdicts = (size_t)(rand() % VERDICTS_MAX)};
		uint64_t memory = (uint64_t)rand() << (rand() % 8), read = UINT64_MAX;
		payload_begin(&payload);
		model_pack(&model, &payload, memory);
		struct frame frame = frame_of(&payload);
		assert_null(proto_settle_read(&frame, &model_sink, &model, &read));
		assert_int_equal(model.runs_at, model.n_runs);
		assert_int_equal(model.verdicts_at, model.n_verdicts);
		assert_true(read == memory);
		msgpack_sbuffer_destroy(&payload.buffer);
	}
}

static size_t n_said;

static void count_acks(void *ctx, uint64_t first, uint64_t count)
{
	(void)ctx;
	n_said += (size_t)count;
	assert_true(first > 0 && count > 0);
}

static void count_verdict(void *ctx, const struct proto_verdict *verdict)
{
	snprintf(ctx, PROTO_REASON_BYTES + 1, "%s", verdict->reason ? verdict->reason : "");
	n_said++;
}

static const struct proto_settle_sink count_sink = {count_acks, count_verdict};

static void a_wrong_settle_is_refused_with_its_sentence(void **state)
{
	(void)state;
	static const char acks[] = "SETTLE: acks must be a flat array of first ids and counts";
	static const char run[] = "SETTLE: first id and count of a run must be positive integers";
	static const char many[] = "SETTLE: more than 1048576 ids in one frame";
	static const char kind[] = "SETTLE: a verdict must be 1, 2, 3 or 4";
	static const struct refused rows[] = {
		REFUSED("\x80", "SETTLE must be an array of acks, others, memory"),
		REFUSED("\x92\x90\xc0", "SETTLE must be an array of acks, others, memory"),
		REFUSED("\x93\xc0\xc0\0", acks),
		REFUSED("\x93\x91\1\xc0\0", acks),
		REFUSED("\x93\x92\0\1\xc0\0", run),
		REFUSED("\x93\x92\1\0\xc0\0", run),
		REFUSED("\x93\x92\xff\1\xc0\0", run),
		REFUSED("\x93\x92\1\xff\xc0\0", run),
		REFUSED("\x93\x92\1\xa1"
				"1\xc0\0",
			run),
		REFUSED("\x93\x92\1\xce\0\x10\0\1\xc0\0", many),
		REFUSED("\x93\x94\1\xce\0\x10\0\0\1\1\xc0\0", many),
		REFUSED("\x93\x92\1\xcf\x7f\xff\xff\xff\xff\xff\xff\xff\xc0\0", many),
		REFUSED("\x93\x92\xcf\x7f\xff\xff\xff\xff\xff\xff\xff\1\xc0\0", many),
		REFUSED("\x93\x90\1\0", "SETTLE: others must be an array or nil"),
		REFUSED("\x93\x90\x91\x93\1\1\xff\0", "SETTLE: a verdict must be an array of id, verdict, delay_ms, reason"),
		REFUSED("\x93\x90\x91\x94\0\1\xff\xc0\0", "SETTLE: a verdict's id must be a positive integer"),
		REFUSED("\x93\x90\x91\x94\1\0\xff\xc0\0", kind),
		REFUSED("\x93\x90\x91\x94\1\5\xff\xc0\0", kind),
		REFUSED("\x93\x90\x91\x94\1\1\xfe\xc0\0", "SETTLE: delay_ms must be an integer from -1"),
		REFUSED("\x93\x90\x91\x94\1\1\xff\1\0", "SETTLE: a reason must be a string or nil"),
		REFUSED("\x93\x90\xc0\xff", "SETTLE: memory must be an integer from 0"),
		REFUSED("\x93\x90\xc0\xc0", "SETTLE: memory must be an integer from 0"),
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint64_t memory = 5;
		char reason[PROTO_REASON_BYTES + 1];
		struct frame frame = frame_of_bytes(rows[i].bytes, rows[i].len);
		const char *wrong = proto_settle_read(&frame, &count_sink, reason, &memory);
		assert_non_null(wrong);
		assert_string_equal(wrong, rows[i].sentence);
		assert_int_equal(memory, 5);
	}
}

/* What is read of a reason. */
static const char *reason_read(const char *reason, size_t len)
{
	static char read[PROTO_REASON_BYTES + 1];
	struct payload payload;
	uint64_t memory;
	payload_begin(&payload);
	msgpack_sbuffer_write(&payload.buffer, "\x93\x90\x91\x94\1\2\xff", 7);
	msgpack_pack_str_with_body(&payload.packer, reason, len);
	msgpack_pack_int(&payload.packer, 0);
	struct frame frame = frame_of(&payload);
	assert_null(proto_settle_read(&frame, &count_sink, read, &memory));
	msgpack_sbuffer_destroy(&payload.buffer);
	return read;
}

static void a_long_reason_is_cut_and_a_zero_byte_in_it_is_shown(void **state)
{
	(void)state;
	char text[PROTO_REASON_BYTES + 500];
	memset(text, 'r', sizeof text);
	for (size_t len = PROTO_REASON_BYTES - 1; len <= sizeof text; len += 500)
		assert_int_equal(strlen(reason_read(text, len)), len < PROTO_REASON_BYTES ? len : PROTO_REASON_BYTES);
	assert_string_equal(reason_read("a\0b\0\0", 5), "a\xef\xbf\xbd"
													"b\xef\xbf\xbd\xef\xbf\xbd");
	text[PROTO_REASON_BYTES - 2] = '\0'; /* one that does not fit whole is left away, with all behind it */
	assert_int_equal(strlen(reason_read(text, sizeof text)), PROTO_REASON_BYTES - 2);
}

/* ---- towards the worker ---- */

/* The payload of the one frame in out, as the library prints it. */
static const char *printed(const struct proto_out *out, enum proto_word word)
{
	static char text[4096];
	msgpack_unpacked unpacked;
	size_t at = 0;
	assert_true(out->len > FRAME_HEADER_BYTES);
	assert_int_equal(out->bytes[4], word);
	size_t len = (size_t)out->bytes[2] << 8 | out->bytes[3];
	assert_int_equal(len, out->len - FRAME_HEADER_BYTES);
	msgpack_unpacked_init(&unpacked);
	assert_int_equal(
		msgpack_unpack_next(&unpacked, (char *)out->bytes + FRAME_HEADER_BYTES, len, &at), MSGPACK_UNPACK_SUCCESS);
	assert_int_equal(at, len);
	msgpack_object_print_buffer(text, sizeof text, unpacked.data);
	msgpack_unpacked_destroy(&unpacked);
	return text;
}

static void words_towards_the_worker_are_one_value_each(void **state)
{
	(void)state;
	struct proto_out out = {0};
	const struct proto_pipeline pipelines[] = {{"orders", "kafka", 30000, 5}, {"mails", "amqp", 1000, 0}};
	proto_welcome_write(&out, &(struct proto_welcome){"qbus-proxy 1", 7, 99999, pipelines, 2});
	assert_string_equal(printed(&out, PROTO_WELCOME),
		"{\"protocol\"=>1, \"server\"=>\"qbus-proxy 1\", \"session\"=>7, \"max_frame\"=>262144, "
		"\"max_message\"=>99999, \"pipelines\"=>["
		"{\"name\"=>\"orders\", \"kind\"=>\"kafka\", \"timeout_ms\"=>30000, \"max_attempts\"=>5}, "
		"{\"name\"=>\"mails\", \"kind\"=>\"amqp\", \"timeout_ms\"=>1000, \"max_attempts\"=>0}]}");
	out.len = 0;
	proto_cancel_write(&out, 4294967297u, 5000);
	assert_string_equal(printed(&out, PROTO_CANCEL), "[4294967297, 5000]");
	out.len = 0;
	proto_extended_write(&out, 12, 0);
	assert_string_equal(printed(&out, PROTO_EXTENDED), "[12, 0]");
	out.len = 0;
	proto_late_write(&out, (const uint64_t[]){1, 4294967297u}, 2);
	assert_string_equal(printed(&out, PROTO_LATE), "[1, 4294967297]");
	out.len = 0;
	proto_drain_write(&out, "the proxy stops");
	assert_string_equal(printed(&out, PROTO_DRAIN), "{\"reason\"=>\"the proxy stops\"}");
	out.len = 0;
	proto_error_write(&out, "protocol", "no");
	assert_string_equal(printed(&out, PROTO_ERROR), "{\"code\"=>\"protocol\", \"message\"=>\"no\"}");
	proto_out_done(&out);
}

static void a_deliver_head_announces_its_rows(void **state)
{
	(void)state;
	static const uint32_t n_rows[] = {0, 1, 15, 16, 65535, 65536};
	for (size_t i = 0; i < sizeof n_rows / sizeof n_rows[0]; i++) {
		uint8_t head[PROTO_DELIVER_HEAD_MAX];
		struct proto_deliver deliver = {.pipeline = 255,
			.attempt = UINT32_MAX,
			.first_id = INT64_MAX,
			.remaining_ms = -1,
			.n_rows = n_rows[i],
			.rows_len = n_rows[i]};
		size_t len = proto_deliver_write(head, &deliver);
		assert_true(len <= sizeof head);
		char *payload = calloc(1, len + n_rows[i]); /* each row is the integer 0 */
		memcpy(payload, head + FRAME_HEADER_BYTES, len - FRAME_HEADER_BYTES);
		msgpack_unpacked unpacked;
		size_t at = 0, expected = len - FRAME_HEADER_BYTES + n_rows[i];
		msgpack_unpacked_init(&unpacked);
		assert_int_equal(msgpack_unpack_next(&unpacked, payload, expected, &at), MSGPACK_UNPACK_SUCCESS);
		assert_int_equal(at, expected);
		assert_int_equal((size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3], expected);
		const msgpack_object *elements = unpacked.data.via.array.ptr;
		assert_int_equal(unpacked.data.via.array.size, 5);
		assert_int_equal(elements[0].via.u64, 255);
		assert_true(elements[1].via.u64 == INT64_MAX);
		assert_true(elements[2].via.u64 == UINT32_MAX);
		assert_true(elements[3].via.i64 == -1);
		assert_int_equal(elements[4].via.array.size, n_rows[i]);
		msgpack_unpacked_destroy(&unpacked);
		free(payload);
	}
}

static double now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Tells; judges nothing, as the machine may be busy. */
static void reading_a_settle_is_measured(void **state)
{
	(void)state;
	enum { ROUNDS = 500000 };
	struct frame frame = frame_of_bytes("\x93\x92\xcf\0\0\0\1\0\0\0\1\xcd\1\xf4\xc0\xce\0\x20\0\0", 20);
	size_t reason;
	uint64_t memory;
	n_said = 0;
	double begin = now_ns();
	for (int i = 0; i < ROUNDS; i++)
		assert_null(proto_settle_read(&frame, &count_sink, &reason, &memory));
	print_message("SETTLE of one run: %.0f ns\n", (now_ns() - begin) / ROUNDS);
	assert_int_equal(n_said, ROUNDS * 500u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hello_of_the_specification_is_read),
		cmocka_unit_test(an_unknown_key_of_hello_is_skipped),
		cmocka_unit_test(a_wrong_hello_is_refused_with_its_sentence),
		cmocka_unit_test(more_than_256_pipelines_are_refused),
		cmocka_unit_test(the_small_words_are_read),
		cmocka_unit_test(any_settle_is_read_as_it_was_packed),
		cmocka_unit_test(a_wrong_settle_is_refused_with_its_sentence),
		cmocka_unit_test(a_long_reason_is_cut_and_a_zero_byte_in_it_is_shown),
		cmocka_unit_test(words_towards_the_worker_are_one_value_each),
		cmocka_unit_test(a_deliver_head_announces_its_rows),
		cmocka_unit_test(reading_a_settle_is_measured),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
