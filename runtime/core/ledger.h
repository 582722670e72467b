/* SPDX-License-Identifier: MIT */
/* The ledger of a pipeline: one entry for each message that was fetched and is not settled.
 *
 *     admit -> READY -> RESERVED -> SETTLED            acked, rejected, or its dead letter confirmed
 *       |        ^  \_______ | \--> WAITING -> READY   retry after its backoff
 *       |        |           |  \-> PARKED -> SETTLED  a dead letter is under way
 *       +-> BEHIND (an earlier message of its key or lane is not settled)
 *     lane closed: its entries go; only RESERVED ones stay, as ORPHAN, until their verdict, which then means nothing.
 *
 * entry_move() in ledger.c is the only writer of the state; it keeps lists and counters. All on the loop's thread. */
#ifndef QBUS_CORE_LEDGER_H
#define QBUS_CORE_LEDGER_H

#include "base/heap.h"
#include "base/list.h"
#include "base/slots.h"
#include "core/lane.h"
#include "core/msg.h"
#include "core/order.h"
#include "core/pipeline_conf.h"

enum entry_state {
	ENTRY_READY,
	ENTRY_BEHIND,
	ENTRY_RESERVED,
	ENTRY_WAITING,
	ENTRY_PARKED,
	ENTRY_SETTLED,
	ENTRY_ORPHAN,
	ENTRY_STATES,
};

struct pipeline;

/* Why a message becomes a dead letter. One allocation. */
struct grave {
	int reason;         /* enum pipeline_reason */
	uint32_t n_refused; /* by its target */
	bool is_refused;    /* not for its own sake: the target took nothing when it was tried last */
	char exit[32];      /* how the worker's process ended, may be empty */
	char error[];       /* what the handler or the runtime said, may be empty */
};

struct entry {
	struct list link;        /* READY: ready, suspects or letters; PARKED: parked; BEHIND: its group's queue */
	struct heap_node due;    /* WAITING: in the heap of the ledger */
	struct entry *lane_next; /* next higher receipt of the lane */
	struct lane *lane;
	struct pipeline *pipeline; /* RESERVED and ORPHAN: whose it is */
	struct order_group *group; /* NULL: the pipeline has no order */
	struct msg_batch *batch;   /* holds the row; NULL once settled */
	const uint8_t *row;
	uint32_t row_len, body_len;
	int64_t receipt;
	uint64_t id; /* RESERVED: the delivery's id */
	int64_t admitted_us;
	int64_t timestamp_ms;       /* the broker's */
	int64_t first_delivered_ms; /* Unix time of its first delivery by this process; 0: none yet */
	uint32_t n_probed;          /* failures while the circuit was not closed */
	uint32_t attempt;           /* of the running or next delivery, from 1 */
	enum entry_state state;
	bool is_suspect;     /* may have killed a worker: delivered alone */
	bool is_broken;      /* RESERVED, ORPHAN: a call was broken, or its worker ended; what it returns proves nothing */
	struct grave *grave; /* why it is to become a dead letter, allocated; NULL: it is not */
};

struct ledger {
	const struct pipeline_conf *conf;
	struct slots entries;
	struct order order;
	struct list ready;    /* oldest first */
	struct list suspects; /* READY, to be delivered one at a time */
	struct list letters;  /* READY, to be published once more */
	struct list parked;   /* in the order of their publishing */
	struct heap waiting;
	size_t n_in[ENTRY_STATES];
	size_t n_refused;    /* whose grave says is_refused */
	uint64_t n_released; /* messages that left the ledger since the start, for the source's budget */
	size_t bytes_released;
};

void ledger_init(struct ledger *ledger, const struct pipeline_conf *conf);
void ledger_done(struct ledger *ledger); /* every lane is closed */

/* A message came. It becomes READY or BEHIND. */
struct entry *ledger_admit(struct ledger *ledger, struct msg_batch *batch, const struct msg_item *item, int64_t now_us);

/* A message came that an earlier owner had settled: it only keeps its place in the lane until the position passes it.
 * Returns whether the position moved. */
bool ledger_skip(struct ledger *ledger, const struct msg_item *item);

/* The entry to be delivered next, NULL: none. Suspects are not asked for here. */
struct entry *ledger_next(const struct ledger *ledger);

void ledger_reserve(struct ledger *ledger, struct entry *entry, uint64_t id);

/* RESERVED or PARKED entries (park: also READY). Each returns false when the entry was an ORPHAN, which it frees:
 * nothing is to be told to the broker. After `settle` the entry may be gone; the lane's position may have moved. */
bool ledger_settle(struct ledger *ledger, struct entry *entry);
bool ledger_wait(
	struct ledger *ledger, struct entry *entry, int64_t due_us); /* for its next attempt, already counted */
bool ledger_return(struct ledger *ledger, struct entry *entry);  /* at the front again */
bool ledger_park(struct ledger *ledger, struct entry *entry);    /* keeps its lane and group */

/* An entry with a grave: what its target said, and, WAITING, that it waits no more. */
void ledger_refused(struct ledger *ledger, struct entry *entry, bool by_target);
void ledger_hurry(struct ledger *ledger, struct entry *entry, int64_t now_us);

/* WAITING entries whose moment has come become READY, before the others or after them, those with a grave as letters;
 * returns the next moment or CLOCK_NEVER. */
int64_t ledger_wake(struct ledger *ledger, int64_t now_us, bool to_front);

/* The lane is gone: see the drawing. The lane is freed at once or with its last orphan. */
void ledger_lane_close(struct ledger *ledger, struct lane *lane);

/* The sentence that is wrong, or NULL. O(entries). */
const char *ledger_check(const struct ledger *ledger, const struct list *lanes);

#endif
