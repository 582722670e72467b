/* SPDX-License-Identifier: MIT */
/* A worker as the dispatcher sees it: what it holds, how much more it may, and four things that can be asked of it. The
 * session embeds it; the core knows no socket and no process.
 *
 * Ids of deliveries rise by one within a worker, and no two workers that are there have one in common. */
#ifndef QBUS_CORE_WORKER_H
#define QBUS_CORE_WORKER_H

#include "base/heap.h"
#include "base/list.h"
#include "core/deadline.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker;
struct entry;
struct crew;
struct pipeline;

/* News for a worker, from the dispatcher to the session. None of them may call the dispatcher back before it returns.
 */
struct worker_ops {
	/* Send these entries (n >= 1, of one pipeline and one attempt) with the ids first_id, first_id + 1, ... What the
	 * session does not copy it keeps alive with msg_batch_ref(entry->batch); the entries themselves may go any time.
	 * index: place of the pipeline in the list that the worker gave to dispatcher_worker_add. */
	void (*deliver)(struct worker *worker, size_t index, uint64_t first_id, uint32_t attempt, int64_t remaining_us,
		struct entry *const *entries, size_t n);
	void (*cancel)(struct worker *worker, uint64_t id, int64_t grace_us); /* told: the deadline has passed */
	void (*remind)(struct worker *worker); /* told: a part of the handler is past its limit; a signal, no word */
	/* Until break_end a call that it hangs in may be made to fail (deadline_broken says that one was); begun again only
	 * after an end. */
	void (*break_begin)(struct worker *worker);
	void (*break_end)(struct worker *worker);
	void (*drain)(struct worker *worker, const char *reason); /* finish what you hold, then leave */
	/* End it: a process of ours is killed, and what it held is its own until it is gone; the session of any other
	 * worker closes after it sent ERROR with code and reason. The session calls dispatcher_worker_gone later, from the
	 * loop, never from here. */
	void (*end)(struct worker *worker, const char *code, const char *reason);
};

struct worker {
	const struct worker_ops *ops;
	uint32_t number;       /* of the session, for the log */
	const char *pool;      /* NULL: not spawned by us */
	uint32_t wanted;       /* credit asked for; 0: automatic */
	bool is_full;          /* set by the session: its output is not being read; nothing more is delivered */
	bool is_batching;      /* it handles what it holds together; set before dispatcher_worker_add */
	uint64_t memory_bytes; /* what it reported last */
	const char *exit;      /* set before dispatcher_worker_gone: how its process ended ("exit 255"); NULL: not known */

	/* the dispatcher's, do not touch */
	struct list link, crew_link;
	struct crew *crew;
	size_t *crew_count;  /* the counter of the list on which crew_link is */
	struct entry **held; /* ring, index id & (n_slots - 1); NULL: settled */
	uint32_t n_slots, n_held;
	uint64_t base_id, next_id; /* oldest id held, next id given */
	uint64_t first_id;         /* of its first delivery */
	uint32_t limit;            /* the smallest credit that its pipelines set; 0: none does */
	uint32_t credit;
	int64_t busy_since_us; /* of the last verdicts, or of the delivery to an idle worker: what is measured from */
	int64_t handle_us_x16; /* measured time of one message, in 1/16 us, smoothed; 0: not known */
	uint64_t clock_id;     /* the delivery that `whole` belongs to: the oldest one; 0: none */
	int64_t started_us;    /* when its handler could start */
	int64_t told_us;       /* when it was told, if it was */
	struct deadline whole; /* of the delivery */
	struct deadline_part *parts;
	uint32_t n_parts;
	uint32_t n_breaks; /* clocks for whose sake something was broken, since it began */
	struct heap_node due;
	uint32_t n_settled;          /* in this frame */
	struct pipeline *settled_of; /* the pipeline and the broker's timestamp of the first of these */
	int64_t settled_stamp_ms;
	bool is_breaking; /* between break_begin and break_end */
	bool is_overdue;  /* past the grace too: it is being ended */
	bool is_alone;    /* holds one suspect and gets nothing else */
	bool is_leaving;
	uint64_t swollen_id; /* the delivery that was told that its worker takes too much memory */
};

enum { WORKER_NUMBER_MAX = (1 << 23) - 1 };

/* Before dispatcher_worker_add. number: from 1 to WORKER_NUMBER_MAX, that of no other worker; ids are built on it. */
void worker_init(struct worker *worker, const struct worker_ops *ops, uint32_t number);
void worker_done(struct worker *worker);

/* The dispatcher's tools. */
uint64_t worker_hold(struct worker *worker, struct entry *entry);    /* returns the id */
struct entry *worker_find(const struct worker *worker, uint64_t id); /* NULL: not held */
void worker_drop(struct worker *worker, uint64_t id);                /* must be held */
bool worker_is_told(const struct worker *worker);                    /* one of its clocks is over */
uint32_t worker_room(const struct worker *worker);                   /* how many more it may hold now */
/* One of its pipelines sets this credit (0: automatic). Then, and when `wanted` changes: worker_set_credit. */
void worker_limit(struct worker *worker, uint32_t credit);
void worker_set_credit(struct worker *worker);
/* n messages were settled after busy_us: measures, and sets the credit where it is automatic. */
void worker_measure(struct worker *worker, uint32_t n, int64_t busy_us);
uint64_t worker_n_settled(const struct worker *worker); /* verdicts since worker_init */
const char *worker_check(const struct worker *worker);

#endif
