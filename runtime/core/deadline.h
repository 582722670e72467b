/* SPDX-License-Identifier: MIT */
/* The clocks of a worker: one for the delivery whose handler runs, which is the oldest that it holds, and one for each
 * part of that handler which the worker gave a limit of its own, nested. Each goes through the same stages:
 *
 *     RUNS -> TOLD -> BREAKING            handler_timeout or the limit is over; handler_break later
 *
 * and the delivery's own ends the worker handler_grace after it was told. While any of them is not RUNS the worker gets
 * nothing new. Loop thread only; time is an argument. */
#ifndef QBUS_CORE_DEADLINE_H
#define QBUS_CORE_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

struct dispatcher;
struct worker;

enum { DEADLINE_PARTS_MAX = 32 };

enum deadline_stage { DEADLINE_RUNS, DEADLINE_TOLD, DEADLINE_BREAKING };

struct deadline {
	int64_t at_us;
	int64_t break_us; /* TOLD: when calls begin to be broken for its sake; CLOCK_NEVER: they are not */
	enum deadline_stage stage;
	bool has_broken; /* something was */
};

/* A part of the handler of delivery `id`. One that lies behind its delivery's deadline, or behind that of a part around
 * it, never comes to its own end. */
struct deadline_part {
	struct deadline deadline;
	uint64_t id;
	uint32_t level;
};

/* The deadline of this delivery shall be at least for_us from now; returns what is left in us, 0: not granted. Only the
 * clock of the oldest delivery runs. */
int64_t deadline_extend(
	struct dispatcher *dispatcher, struct worker *worker, uint64_t id, int64_t for_us, int64_t now_us);

/* The deadline of the oldest delivery of this worker, which it holds, has passed now. */
void deadline_pass(struct dispatcher *dispatcher, struct worker *worker, int64_t now_us);

/* A part of this level (1 to DEADLINE_PARTS_MAX) of the delivery's handler begins, and ends the parts of this level and
 * of those inside; or it has ended. Nothing happens when the delivery is not held. */
void deadline_limit(
	struct dispatcher *dispatcher, struct worker *worker, uint64_t id, uint32_t level, int64_t for_us, int64_t now_us);
void deadline_unlimit(
	struct dispatcher *dispatcher, struct worker *worker, uint64_t id, uint32_t level, int64_t now_us);

/* Between break_begin and break_end (worker.h): a call that the worker hung in was made to fail. Say it before anything
 * is read from that worker again. */
void deadline_broken(struct worker *worker);

#endif
