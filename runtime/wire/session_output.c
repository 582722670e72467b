/* SPDX-License-Identifier: MIT */
/* What a worker is told.
 *
 * Rows that lie side by side in a batch are one run: a long run is not copied, the output holds a reference to its
 * batch until the socket has taken it; a short one is copied, which costs less than a reference. Nothing is written
 * here but by session_write, once a turn. */
#include "wire/session_inside.h"

#include "core/ledger.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
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

static void output_rows(struct session *session, struct entry *const *entries, size_t n)
{
	for (size_t i = 0; i < n;) {
		struct msg_batch *batch = entries[i]->batch;
		const uint8_t *first = entries[i]->row, *end = first;
		for (; i < n && entries[i]->batch == batch && entries[i]->row == end; i++)
			end += entries[i]->row_len;
		output_run(session, batch, first, (size_t)(end - first));
	}
}

/* How many of the entries fit one frame; at least one. */
static uint32_t output_n_rows(struct entry *const *entries, size_t n, size_t *ret_len)
{
	size_t len = entries[0]->row_len;
	uint32_t n_rows = 1;
	while (n_rows < n && len + entries[n_rows]->row_len + PROTO_DELIVER_HEAD_MAX <= PROTO_FRAME_MAX)
		len += entries[n_rows++]->row_len;
	*ret_len = len;
	return n_rows;
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
	while (n) {
		uint8_t head[PROTO_DELIVER_HEAD_MAX];
		deliver.n_rows = output_n_rows(entries, n, &deliver.rows_len);
		output_check(session, evbuffer_add(session->output, head, proto_deliver_write(head, &deliver)));
		output_rows(session, entries, deliver.n_rows);
		deliver.first_id += deliver.n_rows;
		entries += deliver.n_rows;
		n -= deliver.n_rows;
	}
	if (evbuffer_get_length(session->output) > SESSION_OUTPUT_HIGH)
		worker->is_full = true;
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

static void session_cancel(struct worker *worker, uint64_t id, int64_t grace_us)
{
	struct session *session = session_of(worker);
	if (session->state == SESSION_ENDING)
		return;
	proto_cancel_write(&session->set->out, id, grace_us / 1000);
	session_send(session);
	if (session->set->host->cancelled)
		session->set->host->cancelled(session->set->ctx, session);
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

static void session_end_worker(struct worker *worker, const char *code, const char *reason)
{
	session_fail(session_of(worker), code, reason);
}

const struct worker_ops *session_worker_ops(void)
{
	static const struct worker_ops ops = {session_deliver, session_cancel, session_drain, session_end_worker};
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
		dispatcher_worker_changed(set->dispatcher, &session->worker);
		set->host->changed(set->ctx);
	}
	return 0;
}
