/* SPDX-License-Identifier: MIT */
/* The core against a model of a broker: random arrivals, verdicts in any order, deaths, broken calls, revoked and lost
 * lanes, failed commits and restarts with the memo that the last commit left. After every step what must be true is
 * looked at.
 *
 * QBUS_SIM_STEPS and QBUS_SIM_SEED set the length and the sequence; a failure prints both. */
#include "stage.h"

#include "base/log.h"
#include "core/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PARTITIONS = 3, WORKERS = 3, OFFSETS = 4096, KEYS = 5, CHECK_EVERY = 16 };

struct broker_partition {
	int64_t end;       /* offsets below exist, unless they are holes */
	int64_t committed; /* highest settled receipt, -1: none */
	char memo[LANE_MEMO_BYTES + 1];
	bool is_hole[OFFSETS];
	bool is_done[OFFSETS];    /* a handler acked it, or its dead letter was confirmed */
	bool is_covered[OFFSETS]; /* settled for the broker too: by position or memo */
	uint64_t key[OFFSETS];
	struct lane *lane;
	uint64_t lane_number;
	int64_t fetched; /* next offset to arrive on the lane */
	bool is_closing;
};

struct sim {
	struct stage stage;
	struct broker_partition partitions[PARTITIONS];
	struct stage_worker workers[WORKERS];
	uint64_t seed;
	size_t n_done, n_orphan_verdicts, n_restarts, n_lost, n_drained, n_skipped, n_deaths, n_failed_commits;
	size_t n_broken, n_ended; /* acks of broken deliveries, workers ended */
};

static uint64_t pick(struct sim *sim, uint64_t n)
{
	return retry_random(&sim->seed) % n;
}

static void sim_open(struct sim *sim, size_t p)
{
	struct broker_partition *partition = &sim->partitions[p];
	partition->lane = stage_lane(&sim->stage, (int)p, partition->committed + 1, partition->memo);
	partition->lane_number = partition->lane->number;
	partition->fetched = partition->committed + 1;
	partition->is_closing = false;
}

static void sim_start(struct sim *sim, enum pipeline_ordering ordering)
{
	uint64_t last_lane = sim->stage.last_lane;
	uint32_t last_worker = sim->stage.last_worker;
	stage_init(&sim->stage, QB_SETTLE_PREFIX, ordering);
	sim->stage.conf.max_attempts = 0;
	sim->stage.conf.handler_timeout_us = 50000;
	sim->stage.conf.handler_break_us = 20000;
	sim->stage.conf.handler_grace_us = 200000;
	sim->stage.last_lane = last_lane;
	sim->stage.last_worker = last_worker;
	for (size_t p = 0; p < PARTITIONS; p++)
		sim_open(sim, p);
	for (size_t w = 0; w < WORKERS; w++)
		stage_worker_join(&sim->stage, &sim->workers[w], 1 + (uint32_t)pick(sim, 8));
}

/* The broker keeps what it is told, unless the commit fails; it is told the truth or the test ends here. */
static void sim_commit(struct sim *sim, bool fails)
{
	for (struct source_order *order; (order = stage_order(&sim->stage, ORDER_SETTLE)); free(order)) {
		for (size_t i = 0; i < order->n; i++) {
			const struct qb_settlement *settlement = &order->settlements[i];
			for (size_t p = 0; p < PARTITIONS; p++) {
				struct broker_partition *partition = &sim->partitions[p];
				if (partition->lane_number != settlement->lane || !partition->lane)
					continue;
				pipeline_sink()->kept(sim->stage.pipeline, partition->lane, settlement->receipt, fails ? -5 : 0);
				if (fails) {
					sim->n_failed_commits++;
					continue;
				}
				assert_true(settlement->receipt >= partition->committed);
				for (int64_t o = partition->committed + 1; o <= settlement->receipt; o++)
					assert_true(partition->is_hole[o] || partition->is_done[o]);
				partition->committed = settlement->receipt;
				memcpy(partition->memo, settlement->memo.data, settlement->memo.len);
				partition->memo[settlement->memo.len] = '\0';
			}
		}
	}
}

/* What position and memo cover, as the next owner would read it. */
static void sim_read_memo(struct sim *sim)
{
	for (size_t p = 0; p < PARTITIONS; p++) {
		struct broker_partition *partition = &sim->partitions[p];
		struct lane *lane = lane_new(1, "topic", 5, (int)p, partition->committed + 1);
		if (*partition->memo)
			assert_int_equal(lane_memo_read(lane, partition->memo, strlen(partition->memo)), 0);
		for (int64_t o = 0; o < partition->end; o++) {
			bool is_skipped = lane_is_skipped(lane, o);
			partition->is_covered[o] = o <= partition->committed || is_skipped;
			assert_true(!partition->is_covered[o] || partition->is_hole[o] || partition->is_done[o]);
		}
		lane_free(lane);
	}
}

static void step_produce(struct sim *sim)
{
	struct broker_partition *partition = &sim->partitions[pick(sim, PARTITIONS)];
	if (partition->end == OFFSETS)
		return;
	partition->is_hole[partition->end] = pick(sim, 10) == 0;
	partition->key[partition->end] = 1 + pick(sim, KEYS);
	partition->end++;
}

static void step_arrive(struct sim *sim)
{
	struct broker_partition *partition = &sim->partitions[pick(sim, PARTITIONS)];
	for (uint64_t n = 1 + pick(sim, 4); n && partition->lane && !partition->is_closing; n--) {
		while (partition->fetched < partition->end && partition->is_hole[partition->fetched])
			partition->fetched++;
		if (partition->fetched == partition->end)
			return;
		stage_arrive(&sim->stage, partition->lane, partition->fetched, partition->key[partition->fetched]);
		partition->fetched++;
	}
}

static struct broker_partition *sim_partition_of(struct sim *sim, uint64_t lane)
{
	for (size_t p = 0; p < PARTITIONS; p++)
		if (sim->partitions[p].lane && sim->partitions[p].lane_number == lane)
			return &sim->partitions[p];
	return NULL;
}

static void step_verdict(struct sim *sim)
{
	struct stage_worker *worker = &sim->workers[pick(sim, WORKERS)];
	if (!worker->n_ids)
		return;
	size_t index = (size_t)pick(sim, worker->n_ids);
	int64_t receipt = worker->receipts[index];
	struct broker_partition *partition = sim_partition_of(sim, worker->lanes[index]);
	uint64_t id = stage_take(worker, index);
	switch (pick(sim, 8)) {
	case 0:
		dispatcher_retry(&worker->worker, id, (int64_t)pick(sim, 50000), "no", sim->stage.now_us);
		break;
	case 1:
		dispatcher_release(&worker->worker, id);
		break;
	default:
		if (worker_find(&worker->worker, id)->is_broken && pick(sim, 2)) { /* in a run it has failed */
			stage_ack(&sim->stage, worker, id);
			sim->n_broken++;
			return;
		}
		if (partition) {
			assert_false(partition->is_covered[receipt]); /* settled for the broker, and yet delivered again */
			partition->is_done[receipt] = true;
			sim->n_done++;
		} else {
			sim->n_orphan_verdicts++;
		}
		assert_int_equal(dispatcher_ack_meant(&worker->worker, id), 0);
		assert_int_equal(dispatcher_ack(&worker->worker, id, 1), 1); /* a second one is late */
	}
	dispatcher_settled(sim->stage.dispatcher, &worker->worker, sim->stage.now_us);
}

static void step_death(struct sim *sim)
{
	struct stage_worker *worker = &sim->workers[pick(sim, WORKERS)];
	stage_worker_die(&sim->stage, worker, pick(sim, 2));
	stage_worker_join(&sim->stage, worker, 1 + (uint32_t)pick(sim, 8));
	sim->n_deaths++;
}

/* Handlers begin and end parts with limits; calls are broken when they may be; who was ended is replaced. */
static void step_deadline(struct sim *sim)
{
	struct stage_worker *worker = &sim->workers[pick(sim, WORKERS)];
	uint32_t level = 1 + (uint32_t)pick(sim, 3);
	if (worker->is_being_broken)
		deadline_broken(&worker->worker);
	if (worker->was_ended) {
		stage_worker_die(&sim->stage, worker, false);
		stage_worker_join(&sim->stage, worker, 1 + (uint32_t)pick(sim, 8));
		sim->n_ended++;
	} else if (worker->n_ids && pick(sim, 2)) {
		deadline_limit(sim->stage.dispatcher, &worker->worker, worker->ids[0], level, 1 + (int64_t)pick(sim, 80000),
			sim->stage.now_us);
	} else if (worker->n_ids) {
		deadline_unlimit(sim->stage.dispatcher, &worker->worker, worker->ids[0], level, sim->stage.now_us);
	}
}

static void step_lane(struct sim *sim)
{
	size_t p = (size_t)pick(sim, PARTITIONS);
	struct broker_partition *partition = &sim->partitions[p];
	if (!partition->is_closing && pick(sim, 2)) {
		partition->is_closing = true;
		stage_lane_closing(&sim->stage, partition->lane);
		return;
	}
	if (partition->is_closing && partition->lane->is_drained) {
		assert_int_equal(partition->lane->n_running, 0);
		sim_commit(sim, false);
		sim->n_drained++;
	} else {
		sim->n_lost++; /* what was told and not kept is gone with it */
		while (stage_order(&sim->stage, ORDER_KINDS))
			continue;
	}
	stage_lane_close(&sim->stage, partition->lane);
	partition->lane = NULL;
	sim_read_memo(sim);
	sim_open(sim, p);
}

static void step_restart(struct sim *sim, enum pipeline_ordering ordering)
{
	for (size_t w = 0; w < WORKERS; w++)
		stage_worker_die(&sim->stage, &sim->workers[w], false);
	stage_done(&sim->stage);
	sim_read_memo(sim);
	sim_start(sim, ordering);
	sim->n_restarts++;
}

/* One key, or one partition, is in one hand at a time. */
static void sim_check_order(struct sim *sim, enum pipeline_ordering ordering)
{
	size_t in_hand[KEYS + 1 + PARTITIONS] = {0};
	if (ordering == ORDERING_NONE)
		return;
	for (size_t w = 0; w < WORKERS; w++) {
		for (size_t i = 0; i < sim->workers[w].n_ids; i++) {
			struct broker_partition *partition = sim_partition_of(sim, sim->workers[w].lanes[i]);
			if (!partition)
				continue;
			size_t group = ordering == ORDERING_KEY ? (size_t)partition->key[sim->workers[w].receipts[i]]
			                                        : KEYS + 1 + (size_t)(partition - sim->partitions);
			assert_int_equal(++in_hand[group], 1);
		}
	}
}

static void sim_step(struct sim *sim, enum pipeline_ordering ordering, size_t step)
{
	uint64_t dice = pick(sim, 1000);
	if (dice < 200)
		step_produce(sim);
	else if (dice < 500)
		step_arrive(sim);
	else if (dice < 840)
		step_verdict(sim);
	else if (dice < 940)
		step_deadline(sim);
	else if (dice < 960)
		step_death(sim);
	else if (dice < 970)
		step_lane(sim);
	else if (dice < 972)
		step_restart(sim, ordering);
	else
		sim_commit(sim, pick(sim, 4) == 0);
	stage_turn(&sim->stage, (int64_t)pick(sim, 20000));
	if (step % CHECK_EVERY == 0) {
		const char *wrong = dispatcher_check(sim->stage.dispatcher);
		if (wrong)
			fail_msg("%s", wrong);
		sim_check_order(sim, ordering);
	}
}

static bool sim_is_complete(const struct sim *sim)
{
	for (size_t p = 0; p < PARTITIONS; p++)
		for (int64_t o = 0; o < sim->partitions[p].end; o++)
			if (!sim->partitions[p].is_hole[o] && !sim->partitions[p].is_done[o])
				return false;
	return true;
}

/* Without any more faults every message is handled in the end, and the position reaches the end. */
static void sim_finish(struct sim *sim)
{
	for (size_t p = 0; p < PARTITIONS; p++) {
		if (!sim->partitions[p].is_closing)
			continue;
		stage_lane_close(&sim->stage, sim->partitions[p].lane);
		sim->partitions[p].lane = NULL;
		sim_read_memo(sim);
		sim_open(sim, p);
	}
	for (size_t turns = 0; !sim_is_complete(sim); turns++) {
		assert_true(turns < 1000000);
		step_arrive(sim);
		step_verdict(sim);
		step_deadline(sim);
		stage_turn(&sim->stage, 20000);
	}
}

static uint64_t setting(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 10) : fallback;
}

/* Logs run full (OFFSETS); then the broker begins anew. */
static void sim_run(enum pipeline_ordering ordering)
{
	size_t n_steps = setting("QBUS_SIM_STEPS", 300000) / 3, step = 0;
	uint64_t seed = setting("QBUS_SIM_SEED", 20240501) + (uint64_t)ordering;
	struct sim *sim = calloc(1, sizeof *sim), total = {.seed = 0};
	log_configure(LOG_ERROR, false);
	print_message("seed %llu, %zu steps\n", (unsigned long long)seed, n_steps);
	while (step < n_steps) {
		memset(sim, 0, sizeof *sim);
		sim->seed = seed + step;
		for (size_t p = 0; p < PARTITIONS; p++)
			sim->partitions[p].committed = LANE_RECEIPT_NONE;
		sim_start(sim, ordering);
		for (size_t i = 0; i < 20000 && step < n_steps; i++)
			sim_step(sim, ordering, step++);
		sim_finish(sim);
		for (size_t w = 0; w < WORKERS; w++)
			stage_worker_die(&sim->stage, &sim->workers[w], true);
		stage_done(&sim->stage);
		total.n_done += sim->n_done, total.n_lost += sim->n_lost, total.n_drained += sim->n_drained;
		total.n_restarts += sim->n_restarts, total.n_deaths += sim->n_deaths;
		total.n_orphan_verdicts += sim->n_orphan_verdicts, total.n_failed_commits += sim->n_failed_commits;
		total.n_broken += sim->n_broken, total.n_ended += sim->n_ended;
	}
	print_message(
		"done %zu, lanes lost %zu, drained %zu, restarts %zu, deaths %zu, orphan verdicts %zu, failed commits %zu, "
		"broken %zu, ended %zu\n",
		total.n_done, total.n_lost, total.n_drained, total.n_restarts, total.n_deaths, total.n_orphan_verdicts,
		total.n_failed_commits, total.n_broken, total.n_ended);
	/* Every fault struck. */
	assert_true(total.n_lost && total.n_drained && total.n_restarts && total.n_deaths);
	assert_true(total.n_orphan_verdicts && total.n_failed_commits && total.n_broken && total.n_ended);
	free(sim);
}

static void nothing_is_lost_or_committed_early_without_order(void **state)
{
	(void)state;
	sim_run(ORDERING_NONE);
}

static void nothing_is_lost_or_committed_early_in_partition_order(void **state)
{
	(void)state;
	sim_run(ORDERING_PARTITION);
}

static void nothing_is_lost_or_committed_early_in_key_order(void **state)
{
	(void)state;
	sim_run(ORDERING_KEY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_or_committed_early_without_order),
		cmocka_unit_test(nothing_is_lost_or_committed_early_in_partition_order),
		cmocka_unit_test(nothing_is_lost_or_committed_early_in_key_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
