/* SPDX-License-Identifier: MIT */
/* A session: one connection, one worker. It turns bytes into calls of the dispatcher and the dispatcher's news into
 * bytes.
 *
 *     HANDSHAKE -> OPEN -> DRAINING -> ENDING -> closed and freed
 *
 * The sessions of a loop form a set. During a turn of the loop sessions only collect what they have to send; the host
 * ends each turn with dispatcher_tick and then session_set_flush, which writes once for each session that has
 * something, reports ended workers to the dispatcher, and is the only place where a session is freed. Loop thread only.
 * The process must ignore SIGPIPE. */
#ifndef QBUS_WIRE_SESSION_H
#define QBUS_WIRE_SESSION_H

#include "core/dispatcher.h"

#include <sys/types.h>

struct event_base;
struct growth;
struct leaks;
struct session;
struct session_set;

enum session_state { SESSION_HANDSHAKE, SESSION_OPEN, SESSION_DRAINING, SESSION_ENDING };

/* Who is at the other end (SO_PEERCRED: at the time of connecting). */
struct session_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* What sessions ask of the host. It must outlive the set. */
struct session_host {
	const char *server;           /* name and version, told in WELCOME */
	int64_t handshake_timeout_us; /* for HELLO, and for the rest of a frame that was begun; 0: 10 s */
	int64_t farewell_timeout_us;  /* for sending ERROR to a worker that does not read; 0: 1 s */
	int64_t (*now)(void *ctx);    /* the time of this turn */
	/* Something was read, and that is now: the time of this turn is taken anew. A limit that counted from the beginning
	 * of a long turn would be over before its worker knows. May be NULL. */
	void (*heard)(void *ctx);
	const char *(*pool_of)(
		void *ctx, pid_t pid);  /* the pool that spawned this process, NULL: none; outlives the session */
	void (*changed)(void *ctx); /* dispatcher_tick (and a flush after it) is wanted before the loop waits again */
	/* From dispatcher_tick, each may be NULL: its time, or that of a part of its handler, is over, so it is signalled;
	 * calls that it hangs in are to be broken from now on, and no more (also from where a frame is read or a worker
	 * goes; only after a begin). */
	void (*told)(void *ctx, const struct session *session);
	void (*break_begin)(void *ctx, struct session *session);
	void (*break_end)(void *ctx, struct session *session);
	void (*attached)(void *ctx, const struct session *session); /* HELLO was good; may be NULL */
	/* A worker of a pool is past deadline and grace, or closed its connection with deliveries in hand a while ago and
	 * lives on: end its process. False: there is none, the session is ended instead. From dispatcher_tick or the
	 * session's timer; may be NULL. */
	bool (*overdue)(void *ctx, const struct session *session, const char *reason);
	/* The worker reports at least a MiB more of memory than the last time this was called; may be NULL. */
	void (*grown)(void *ctx, const struct session *session);
	void (*closed)(void *ctx, const struct session *session); /* the connection is closed, the session goes now */
};

/* Strings live as long as the session. */
struct session_info {
	uint32_t number;
	enum session_state state;
	struct session_peer peer;
	pid_t group;            /* of its process when it said HELLO; 0: not known */
	const char *client;     /* what HELLO said, "" before */
	const char *pool;       /* NULL: not spawned by us */
	const char *end_code;   /* of the ERROR that ended it; NULL: none */
	const char *end_reason; /* "" while it lives */
	size_t n_held;
	size_t n_output_bytes; /* not yet taken by the worker */
	uint64_t n_settled;    /* since it began */
	uint64_t memory_bytes;
	int64_t opened_us;
	int fd;                    /* our end of its socket */
	bool has_signals;          /* it has a handler for SIGUSR1 */
	uint32_t n_breaks;         /* how often its time was over and a call of its was broken */
	const struct leaks *leaks; /* what it said of what grows; NULL: nothing */
	const struct growth *growth;
};

/* dispatcher, base and host must outlive the set. */
struct session_set *session_set_new(
	struct event_base *base, struct dispatcher *dispatcher, const struct session_host *host, void *ctx);
/* Closes what is still open at once. */
void session_set_free(struct session_set *set);
size_t session_set_count(const struct session_set *set);
uint64_t session_set_n_late(const struct session_set *set); /* verdicts for what was not held, since the start */
void session_set_each(struct session_set *set, void (*visit)(void *ctx, struct session *session), void *ctx);
void session_set_flush(struct session_set *set);

/* A connected stream socket becomes a session, which owns fd from now on, also when this fails. 0 or -errno. */
int session_open(struct session_set *set, int fd, const struct session_peer *peer);
/* Ends it: ERROR with code and message goes out, what it holds goes back. Nothing happens when it is ending already. */
void session_end(struct session *session, const char *code, const char *message);
/* Between break_begin and break_end, before the loop reads from it again: a call that it hung in was broken. */
void session_broken(struct session *session);
/* The process that leads this group has ended, as `how` says ("exit 255"). The session of a pool's worker waits for
 * that when its connection ends while it holds deliveries, for a second or, where `overdue` ends the process, as long
 * as that takes; their dead letters tell it. A session of the leader itself ends, whoever else has its socket. Returns
 * whether it holds some. */
bool session_set_exited(struct session_set *set, pid_t group, const char *how);
/* Lets it finish what it holds and leave. False: it is leaving already, or has not said HELLO. */
bool session_retire(struct session *session, const char *reason);
/* It takes too much memory: what it runs is told to stop, and if it dies of it, that is the reason. */
void session_swollen(struct session *session);
void session_tell(const struct session *session, struct session_info *ret_info);

#endif
