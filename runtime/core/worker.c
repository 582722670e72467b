/* SPDX-License-Identifier: MIT */
/* What a worker holds, and how much it may. */
#include "core/worker.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>

/* WORKER_QUEUED_US: work that may lie queued at a worker, so that it never waits for the loop (a turn of it takes up to
 * a scheduler's slice on a busy machine) and little is taken back when it dies. WORKER_SPAN: ids between the oldest
 * held and the newest, a bound for workers that settle out of order. */
enum {
	WORKER_QUEUED_US = 4000,
	WORKER_CREDIT_MAX = 4096,
	WORKER_SPAN = 65536,
	WORKER_SLOTS_FIRST = 64,
	WORKER_ID_BITS = 40
};

void worker_init(struct worker *worker, const struct worker_ops *ops, uint32_t number)
{
	*worker = (struct worker){.ops = ops, .number = number, .credit = 1};
	worker->first_id = worker->base_id = worker->next_id = ((uint64_t)number << WORKER_ID_BITS) + 1;
	list_init(&worker->link);
	list_init(&worker->crew_link);
}

void worker_done(struct worker *worker)
{
	assert(!worker->n_held);
	free(worker->held);
	free(worker->parts);
	worker->held = NULL;
	worker->parts = NULL;
	worker->n_slots = 0;
}

static struct entry **worker_slot(const struct worker *worker, uint64_t id)
{
	return &worker->held[id & (worker->n_slots - 1)];
}

static void worker_grow(struct worker *worker)
{
	struct entry **old = worker->held;
	uint32_t n_old = worker->n_slots;
	worker->n_slots = n_old ? 2 * n_old : WORKER_SLOTS_FIRST;
	worker->held = alloc_zero(worker->n_slots * sizeof *worker->held);
	for (uint64_t id = worker->base_id; id < worker->next_id; id++)
		*worker_slot(worker, id) = old[id & (n_old - 1)];
	free(old);
}

uint64_t worker_hold(struct worker *worker, struct entry *entry)
{
	if (worker->next_id - worker->base_id >= worker->n_slots)
		worker_grow(worker);
	*worker_slot(worker, worker->next_id) = entry;
	worker->n_held++;
	return worker->next_id++;
}

struct entry *worker_find(const struct worker *worker, uint64_t id)
{
	return id >= worker->base_id && id < worker->next_id ? *worker_slot(worker, id) : NULL;
}

void worker_drop(struct worker *worker, uint64_t id)
{
	assert(worker_find(worker, id));
	*worker_slot(worker, id) = NULL;
	worker->n_held--;
	while (worker->base_id < worker->next_id && !*worker_slot(worker, worker->base_id))
		worker->base_id++;
}

bool worker_is_told(const struct worker *worker)
{
	bool is_told = worker->whole.stage != DEADLINE_RUNS;
	for (uint32_t i = 0; i < worker->n_parts; i++)
		is_told |= worker->parts[i].deadline.stage != DEADLINE_RUNS;
	return is_told;
}

uint32_t worker_room(const struct worker *worker)
{
	if (worker->is_full || worker->is_leaving || worker_is_told(worker) || worker->n_held >= worker->credit ||
		worker->next_id - worker->base_id >= WORKER_SPAN)
		return 0;
	return worker->credit - worker->n_held;
}

static uint32_t worker_fixed_credit(const struct worker *worker)
{
	if (worker->wanted && worker->limit)
		return worker->wanted < worker->limit ? worker->wanted : worker->limit;
	return worker->wanted ? worker->wanted : worker->limit;
}

void worker_limit(struct worker *worker, uint32_t credit)
{
	if (credit && (!worker->limit || credit < worker->limit))
		worker->limit = credit;
}

void worker_set_credit(struct worker *worker)
{
	uint32_t fixed = worker_fixed_credit(worker);
	if (fixed)
		worker->credit = fixed;
}

void worker_measure(struct worker *worker, uint32_t n, int64_t busy_us)
{
	int64_t each_x16 = 16 * (busy_us > 0 ? busy_us : 1) / n;
	if (!worker->handle_us_x16 || each_x16 < worker->handle_us_x16 / 4)
		worker->handle_us_x16 = each_x16; /* much faster than believed: believe it at once */
	else
		worker->handle_us_x16 += (each_x16 - worker->handle_us_x16) / 8;
	if (!worker->handle_us_x16)
		worker->handle_us_x16 = 1;
	if (worker_fixed_credit(worker))
		return;
	int64_t credit = 16 * (int64_t)WORKER_QUEUED_US / worker->handle_us_x16;
	int64_t growth = 4 * (int64_t)worker->credit; /* one lucky measurement does not fill a worker */
	credit = credit < growth ? credit : growth;
	worker->credit = credit < 1 ? 1 : credit > WORKER_CREDIT_MAX ? WORKER_CREDIT_MAX : (uint32_t)credit;
}

uint64_t worker_n_settled(const struct worker *worker)
{
	return worker->next_id - worker->first_id - worker->n_held;
}

const char *worker_check(const struct worker *worker)
{
	uint32_t n_held = 0;
	for (uint64_t id = worker->base_id; id < worker->next_id; id++)
		n_held += *worker_slot(worker, id) != NULL;
	if (n_held != worker->n_held)
		return "a worker does not know how many deliveries it holds";
	if (n_held && !*worker_slot(worker, worker->base_id))
		return "the oldest delivery of a worker is settled and was not passed";
	for (uint32_t i = 0; i < worker->n_parts; i++)
		if (!worker_find(worker, worker->parts[i].id))
			return "a worker has a limit for a delivery that it does not hold";
	if (worker->is_breaking && !worker_is_told(worker))
		return "calls of a worker are broken that has time left";
	return NULL;
}
