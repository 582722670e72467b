/* SPDX-License-Identifier: MIT */
/* A stage with one lane and room for two workers, for the tests of the dispatcher. */
#ifndef QBUS_TEST_FIXTURE_H
#define QBUS_TEST_FIXTURE_H

#include "stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
	struct stage stage;
	struct lane *lane;
	struct stage_worker a, b;
};

static inline struct fixture *begin(uint32_t traits, enum pipeline_ordering ordering)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	log_configure(LOG_ERROR, false);
	stage_init(&fixture->stage, traits, ordering);
	fixture->lane = stage_lane(&fixture->stage, 0, 0, "");
	return fixture;
}

static inline void end(struct fixture *fixture)
{
	assert_null(dispatcher_check(fixture->stage.dispatcher));
	if (fixture->a.is_there)
		stage_worker_die(&fixture->stage, &fixture->a, true);
	if (fixture->b.is_there)
		stage_worker_die(&fixture->stage, &fixture->b, true);
	stage_done(&fixture->stage);
	free(fixture);
}

static inline void arrive(struct fixture *fixture, int64_t n)
{
	int64_t first = fixture->lane->newest + 1;
	for (int64_t i = 0; i < n; i++)
		stage_arrive(&fixture->stage, fixture->lane, first + i, 1);
	stage_turn(&fixture->stage, 1);
}

static inline void retry(struct fixture *fixture, int64_t delay_us)
{
	struct stage *stage = &fixture->stage;
	dispatcher_retry(&fixture->a.worker, stage_take(&fixture->a, 0), delay_us, "no", stage->now_us);
	dispatcher_settled(stage->dispatcher, &fixture->a.worker, stage->now_us);
}

static inline void reject(struct fixture *fixture)
{
	struct stage *stage = &fixture->stage;
	dispatcher_reject(&fixture->a.worker, stage_take(&fixture->a, 0), "bad");
	dispatcher_settled(stage->dispatcher, &fixture->a.worker, stage->now_us);
}

#endif
