/* SPDX-License-Identifier: MIT */
/* Deadlines: told, broken, ended. One timer for each worker, set to the next thing that is due on any of its clocks. */
#include "core/deadline.h"

#include "core/board.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

static struct entry *deadline_entry(const struct worker *worker)
{
	return worker_find(worker, worker->base_id);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ---- the timer ---- */

static int64_t deadline_due_us(const struct deadline *deadline)
{
	if (deadline->stage == DEADLINE_RUNS)
		return deadline->at_us;
	return deadline->stage == DEADLINE_TOLD ? deadline->break_us : CLOCK_NEVER;
}

/* A part whose limit lies behind the delivery's deadline has no end of its own. */
static int64_t deadline_part_due_us(const struct worker *worker, const struct deadline_part *part)
{
	bool is_behind = part->deadline.at_us >= worker->whole.at_us;
	return is_behind && part->deadline.stage == DEADLINE_RUNS ? CLOCK_NEVER : deadline_due_us(&part->deadline);
}

/* The grace begins at the moment at which it was told: this process may have stood still before. */
static int64_t deadline_end_us(const struct worker *worker, const struct pipeline_conf *conf)
{
	return worker->whole.stage == DEADLINE_RUNS ? CLOCK_NEVER : worker->told_us + conf->handler_grace_us;
}

static void deadline_watch(struct dispatcher *dispatcher, struct worker *worker)
{
	const struct entry *oldest = deadline_entry(worker);
	if (!oldest || worker->is_overdue) {
		heap_remove(&dispatcher->deadlines, &worker->due);
		return;
	}
	int64_t at_us = earlier(deadline_due_us(&worker->whole), deadline_end_us(worker, oldest->pipeline->conf));
	for (uint32_t i = 0; i < worker->n_parts; i++)
		at_us = earlier(at_us, deadline_part_due_us(worker, &worker->parts[i]));
	heap_put(&dispatcher->deadlines, &worker->due, at_us);
}

/* ---- the end of a break ---- */

/* What is over already is told, and hangs again, if it does, in another call. */
static void deadline_break_later(struct deadline *deadline, const struct worker *worker, uint64_t id, int64_t now_us)
{
	const struct entry *entry = worker_find(worker, id);
	if (!entry || deadline->stage == DEADLINE_RUNS)
		return;
	int64_t after_us = entry->pipeline->conf->handler_break_us;
	deadline->stage = DEADLINE_TOLD;
	deadline->break_us = after_us < 0 ? CLOCK_NEVER : now_us + after_us;
}

static void deadline_break_end(struct worker *worker)
{
	if (worker->is_breaking)
		worker->ops->break_end(worker);
	worker->is_breaking = false;
}

/* A clock that calls were broken for is gone. The others wait their time before they break the next. */
static void deadline_calm(struct worker *worker, int64_t now_us)
{
	deadline_break_end(worker);
	deadline_break_later(&worker->whole, worker, worker->clock_id, now_us);
	for (uint32_t i = 0; i < worker->n_parts; i++)
		deadline_break_later(&worker->parts[i].deadline, worker, worker->parts[i].id, now_us);
}

/* Parts end from inside. */
static void deadline_drop_parts(struct worker *worker, uint32_t n_kept, int64_t now_us)
{
	bool was_breaking = false;
	while (worker->n_parts > n_kept)
		was_breaking |= worker->parts[--worker->n_parts].deadline.stage == DEADLINE_BREAKING;
	if (was_breaking)
		deadline_calm(worker, now_us);
}

void deadline_settled(struct worker *worker, uint64_t id, int64_t now_us)
{
	for (uint32_t i = 0; i < worker->n_parts; i++)
		if (worker->parts[i].id == id)
			deadline_drop_parts(worker, i, now_us);
}

void deadline_stop(struct dispatcher *dispatcher, struct worker *worker)
{
	heap_remove(&dispatcher->deadlines, &worker->due);
	deadline_break_end(worker);
	worker->n_parts = 0;
}

/* ---- the delivery's clock ---- */

/* It belongs to the oldest delivery and begins when its handler can start. A verdict for a younger one leaves it alone;
 * with none that is held it does not run. */
void deadline_restart(struct dispatcher *dispatcher, struct worker *worker, int64_t now_us)
{
	const struct entry *oldest = deadline_entry(worker);
	uint64_t id = oldest ? worker->base_id : 0;
	worker->busy_since_us = now_us;
	if (worker->clock_id != id) {
		bool was_breaking = worker->whole.stage == DEADLINE_BREAKING;
		worker->clock_id = id;
		worker->started_us = now_us;
		worker->whole = (struct deadline){.at_us = CLOCK_NEVER};
		if (oldest)
			worker->whole.at_us = now_us + oldest->pipeline->conf->handler_timeout_us;
		if (was_breaking)
			deadline_calm(worker, now_us);
	}
	deadline_watch(dispatcher, worker);
}

int64_t deadline_extend(
	struct dispatcher *dispatcher, struct worker *worker, uint64_t id, int64_t for_us, int64_t now_us)
{
	const struct entry *entry = worker_find(worker, id);
	if (!entry || id != worker->base_id || worker->is_overdue)
		return 0;
	const struct pipeline_conf *conf = entry->pipeline->conf;
	int64_t latest_us = worker->started_us + conf->handler_timeout_us + conf->max_extension_us;
	int64_t wanted_us = for_us < conf->max_extension_us ? earlier(now_us + for_us, latest_us) : latest_us;
	struct deadline *whole = &worker->whole;
	whole->at_us = wanted_us > whole->at_us ? wanted_us : whole->at_us;
	if (whole->stage != DEADLINE_RUNS && whole->at_us > now_us) {
		bool was_breaking = whole->stage == DEADLINE_BREAKING;
		whole->stage = DEADLINE_RUNS;
		whole->has_broken = false;
		if (was_breaking)
			deadline_calm(worker, now_us);
		crew_place(worker);
	}
	deadline_watch(dispatcher, worker);
	return whole->stage == DEADLINE_RUNS && whole->at_us > now_us ? whole->at_us - now_us : 0;
}

void deadline_pass(struct dispatcher *dispatcher, struct worker *worker, int64_t now_us)
{
	worker->started_us = now_us - deadline_entry(worker)->pipeline->conf->handler_timeout_us;
	worker->whole.at_us = now_us;
	deadline_watch(dispatcher, worker);
}

/* ---- parts ---- */

void deadline_limit(
	struct dispatcher *dispatcher, struct worker *worker, uint64_t id, uint32_t level, int64_t for_us, int64_t now_us)
{
	uint32_t n_around = 0;
	if (!worker_find(worker, id) || worker->is_overdue)
		return;
	while (n_around < worker->n_parts && worker->parts[n_around].level < level)
		n_around++;
	deadline_drop_parts(worker, n_around, now_us);
	if (!worker->parts)
		worker->parts = alloc_new(DEADLINE_PARTS_MAX * sizeof *worker->parts);
	int64_t at_us = for_us < CLOCK_NEVER - now_us ? now_us + for_us : CLOCK_NEVER;
	if (n_around) /* its end is that of the part around it at the latest */
		at_us = earlier(at_us, worker->parts[n_around - 1].deadline.at_us);
	worker->parts[worker->n_parts++] = (struct deadline_part){{.at_us = at_us}, id, level};
	crew_place(worker);
	deadline_watch(dispatcher, worker);
}

void deadline_unlimit(struct dispatcher *dispatcher, struct worker *worker, uint64_t id, uint32_t level, int64_t now_us)
{
	uint32_t n_around = 0;
	if (!worker_find(worker, id) || worker->is_overdue)
		return;
	while (n_around < worker->n_parts && worker->parts[n_around].level < level)
		n_around++;
	deadline_drop_parts(worker, n_around, now_us);
	crew_place(worker);
	deadline_watch(dispatcher, worker);
}

/* ---- what is due ---- */

static void deadline_tell(struct deadline *deadline, const struct pipeline_conf *conf, int64_t now_us)
{
	deadline->stage = DEADLINE_TOLD;
	deadline->break_us = conf->handler_break_us < 0 ? CLOCK_NEVER : now_us + conf->handler_break_us;
}

static void deadline_tell_whole(struct worker *worker, const struct entry *entry, int64_t now_us)
{
	struct pipeline *pipeline = entry->pipeline;
	const struct pipeline_conf *conf = pipeline->conf;
	deadline_tell(&worker->whole, conf, now_us);
	worker->told_us = now_us;
	pipeline->counts.deadlines++;
	log_say(LOG_WARN, conf->name, "handler is past its deadline worker=%u source=%s partition=%d receipt=%lld held=%u",
		worker->number, entry->lane->source, entry->lane->partition, (long long)entry->receipt, worker->n_held);
	worker->ops->cancel(worker, entry->id, conf->handler_grace_us);
}

/* All whose time is over, with one signal. */
static void deadline_tell_parts(struct worker *worker, int64_t now_us)
{
	bool is_over = false;
	for (uint32_t i = 0; i < worker->n_parts; i++) {
		struct deadline_part *part = &worker->parts[i];
		if (part->deadline.stage != DEADLINE_RUNS || deadline_part_due_us(worker, part) > now_us)
			continue;
		struct pipeline *pipeline = worker_find(worker, part->id)->pipeline;
		deadline_tell(&part->deadline, pipeline->conf, now_us);
		pipeline->counts.limits++;
		log_say(LOG_DEBUG, pipeline->conf->name, "a part of a handler is past its limit worker=%u depth=%u",
			worker->number, part->level);
		is_over = true;
	}
	if (is_over)
		worker->ops->remind(worker);
}

static bool deadline_breaks_now(struct deadline *deadline, int64_t now_us)
{
	if (deadline->stage != DEADLINE_TOLD || deadline->break_us > now_us)
		return false;
	deadline->stage = DEADLINE_BREAKING;
	return true;
}

/* Begun anew for each clock that comes to it: what was tried before may be used up. */
static void deadline_break(struct worker *worker, int64_t now_us)
{
	bool is_due = deadline_breaks_now(&worker->whole, now_us);
	for (uint32_t i = 0; i < worker->n_parts; i++)
		is_due = deadline_breaks_now(&worker->parts[i].deadline, now_us) || is_due;
	if (!is_due)
		return;
	deadline_break_end(worker);
	worker->is_breaking = true;
	worker->ops->break_begin(worker);
}

/* A worker that handles what it holds together has used the broken call for all of it. */
static void deadline_mark(struct worker *worker)
{
	uint64_t end = worker->is_batching ? worker->next_id : worker->base_id + 1;
	for (uint64_t id = worker->base_id; id < end; id++) {
		struct entry *entry = worker_find(worker, id);
		if (entry)
			entry->is_broken = true;
	}
}

/* The end reaches the programs that the handler waits for before it reaches the handler: exec() returns as if whole. */
static void deadline_end(struct dispatcher *dispatcher, struct worker *worker, struct pipeline *pipeline)
{
	pipeline->counts.ended++;
	deadline_mark(worker);
	deadline_stop(dispatcher, worker);
	worker->is_leaving = worker->is_overdue = true;
	crew_place(worker);
	worker->ops->end(worker, "slow_worker", "the handler did not end within its deadline and grace");
}

static void deadline_run(struct dispatcher *dispatcher, struct worker *worker)
{
	struct entry *entry = deadline_entry(worker);
	int64_t now_us = dispatcher->now_us;
	if (deadline_end_us(worker, entry->pipeline->conf) <= now_us) {
		deadline_end(dispatcher, worker, entry->pipeline);
		return;
	}
	if (worker->whole.stage == DEADLINE_RUNS && worker->whole.at_us <= now_us)
		deadline_tell_whole(worker, entry, now_us);
	deadline_tell_parts(worker, now_us);
	deadline_break(worker, now_us);
	crew_place(worker);
	deadline_watch(dispatcher, worker);
}

void deadline_tick(struct dispatcher *dispatcher)
{
	for (struct heap_node *node; (node = heap_peek(&dispatcher->deadlines)) && node->at_us <= dispatcher->now_us;)
		deadline_run(dispatcher, list_item(node, struct worker, due));
}

/* ---- what was broken ---- */

/* The innermost part whose own time is over; NULL: it is the delivery's. */
static struct deadline_part *deadline_guilty_part(const struct worker *worker)
{
	for (uint32_t i = worker->n_parts; i-- > 0;)
		if (worker->parts[i].deadline.stage != DEADLINE_RUNS)
			return &worker->parts[i];
	return NULL;
}

void deadline_broken(struct worker *worker)
{
	struct entry *oldest = deadline_entry(worker);
	if (!oldest || !worker->is_breaking)
		return;
	struct deadline_part *part = deadline_guilty_part(worker);
	struct deadline *deadline = part ? &part->deadline : &worker->whole;
	if (!part)
		deadline_mark(worker);
	if (deadline->has_broken)
		return;
	deadline->has_broken = true;
	worker->n_breaks++;
	if (part)
		worker_find(worker, part->id)->pipeline->counts.limits_broken++;
	else
		oldest->pipeline->counts.broken++;
}
