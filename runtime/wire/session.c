/* SPDX-License-Identifier: MIT */
/* The life of a session.
 *
 * Whatever ends a session only moves it to ENDING; the flush at the end of the turn tells the dispatcher, and closes
 * when the farewell is sent or its time is over. So no callback of libevent or of the dispatcher ever sees a freed
 * session. */
#include "wire/session_inside.h"

#include "base/alloc.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* LOST_PIECES: more than a socket holds, so that all is read that was sent before, and no endless chatter. */
enum { LOST_PIECES = 16, HANDSHAKE_TIMEOUT_US = 10 * 1000000, FAREWELL_TIMEOUT_US = 1000000 };

void session_state_set(struct session *session, enum session_state state)
{
	assert(state >= session->state);
	session->state = state;
}

void session_mark(struct session *session)
{
	if (list_is_empty(&session->turn_link))
		list_add_tail(&session->set->turn, &session->turn_link);
}

/* ---- time ---- */

static void session_timer_start(struct session *session, int64_t us)
{
	struct timeval after = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
	event_add(session->timer, &after);
	session->is_timed = true;
}

static void session_timer_stop(struct session *session)
{
	event_del(session->timer);
	session->is_timed = false;
}

static int64_t session_handshake_us(const struct session *session)
{
	int64_t us = session->set->host->handshake_timeout_us;
	return us ? us : HANDSHAKE_TIMEOUT_US;
}

/* Who closed its connection in the middle of something and lives on may still be at it: what it held stays with it
 * until its process, which is made to, has ended. */
static bool session_still_runs(const struct session *session)
{
	const struct session_host *host = session->set->host;
	return session->awaits_exit && host->overdue &&
	       host->overdue(session->set->ctx, session, "it closed its connection with messages in hand and goes on");
}

/* The timer means: HELLO, the rest of a frame that was begun, the farewell or the worker's end is overdue. */
static void session_on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct session *session = ctx;
	session->is_timed = false;
	if (session_still_runs(session))
		return;
	session->awaits_exit = false;
	if (session->state == SESSION_ENDING)
		evbuffer_drain(session->output, evbuffer_get_length(session->output));
	else if (session->state == SESSION_HANDSHAKE)
		session_end(session, "protocol", "no HELLO came in time");
	else
		session_end(session, "protocol", "the rest of a frame did not come in time");
	session_mark(session);
}

static void session_timer_update(struct session *session)
{
	if (session->state == SESSION_HANDSHAKE || session->state == SESSION_ENDING)
		return;
	if (frame_n_partial(&session->reader) == 0) {
		if (session->is_timed)
			session_timer_stop(session);
	} else if (!session->is_timed || session->has_frames) {
		session_timer_start(session, session_handshake_us(session));
	}
}

/* ---- the end ---- */

static void session_ending(struct session *session, bool in_peace, const char *code, const char *reason)
{
	int64_t us = session->set->host->farewell_timeout_us;
	snprintf(session->end_code, sizeof session->end_code, "%s", code);
	snprintf(session->end_reason, sizeof session->end_reason, "%s", reason);
	session->is_in_peace = in_peace;
	session->worker.is_full = true;
	session_state_set(session, SESSION_ENDING);
	event_del(session->readable);
	session_timer_start(session, us ? us : FAREWELL_TIMEOUT_US);
	session_mark(session);
}

void session_fail(struct session *session, const char *code, const char *message)
{
	if (session->state == SESSION_ENDING)
		return;
	log_say(LOG_WARN, session->who, "ends the session: %s code=%s", message, code);
	session_ending(session, false, code, message);
	proto_error_write(&session->set->out, code, message);
	session_send(session);
}

void session_drop(struct session *session, bool in_peace, const char *reason)
{
	if (session->state != SESSION_ENDING)
		session_ending(session, in_peace, "", reason);
	evbuffer_drain(session->output, evbuffer_get_length(session->output));
	session_mark(session);
}

/* Until it is told, at the end of the turn, the dispatcher must at least not give it more. */
static void session_refuse_more(struct session *session)
{
	if (session->is_known)
		dispatcher_worker_changed(&session->worker);
}

void session_end(struct session *session, const char *code, const char *message)
{
	session_fail(session, code, message);
	session_refuse_more(session);
}

void session_leave(struct session *session, bool in_peace, const char *reason)
{
	session_drop(session, in_peace, reason);
	session_refuse_more(session);
}

/* The connection broke off. A process of a pool closes it before its end can be known. */
static void session_break(struct session *session, const char *reason)
{
	bool in_peace = session->worker.n_held == 0;
	bool can_be_told = session->state != SESSION_ENDING && session->is_known && session->worker.pool;
	session_leave(session, in_peace, reason);
	if (can_be_told && !in_peace && !session->exit[0])
		session->awaits_exit = true;
}

/* The dispatcher hears of it once, and not before its own call of worker_ops has returned. */
static void session_report(struct session *session)
{
	if (!session->is_known)
		return;
	session->is_known = false;
	session->worker.exit = session->exit[0] ? session->exit : NULL;
	const struct log_fact facts[] = {
		log_text("reason", session->end_reason),
		log_text("exit", session->exit),
		log_number("held", session->worker.n_held),
		log_word("in_peace", session->is_in_peace ? "yes" : "no"),
	};
	log_tell(LOG_INFO, session->who, "leaves", facts, sizeof facts / sizeof facts[0]);
	dispatcher_worker_gone(session->set->dispatcher, &session->worker, session->is_in_peace, session->end_reason,
		session->set->host->now(session->set->ctx));
	session->set->host->changed(session->set->ctx);
}

static void session_free(struct session *session)
{
	struct session_set *set = session->set;
	list_remove(&session->link);
	list_remove(&session->turn_link);
	set->n_sessions--;
	if (session->readable)
		event_free(session->readable);
	if (session->writable)
		event_free(session->writable);
	if (session->timer)
		event_free(session->timer);
	if (session->output)
		evbuffer_free(session->output);
	frame_reader_done(&session->reader);
	free(session->leaks);
	close(session->fd);
	worker_done(&session->worker);
	free(session);
}

static void session_close(struct session *session)
{
	session_report(session);
	session->set->host->closed(session->set->ctx, session);
	session_free(session);
}

/* ---- reading ---- */

void session_settled(struct session *session)
{
	struct session_set *set = session->set;
	if (session->has_settled)
		dispatcher_settled(set->dispatcher, &session->worker, set->host->now(set->ctx));
	session->has_settled = false;
}

static void session_handle(struct session *session, const uint8_t *bytes, size_t len)
{
	struct session_set *set = session->set;
	session->has_settled = session->has_frames = false;
	if (set->host->heard)
		set->host->heard(set->ctx);
	if (frame_read(&session->reader, bytes, len, session_word, session) == -EMSGSIZE)
		session_end(session, "protocol", "a frame announces more than 65536 bytes");
	session_timer_update(session);
	session_settled(session);
	if (session->has_frames)
		set->host->changed(set->ctx);
}

/* Reads one piece. false: there was nothing more. */
static bool session_receive(struct session *session)
{
	ssize_t n = recv(session->fd, session->set->input, SESSION_INPUT_BYTES, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0)
		session_handle(session, session->set->input, (size_t)n);
	else
		session_break(session, n == 0 ? "closed the connection" : strerror(errno));
	return session->state != SESSION_ENDING;
}

static void session_on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	session_receive(ctx);
}

static void session_on_writable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct session *session = ctx;
	session->is_blocked = false;
	session_mark(session);
}

/* ---- the turn ---- */

/* The worker reads no more, but the verdicts that it sent before still count. */
static void session_lost(struct session *session, const char *reason)
{
	if (session->state != SESSION_ENDING)
		for (int i = 0; i < LOST_PIECES && session_receive(session); i++)
			continue;
	session_break(session, reason);
}

/* A process that it started may hold the connection open, but nobody is there any more who would read from it. */
bool session_set_exited(struct session_set *set, pid_t group, const char *how)
{
	bool holds = false;
	list_each(link, &set->sessions)
	{
		struct session *session = list_item(link, struct session, link);
		if (session->group != group || !session->worker.pool)
			continue;
		snprintf(session->exit, sizeof session->exit, "%s", how);
		session->awaits_exit = false;
		session_mark(session);
		if (session->peer.pid == group)
			session_lost(session, "its process has ended");
		holds |= session->worker.n_held > 0; /* after all that it has said */
	}
	return holds;
}

static void session_flush(struct session *session)
{
	if (evbuffer_get_length(session->output) && !session->is_blocked) {
		int result = session_write(session);
		if (result < 0)
			session_lost(session, strerror(-result));
	}
	if (session->state != SESSION_ENDING || session->awaits_exit)
		return;
	session_report(session);
	if (evbuffer_get_length(session->output) == 0)
		session_close(session);
}

void session_set_flush(struct session_set *set)
{
	struct list *link;
	while ((link = list_take(&set->turn)))
		session_flush(list_item(link, struct session, turn_link));
}

/* ---- set and session ---- */

struct session_set *session_set_new(
	struct event_base *base, struct dispatcher *dispatcher, const struct session_host *host, void *ctx)
{
	struct session_set *set = alloc_zero(sizeof *set);
	set->base = base;
	set->dispatcher = dispatcher;
	set->host = host;
	set->ctx = ctx;
	set->input = alloc_new(SESSION_INPUT_BYTES);
	list_init(&set->sessions);
	list_init(&set->turn);
	return set;
}

void session_set_free(struct session_set *set)
{
	if (!set)
		return;
	list_each_safe(link, after, &set->sessions)
	{
		struct session *session = list_item(link, struct session, link);
		session_leave(session, false, "the proxy ends");
		session_close(session);
	}
	proto_out_done(&set->out);
	free(set->input);
	free(set);
}

size_t session_set_count(const struct session_set *set)
{
	return set->n_sessions;
}

uint64_t session_set_n_late(const struct session_set *set)
{
	return set->n_late_ever;
}

void session_set_each(struct session_set *set, void (*visit)(void *ctx, struct session *session), void *ctx)
{
	list_each_safe(link, after, &set->sessions) visit(ctx, list_item(link, struct session, link));
}

static bool session_is_taken(const struct session_set *set, uint32_t number)
{
	list_each(link, &set->sessions)
	{
		if (list_item(link, struct session, link)->worker.number == number)
			return true;
	}
	return false;
}

/* Who attaches anew for each job uses up many. */
static uint32_t session_number(struct session_set *set)
{
	do {
		set->has_come_round |= set->last_number == WORKER_NUMBER_MAX;
		set->last_number = set->last_number % WORKER_NUMBER_MAX + 1;
	} while (set->has_come_round && session_is_taken(set, set->last_number));
	return set->last_number;
}

int session_open(struct session_set *set, int fd, const struct session_peer *peer)
{
	struct session *session = alloc_zero(sizeof *session);
	session->set = set;
	session->fd = fd;
	session->peer = *peer;
	session->opened_us = set->host->now(set->ctx);
	worker_init(&session->worker, session_worker_ops(), session_number(set));
	snprintf(session->who, sizeof session->who, "worker %u", (unsigned)session->worker.number);
	list_init(&session->turn_link);
	list_add_tail(&set->sessions, &session->link);
	set->n_sessions++;
	session->readable = event_new(set->base, fd, EV_READ | EV_PERSIST, session_on_readable, session);
	session->writable = event_new(set->base, fd, EV_WRITE, session_on_writable, session);
	session->timer = event_new(set->base, -1, 0, session_on_timer, session);
	session->output = evbuffer_new();
	if (!session->readable || !session->writable || !session->timer || !session->output ||
		evutil_make_socket_nonblocking(fd) != 0 || event_add(session->readable, NULL) != 0) {
		session_free(session);
		return -ENOMEM;
	}
	session_timer_start(session, session_handshake_us(session));
	return 0;
}

void session_broken(struct session *session)
{
	deadline_broken(&session->worker);
}

bool session_retire(struct session *session, const char *reason)
{
	if (!session->is_known || session->state != SESSION_OPEN)
		return false;
	dispatcher_worker_retire(&session->worker, reason);
	return true;
}

void session_swollen(struct session *session)
{
	if (session->is_known && session->state != SESSION_ENDING)
		dispatcher_worker_swollen(&session->worker);
}

void session_tell(const struct session *session, struct session_info *ret_info)
{
	*ret_info = (struct session_info){
		.number = session->worker.number,
		.state = session->state,
		.peer = session->peer,
		.group = session->group,
		.client = session->client,
		.pool = session->worker.pool,
		.end_code = session->end_code[0] ? session->end_code : NULL,
		.end_reason = session->end_reason,
		.n_held = session->worker.n_held,
		.n_settled = worker_n_settled(&session->worker),
		.n_output_bytes = evbuffer_get_length(session->output),
		.memory_bytes = session->worker.memory_bytes,
		.opened_us = session->opened_us,
		.fd = session->fd,
		.has_signals = session->has_signals,
		.n_breaks = session->worker.n_breaks,
		.leaks = session->leaks,
		.growth = &session->growth,
	};
}
