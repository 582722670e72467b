/* SPDX-License-Identifier: MIT */
/* The partitions that this member owns: each with its own queue in the client library, which is its valve.
 *
 * A queue that becomes non-empty writes the four-byte slot number of its lane into one pipe; numbers read from there
 * put lanes on the ready list. A lane is on that list only while it is open and may hold something. A number that comes
 * late for a slot with a new owner costs one look into an empty queue, no more. Source's thread only; the pipe's write
 * end apart. */
#ifndef KAFKA_LANES_H
#define KAFKA_LANES_H

#include <librdkafka/rdkafka.h>
#include <qbus/plugin.h>
#include <sys/queue.h>

#include "surplus.h"

enum lane_state {
	LANE_OPEN,
	LANE_CLOSING, /* the runtime was told; nothing is delivered any more */
	LANE_DRAINED, /* the runtime has answered */
};

/* What is to be committed, and what became of it. Owned by commit.c. */
struct lane_commit {
	int64_t position;  /* first offset not settled; -1: nothing to commit */
	int64_t committed; /* what the broker is known to have; -1: nothing */
	char *memo;
	size_t memo_len;
	bool is_dirty;    /* position or memo is newer than what was sent last */
	bool is_gone;     /* the topic was deleted: the offset would be one of its successor, so nothing is committed */
	bool is_healing;  /* dirty only to overwrite what a stranger may have committed */
	bool is_bare;     /* its memo was refused: the position goes without */
	uint64_t sent_by; /* number of the commit under way, 0: none */
	int64_t sent;     /* its position */
	bool sent_bare;   /* it went without the memo */
	size_t sent_memo_len;
	int64_t *receipts; /* settlements that wait for their outcome, ascending */
	size_t n_receipts, n_receipts_room;
	size_t n_sent; /* the first of them: those of the commit under way */
};

/* Why nothing of the lane can be read. Owned by wedge.c. */
struct lane_wedge {
	char *reason;     /* NULL: it can be read */
	bool is_held;     /* nothing is taken from its queue: what comes next lies behind what cannot be read */
	int64_t retry_us; /* held: when to read there again */
	bool by_answer;   /* it is a whole answer of the broker that is not taken */
	char *suspicion;  /* such an answer, while there is still something to be taken from before it; NULL: none */
	int64_t say_us;
};

struct lane {
	TAILQ_ENTRY(lane) ready;
	uint64_t id;
	uint32_t slot;
	enum lane_state state;
	bool is_shut;
	bool is_ready;
	bool is_cancelled;
	bool is_healed; /* wedged or cancelled, and then a message came */
	struct lane_wedge wedge;
	int32_t partition;
	char *topic;
	size_t topic_len;
	rd_kafka_queue_t *queue;
	struct surplus surplus; /* was in the queue */
	int64_t next;           /* lowest offset that may still come, -1: unknown */
	int64_t end;            /* where the partition ended, after all that was taken from it; 0: not told */
	size_t largest;         /* one byte more than the largest of the messages that were given last */
	size_t taken_bytes;     /* since the fetchers were woken last */
	size_t taken_messages;
	struct lane_commit commit;
};

TAILQ_HEAD(lane_list, lane);

struct lanes {
	int pipe_read, pipe_write;
	struct lane_list ready;
	struct lane **slots; /* by slot, NULL: free */
	size_t n_slots;
	struct lane **sorted; /* by id */
	size_t n;
	int64_t swept_us;
};

/* 0 or negative errno. */
int lanes_init(struct lanes *lanes);
void lanes_done(struct lanes *lanes);

/* Takes a partition over: its queue is its own from now on. To be called before every (incremental_)assign. */
struct lane *lanes_add(struct lanes *lanes, rd_kafka_t *rk, const char *topic, int32_t partition);
/* After lanes_add, with the runtime's number, which is higher than any before. */
void lanes_number(struct lanes *lanes, struct lane *lane, uint64_t id);
/* Gives the queue back and frees the lane. */
void lanes_remove(struct lanes *lanes, struct lane *lane);

struct lane *lanes_find(const struct lanes *lanes, uint64_t id);
struct lane *lanes_find_partition(const struct lanes *lanes, const char *topic, int32_t partition);

void lanes_flow(struct lanes *lanes, struct lane *lane, bool open);
void lanes_state(struct lanes *lanes, struct lane *lane, enum lane_state state);
/* What was taken from a lane that is held from now on is dropped: it comes again. */
void lanes_hold(struct lanes *lanes, struct lane *lane, bool is_held);
/* Reads the pipe; once a second every open lane is looked at all the same. */
void lanes_wake(struct lanes *lanes, int64_t now_us);
/* The queue of that lane was seen empty. */
void lanes_rest(struct lanes *lanes, struct lane *lane);
/* The next ready lane has had its turn. */
void lanes_rotate(struct lanes *lanes, struct lane *lane);

#endif
