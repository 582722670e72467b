/* SPDX-License-Identifier: MIT */
/* What the three files of the session share: session.c (its life), session_words.c (what the worker says) and
 * session_output.c (what it is told). Nobody else includes this. */
#ifndef QBUS_WIRE_SESSION_INSIDE_H
#define QBUS_WIRE_SESSION_INSIDE_H

#include "core/growth.h"
#include "wire/frame.h"
#include "wire/leaks.h"
#include "wire/proto.h"
#include "wire/session.h"

struct event;
struct evbuffer;

enum {
	SESSION_INPUT_BYTES = 256 * 1024,
	SESSION_OUTPUT_HIGH = 1024 * 1024,  /* nothing more is delivered */
	SESSION_OUTPUT_LOW = 256 * 1024,    /* it is again */
	SESSION_ANSWERS_MAX = 1024 * 1024,  /* other frames, but CHUNK, that a worker may leave unread */
	SESSION_CHUNKS_MAX = 1024 * 1024,   /* bytes of bodies that a worker may ask for and leave unread */
	SESSION_GROWTH_BYTES = 1024 * 1024, /* of reported memory, before the host hears of it */
	SESSION_LATE_PIECE = 256,           /* ids in one LATE */
	SESSION_LATE_MAX = 4096,            /* late verdicts in one SETTLE; above it, nonsense */
};

struct session_set {
	struct event_base *base;
	struct dispatcher *dispatcher;
	const struct session_host *host;
	void *ctx;
	struct list sessions;
	struct list turn; /* those that the next flush looks at */
	size_t n_sessions;
	uint64_t n_late_ever;
	struct leaks_ration leaks_ration;
	uint32_t last_number;
	bool has_come_round;  /* numbers have, so that one may be taken */
	struct proto_out out; /* where a frame is made before it goes to its session's output */
	uint8_t *input;
	uint64_t late[SESSION_LATE_PIECE]; /* of the SETTLE that is being read, for the next LATE */
	size_t n_late, n_late_in_frame;
};

struct session {
	struct worker worker;
	struct session_set *set;
	struct list link, turn_link;
	enum session_state state;
	int fd;
	struct session_peer peer;
	int64_t opened_us;
	uint64_t told_bytes; /* of memory, when the host last heard of it */
	struct event *readable, *writable, *timer;
	struct frame_reader reader;
	struct evbuffer *output;
	size_t n_answer_bytes;        /* of frames other than DELIVER and CHUNK since the output was empty */
	size_t n_chunk_bytes;         /* of bodies in the output */
	struct growth growth;         /* of its memory */
	struct leaks *leaks;          /* what it reported last; NULL: nothing */
	bool has_signals;             /* it has a handler for SIGUSR1 */
	bool can_stream;              /* bodies above the threshold stay here until the worker asks for them */
	bool is_blocked;              /* the socket took no more; `writable` is waited for */
	bool is_timed;                /* the timer runs */
	bool is_known;                /* to the dispatcher */
	bool awaits_exit;             /* ENDING: what it held is its own until the pool tells how its process ended */
	bool is_in_peace;             /* ENDING: it left by itself, holding nothing that it should have settled */
	bool has_settled, has_frames; /* in this piece of input */
	pid_t group;                  /* of its process; 0: not known */
	char exit[32];                /* how that ended; "": it is not known to have */
	char who[24], client[64], end_code[24], end_reason[256];
};

/* The next flush looks at this session. */
void session_mark(struct session *session);
void session_state_set(struct session *session, enum session_state state);
/* Ends it without a word: the worker has gone, or will not listen. */
void session_leave(struct session *session, bool in_peace, const char *reason);
/* session_end and session_leave for those whom the dispatcher calls: they must not call it back. */
void session_fail(struct session *session, const char *code, const char *message);
void session_drop(struct session *session, bool in_peace, const char *reason);

/* The verdicts read so far take effect together: at the end of a piece of input, and before any other word. */
void session_settled(struct session *session);

/* frame_take: handles one frame; other than 0 once the session is ending. */
int session_word(void *ctx, const struct frame *frame);

const struct worker_ops *session_worker_ops(void);
/* Sends at most n bytes of the body of a delivery, or word that it is not held. */
void session_chunk(struct session *session, uint64_t id, uint64_t offset, uint64_t n);
/* Sends what was written into set->out. */
void session_send(struct session *session);
/* Writes once. 0, or -errno when the connection is of no use any more. */
int session_write(struct session *session);

#endif
