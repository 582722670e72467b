/* SPDX-License-Identifier: MIT */
/* What a worker is told.
 *
 * Rows that lie side by side in a batch are one run: a long run is not copied, the output holds a reference to its
 * batch until the socket has taken it; a short one is copied, which costs less than a reference. A body above the
 * pipeline's threshold does not go with its row but in the chunks that the worker asks for, and the worker reads them
 * before it asks for many more; so is the output bounded. Nothing is written here but by session_write, once a turn. */
#include "wire/session_inside.h"

#include "base/alloc.h"
#include "core/ledger.h"
#include "wire/proto_row.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_REFERENCE_BYTES = 2048 };

static struct session *session_of(struct worker *worker)
{
	return list_item(worker, struct session, worker);
}

static void output_check(struct session *session, int result)
{
	if (result != 0)
		session_drop(session, false, "there is no memory for its output");
}

static void output_let_go(const void *bytes, size_t len, void *ctx)
{
	(void)bytes;
	(void)len;
	msg_batch_unref(ctx);
}

static void output_run(struct session *session, struct msg_batch *batch, const uint8_t *bytes, size_t len)
{
	if (len < RUN_REFERENCE_BYTES) {
		output_check(session, evbuffer_add(session->output, bytes, len));
		return;
	}
	msg_batch_ref(batch);
	int result = evbuffer_add_reference(session->output, bytes, len, output_let_go, batch);
	if (result != 0)
		msg_batch_unref(batch);
	output_check(session, result);
}

static void output_cut_row(struct session *session, const struct entry *entry)
{
	struct proto_cut cut = proto_row_cut(entry->row_len, entry->body_len);
	output_run(session, entry->batch, entry->row, cut.n_kept);
	output_check(session, evbuffer_add(session->output, cut.end, cut.end_len));
}

/* Bodies above the threshold stay here. */
static void output_rows(struct session *session, struct entry *const *entries, size_t n, int64_t threshold)
{
	for (size_t i = 0; i < n;) {
		if (entries[i]->body_len > threshold) {
			output_cut_row(session, entries[i++]);
			continue;
		}
		struct msg_batch *batch = entries[i]->batch;
		const uint8_t *first = entries[i]->row, *end = first;
		for (; i < n && entries[i]->batch == batch && entries[i]->row == end && entries[i]->body_len <= threshold; i++)
			end += entries[i]->row_len;
		output_run(session, batch, first, (size_t)(end - first));
	}
}

static size_t output_row_len(const struct entry *entry, int64_t threshold)
{
	if (entry->body_len <= threshold)
		return entry->row_len;
	struct proto_cut cut = proto_row_cut(entry->row_len, entry->body_len);
	return cut.n_kept + cut.end_len;
}

/* How many of the entries fit one frame; at least one. */
static uint32_t output_n_rows(struct entry *const *entries, size_t n, int64_t threshold, size_t *ret_len)
{
	size_t len = 0;
	uint32_t n_rows = 0;
	for (; n_rows < n; n_rows++) {
		size_t row_len = output_row_len(entries[n_rows], threshold);
		if (n_rows && len + row_len + PROTO_DELIVER_HEAD_MAX > PROTO_FRAME_MAX)
			break;
		len += row_len;
	}
	*ret_len = len;
	return n_rows;
}

static int64_t output_threshold(const struct session *session, size_t index)
{
	const struct pipeline *pipeline = dispatcher_worker_pipeline(&session->worker, index);
	return session->can_stream ? pipeline_conf(pipeline)->stream_threshold : INT64_MAX;
}

static void session_deliver(struct worker *worker, size_t index, uint64_t first_id, uint32_t attempt,
	int64_t remaining_us, struct entry *const *entries, size_t n)
{
	struct session *session = session_of(worker);
	struct proto_deliver deliver = {
		.pipeline = (uint32_t)index,
		.attempt = attempt,
		.first_id = first_id,
		.remaining_ms = remaining_us / 1000,
	};
	if (session->state == SESSION_ENDING)
		return;
	int64_t threshold = output_threshold(session, index);
	while (n) {
		uint8_t head[PROTO_DELIVER_HEAD_MAX];
		deliver.n_rows = output_n_rows(entries, n, threshold, &deliver.rows_len);
		output_check(session, evbuffer_add(session->output, head, proto_deliver_write(head, &deliver)));
		output_rows(session, entries, deliver.n_rows, threshold);
		deliver.first_id += deliver.n_rows;
		entries += deliver.n_rows;
		n -= deliver.n_rows;
	}
	if (evbuffer_get_length(session->output) > SESSION_OUTPUT_HIGH)
		worker->is_full = true;
	session_mark(session);
}

/* A piece of a body in the output; counted until the socket has taken it. */
struct chunk {
	struct session *session;
	struct msg_batch *batch;
};

static void chunk_let_go(const void *bytes, size_t len, void *ctx)
{
	(void)bytes;
	struct chunk *chunk = ctx;
	chunk->session->n_chunk_bytes -= len;
	msg_batch_unref(chunk->batch);
	free(chunk);
}

static void output_chunk(struct session *session, struct msg_batch *batch, struct qb_bytes bytes)
{
	struct chunk *chunk = alloc_new(sizeof *chunk);
	*chunk = (struct chunk){session, batch};
	session->n_chunk_bytes += bytes.len;
	msg_batch_ref(batch);
	int result = evbuffer_add_reference(session->output, bytes.data, bytes.len, chunk_let_go, chunk);
	if (result != 0)
		chunk_let_go(NULL, bytes.len, chunk);
	output_check(session, result);
}

static struct qb_bytes chunk_of(const struct entry *entry, uint64_t offset, uint64_t n)
{
	uint64_t left = offset < entry->body_len ? entry->body_len - offset : 0;
	n = n < left ? n : left;
	return (struct qb_bytes){entry->row + entry->row_len - left, n < PROTO_CHUNK_MAX ? n : PROTO_CHUNK_MAX};
}

void session_chunk(struct session *session, uint64_t id, uint64_t offset, uint64_t n)
{
	uint8_t head[PROTO_CHUNK_HEAD_MAX];
	struct entry *entry = worker_find(&session->worker, id);
	struct qb_bytes bytes = entry ? chunk_of(entry, offset, n) : (struct qb_bytes){NULL, 0};
	size_t head_len = proto_chunk_write(head, id, offset, bytes);
	session->n_answer_bytes += bytes.len < RUN_REFERENCE_BYTES ? head_len + bytes.len : 0;
	output_check(session, evbuffer_add(session->output, head, head_len));
	if (bytes.len < RUN_REFERENCE_BYTES)
		output_check(session, evbuffer_add(session->output, bytes.data, bytes.len));
	else
		output_chunk(session, entry->batch, bytes);
	session_mark(session);
}

void session_send(struct session *session)
{
	struct proto_out *out = &session->set->out;
	session->n_answer_bytes += out->len;
	output_check(session, evbuffer_add(session->output, out->bytes, out->len));
	out->len = 0;
	session_mark(session);
}

static void session_remind(struct worker *worker)
{
	struct session *session = session_of(worker);
	if (session->state != SESSION_ENDING && session->set->host->told)
		session->set->host->told(session->set->ctx, session);
}

static void session_break_begin(struct worker *worker)
{
	struct session *session = session_of(worker);
	if (session->state != SESSION_ENDING && session->set->host->break_begin)
		session->set->host->break_begin(session->set->ctx, session);
}

static void session_break_end(struct worker *worker)
{
	struct session *session = session_of(worker);
	if (session->set->host->break_end)
		session->set->host->break_end(session->set->ctx, session);
}

static void session_cancel(struct worker *worker, uint64_t id, int64_t grace_us)
{
	struct session *session = session_of(worker);
	if (session->state == SESSION_ENDING)
		return;
	proto_cancel_write(&session->set->out, id, grace_us / 1000);
	session_send(session);
	session_remind(worker);
}

static void session_drain(struct worker *worker, const char *reason)
{
	struct session *session = session_of(worker);
	if (session->state != SESSION_OPEN)
		return;
	session_state_set(session, SESSION_DRAINING);
	proto_drain_write(&session->set->out, reason);
	session_send(session);
}

/* A process of ours ends first and its session with it: as long as it may still run, nobody else gets its message. A
 * worker that we cannot end is fenced by the end of its session. */
static void session_end_worker(struct worker *worker, const char *code, const char *reason)
{
	struct session *session = session_of(worker);
	const struct session_host *host = session->set->host;
	if (!worker->pool || !host->overdue || !host->overdue(session->set->ctx, session, reason))
		session_fail(session, code, reason);
}

const struct worker_ops *session_worker_ops(void)
{
	static const struct worker_ops ops = {
		.deliver = session_deliver,
		.cancel = session_cancel,
		.remind = session_remind,
		.break_begin = session_break_begin,
		.break_end = session_break_end,
		.drain = session_drain,
		.end = session_end_worker,
	};
	return &ops;
}

int session_write(struct session *session)
{
	struct session_set *set = session->set;
	if (evbuffer_write(session->output, session->fd) < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	size_t left = evbuffer_get_length(session->output);
	if (left) {
		session->is_blocked = true;
		event_add(session->writable, NULL);
	} else {
		session->n_answer_bytes = 0;
	}
	if (session->worker.is_full && left < SESSION_OUTPUT_LOW && session->state != SESSION_ENDING) {
		session->worker.is_full = false;
		dispatcher_worker_changed(&session->worker);
		set->host->changed(set->ctx);
	}
	return 0;
}
