/* SPDX-License-Identifier: MIT */
/* What a worker says: one row of the table and one small function for each word. */
#include "wire/session_inside.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A word's function returns NULL, or the sentence with which the session ends. */
typedef const char *session_say(struct session *session, const struct frame *frame);

static int64_t session_now(const struct session *session)
{
	return session->set->host->now(session->set->ctx);
}

static int64_t microseconds(int64_t ms)
{
	return ms < INT64_MAX / 1000 ? ms * 1000 : INT64_MAX;
}

/* ---- HELLO ---- */

/* The longest payload of a DELIVER with one message alone. Key and headers are never streamed. */
static int64_t hello_max_message(const struct session *session, const struct pipeline_conf *conf)
{
	int64_t body = conf->oversize == OVERSIZE_STREAM ? UINT32_MAX : conf->max_message_bytes;
	if (session->can_stream && body > conf->stream_threshold)
		body = conf->stream_threshold;
	int64_t whole = PROTO_FRAME_MAX + conf->max_message_bytes + body;
	return whole < UINT32_MAX ? whole : UINT32_MAX;
}

static void hello_welcome(struct session *session, size_t n_pipelines)
{
	struct proto_pipeline pipelines[PROTO_PIPELINES_MAX];
	int64_t max_message = 0;
	for (size_t i = 0; i < n_pipelines; i++) {
		const struct pipeline *pipeline = dispatcher_worker_pipeline(&session->worker, i);
		const struct pipeline_conf *conf = pipeline_conf(pipeline);
		pipelines[i] = (struct proto_pipeline){
			.name = conf->name,
			.kind = pipeline_kind(pipeline),
			.timeout_ms = conf->handler_timeout_us / 1000,
			.max_attempts = conf->max_attempts,
		};
		int64_t whole = hello_max_message(session, conf);
		max_message = whole > max_message ? whole : max_message;
	}
	proto_welcome_write(&session->set->out, &(struct proto_welcome){
												.server = session->set->host->server,
												.session = session->worker.number,
												.max_message = max_message,
												.pipelines = pipelines,
												.n_pipelines = n_pipelines,
											});
	session_send(session);
}

static void hello_attach(struct session *session, const char *const *names, size_t n)
{
	char sentence[200];
	size_t index = 0;
	int result =
		dispatcher_worker_add(session->set->dispatcher, &session->worker, names, n, &index, session_now(session));
	if (result == -ENOENT) {
		snprintf(sentence, sizeof sentence, "there is no pipeline \"%.128s\"", names[index]);
		session_end(session, "unknown_pipeline", sentence);
	} else if (result < 0) {
		snprintf(sentence, sizeof sentence, "the pipelines cannot be attached: %s", strerror(-result));
		session_end(session, "protocol", sentence);
	} else {
		session->is_known = true;
		session_state_set(session, SESSION_OPEN);
		log_say(LOG_INFO, session->who, "opens client=\"%s\" pid=%d uid=%u pool=%s pipelines=%zu", session->client,
			(int)session->peer.pid, (unsigned)session->peer.uid, session->worker.pool ? session->worker.pool : "-", n);
		hello_welcome(session, n);
		if (session->set->host->attached)
			session->set->host->attached(session->set->ctx, session);
	}
}

static uint32_t credit_of(int64_t credit)
{
	return credit < UINT32_MAX ? (uint32_t)credit : UINT32_MAX;
}

static const char *say_hello(struct session *session, const struct frame *frame)
{
	struct proto_hello hello;
	char *names[PROTO_PIPELINES_MAX];
	if (session->state != SESSION_HANDSHAKE)
		return "HELLO comes once";
	const char *wrong = proto_hello_read(frame, &hello);
	if (wrong)
		return wrong;
	snprintf(session->client, sizeof session->client, "%.*s", (int)hello.client.len, (const char *)hello.client.data);
	session->worker.pool = session->set->host->pool_of(session->set->ctx, session->peer.pid);
	session->group = getpgid(session->peer.pid);
	session->worker.wanted = credit_of(hello.credit);
	session->worker.is_batching = hello.has_batches;
	session->has_signals = hello.has_signals;
	session->can_stream = hello.can_stream;
	for (size_t i = 0; i < hello.n_pipelines; i++)
		names[i] = alloc_string(hello.pipelines[i].data, hello.pipelines[i].len);
	hello_attach(session, (const char *const *)names, hello.n_pipelines);
	for (size_t i = 0; i < hello.n_pipelines; i++)
		free(names[i]);
	return NULL;
}

/* ---- SETTLE ---- */

static void late_send(struct session *session)
{
	struct session_set *set = session->set;
	if (set->n_late == 0)
		return;
	proto_late_write(&set->out, set->late, set->n_late);
	set->n_late = 0;
	session_send(session);
}

static void late_add(struct session *session, uint64_t id)
{
	struct session_set *set = session->set;
	set->n_late_ever++;
	if (++set->n_late_in_frame > SESSION_LATE_MAX)
		return;
	set->late[set->n_late++] = id;
	if (set->n_late == SESSION_LATE_PIECE)
		late_send(session);
}

/* Runs are given on whole; what is not held is answered one by one. */
static void settle_acks(void *ctx, uint64_t first_id, uint64_t count)
{
	struct session *session = ctx;
	struct session_set *set = session->set;
	uint64_t run = first_id, end = first_id + count;
	for (uint64_t id = first_id; id < end && set->n_late_in_frame <= SESSION_LATE_MAX; id++) {
		if (worker_find(&session->worker, id))
			continue;
		if (id > run)
			dispatcher_ack(&session->worker, run, id - run);
		late_add(session, id);
		run = id + 1;
	}
	if (end > run && set->n_late_in_frame <= SESSION_LATE_MAX)
		dispatcher_ack(&session->worker, run, end - run);
}

static void settle_verdict(void *ctx, const struct proto_verdict *verdict)
{
	struct session *session = ctx;
	struct worker *worker = &session->worker;
	size_t n_late = 0;
	int64_t delay_us = microseconds(verdict->delay_ms);
	if (verdict->kind == PROTO_RETRY)
		n_late = dispatcher_retry(
			worker, verdict->id, verdict->delay_ms < 0 ? -1 : delay_us, verdict->reason, session_now(session));
	else if (verdict->kind == PROTO_REJECT)
		n_late = dispatcher_reject(worker, verdict->id, verdict->reason);
	else if (verdict->kind == PROTO_ACK)
		n_late = dispatcher_ack_meant(worker, verdict->id);
	else
		n_late = dispatcher_release(worker, verdict->id);
	if (n_late)
		late_add(session, verdict->id);
}

static void settle_tell_growth(struct session *session)
{
	const struct session_host *host = session->set->host;
	if (!host->grown || session->worker.memory_bytes < session->told_bytes + SESSION_GROWTH_BYTES)
		return;
	session->told_bytes = session->worker.memory_bytes;
	host->grown(session->set->ctx, session);
}

static void settle_memory(struct session *session)
{
	struct worker *worker = &session->worker;
	uint64_t n = worker_n_settled(worker);
	if (growth_add(&session->growth, n, worker->memory_bytes, session_now(session)))
		log_say(LOG_WARN, session->who,
			"its memory rises steadily bytes_per_message=%lld memory_bytes=%llu messages=%llu pool=%s",
			(long long)growth_slope(&session->growth), (unsigned long long)worker->memory_bytes, (unsigned long long)n,
			worker->pool ? worker->pool : "-");
}

static const char *say_settle(struct session *session, const struct frame *frame)
{
	static const struct proto_settle_sink sink = {settle_acks, settle_verdict};
	session->set->n_late_in_frame = 0;
	session->has_settled = true;
	const char *wrong = proto_settle_read(frame, &sink, session, &session->worker.memory_bytes);
	late_send(session);
	settle_tell_growth(session);
	settle_memory(session);
	if (!wrong && session->set->n_late_in_frame > SESSION_LATE_MAX)
		wrong = "SETTLE: more than 4096 verdicts for deliveries that the session does not hold";
	return wrong;
}

/* ---- the small words ---- */

static const char *say_extend(struct session *session, const struct frame *frame)
{
	uint64_t id;
	int64_t ms;
	const char *wrong = proto_extend_read(frame, &id, &ms);
	if (wrong)
		return wrong;
	int64_t left_us =
		deadline_extend(session->set->dispatcher, &session->worker, id, microseconds(ms), session_now(session));
	proto_extended_write(&session->set->out, id, left_us / 1000);
	session_send(session);
	return NULL;
}

static const char *say_limit(struct session *session, const struct frame *frame)
{
	uint64_t id;
	uint32_t level;
	int64_t ms;
	const char *wrong = proto_limit_read(frame, &id, &level, &ms);
	if (!wrong)
		deadline_limit(session->set->dispatcher, &session->worker, id, level, microseconds(ms), session_now(session));
	return wrong;
}

static const char *say_unlimit(struct session *session, const struct frame *frame)
{
	uint64_t id;
	uint32_t level;
	const char *wrong = proto_unlimit_read(frame, &id, &level);
	if (!wrong)
		deadline_unlimit(session->set->dispatcher, &session->worker, id, level, session_now(session));
	return wrong;
}

/* What was said before has taken effect: each word does so before the next is read. */
static const char *say_sync(struct session *session, const struct frame *frame)
{
	int64_t n;
	const char *wrong = proto_sync_read(frame, &n);
	if (wrong)
		return wrong;
	proto_synced_write(&session->set->out, n);
	session_send(session);
	return NULL;
}

static void log_leak(struct session *session, const struct leak *leak)
{
	struct leaks_ration *ration = &session->set->leaks_ration;
	const char *pool = session->worker.pool ? session->worker.pool : "-";
	if (!leaks_tell(session->leaks, leak->path) || !leaks_ration_take(ration, session_now(session)))
		return;
	if (ration->n_kept)
		log_say(LOG_WARN, NULL, "keeps lines about what grows out of the log, workers --leaks has them n=%llu",
			(unsigned long long)ration->n_kept);
	ration->n_kept = 0;
	log_say(LOG_WARN, session->who, "%s keeps growing: in %llu of %llu looks bytes=%llu pool=%s", leak->path,
		(unsigned long long)leak->n_grew, (unsigned long long)leak->n_looks, (unsigned long long)leak->bytes, pool);
}

static const char *say_leak(struct session *session, const struct frame *frame)
{
	if (!session->leaks)
		session->leaks = alloc_zero(sizeof *session->leaks);
	const char *wrong = leaks_read(frame, session->leaks);
	for (uint32_t i = 0; !wrong && i < session->leaks->n; i++)
		log_leak(session, &session->leaks->leaks[i]);
	return wrong;
}

static const char *say_bye(struct session *session, const struct frame *frame)
{
	struct qb_bytes reason;
	char sentence[128] = "says BYE";
	const char *wrong = proto_bye_read(frame, &reason);
	if (wrong)
		return wrong;
	if (reason.data)
		snprintf(sentence, sizeof sentence, "says BYE: %.*s", reason.len < 100 ? (int)reason.len : 100,
			(const char *)reason.data);
	session_leave(session, true, sentence);
	return NULL;
}

static const char *say_credit(struct session *session, const struct frame *frame)
{
	int64_t credit;
	const char *wrong = proto_credit_read(frame, &credit);
	if (wrong)
		return wrong;
	session->worker.wanted = credit_of(credit);
	dispatcher_worker_changed(&session->worker);
	return NULL;
}

static const char *say_read(struct session *session, const struct frame *frame)
{
	uint64_t id, offset, n;
	const char *wrong = proto_read_read(frame, &id, &offset, &n);
	if (!wrong)
		session_chunk(session, id, offset, n);
	return wrong;
}

static const char *say_unsupported(struct session *session, const struct frame *frame);

static const struct {
	const char *name;
	session_say *say;
} words[] = {
	[PROTO_HELLO] = {"HELLO", say_hello},
	[PROTO_SETTLE] = {"SETTLE", say_settle},
	[PROTO_EXTEND] = {"EXTEND", say_extend},
	[PROTO_BYE] = {"BYE", say_bye},
	[PROTO_CREDIT] = {"CREDIT", say_credit},
	[PROTO_PUBLISH] = {"PUBLISH", say_unsupported},
	[PROTO_LIMIT] = {"LIMIT", say_limit},
	[PROTO_UNLIMIT] = {"UNLIMIT", say_unlimit},
	[PROTO_LEAK] = {"LEAK", say_leak},
	[PROTO_READ] = {"READ", say_read},
	[PROTO_SYNC] = {"SYNC", say_sync},
};

static const char *say_unsupported(struct session *session, const struct frame *frame)
{
	char sentence[80];
	snprintf(sentence, sizeof sentence, "this proxy does not serve the word %s", words[frame->word].name);
	session_end(session, "unsupported", sentence);
	return NULL;
}

int session_word(void *ctx, const struct frame *frame)
{
	struct session *session = ctx;
	const char *wrong = NULL;
	session->has_frames = true;
	if (frame->word != PROTO_SETTLE)
		session_settled(session);
	if (session->state == SESSION_HANDSHAKE && frame->word != PROTO_HELLO)
		wrong = "the first frame of a session is HELLO";
	else if (frame->word < sizeof words / sizeof words[0] && words[frame->word].say)
		wrong = words[frame->word].say(session, frame);
	if (wrong)
		session_end(session, "protocol", wrong);
	else if (session->n_answer_bytes > SESSION_ANSWERS_MAX || session->n_chunk_bytes > SESSION_CHUNKS_MAX)
		session_end(session, "slow_worker", "the worker asks and does not read the answers");
	return session->state == SESSION_ENDING ? -ECANCELED : 0;
}
