/* SPDX-License-Identifier: MIT */
/* Tags against a broker of twenty lines that closes the channel at whatever a real one would. */
#include "tags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define N_TAGS 20000u

enum fate { ABSENT, UNACKED, DONE };

struct model {
	unsigned char fate[N_TAGS + 1];   /* as the broker sees it */
	unsigned char judged[N_TAGS + 1]; /* the runtime gave its verdict */
	uint64_t lowest;                  /* nothing below is unacked */
	size_t n_frames;
};

static void broker_ack(struct model *model, uint64_t tag, bool multiple)
{
	assert_in_range(tag, 1, N_TAGS);
	assert_int_equal(model->fate[tag], UNACKED); /* else 406, unknown delivery tag */
	for (uint64_t i = multiple ? model->lowest : tag; i <= tag; i++) {
		if (model->fate[i] == UNACKED)
			assert_true(model->judged[i]); /* else a message is lost */
		model->fate[i] = DONE;
	}
	while (model->lowest <= N_TAGS && model->fate[model->lowest] == DONE)
		model->lowest++;
	model->n_frames++;
}

static void flush(struct tags *tags, struct model *model)
{
	uint64_t taken[7];
	size_t n;

	if (tags_take_run(tags, taken))
		broker_ack(model, taken[0], true);
	while ((n = tags_take_single(tags, taken, 7)))
		for (size_t i = 0; i < n; i++)
			broker_ack(model, taken[i], false);
	assert_int_equal(tags->n_settled, 0);
}

/* One random verdict: mostly near the bottom, sometimes twice, sometimes of a tag that never came. */
static void verdict(struct tags *tags, struct model *model, uint64_t newest, int64_t now_us)
{
	uint64_t span = newest + 3 - model->lowest, tag = model->lowest + (uint64_t)rand() % span;
	bool is_held = tag <= newest && !model->judged[tag];

	if (rand() % 10) {
		assert_int_equal(tags_settle(tags, tag, now_us), is_held);
	} else {
		assert_int_equal(tags_remove(tags, tag), is_held);
		if (is_held)
			model->fate[tag] = DONE; /* basic.reject */
	}
	if (is_held)
		model->judged[tag] = 1;
}

static void every_tag_is_answered_once_whatever_the_order(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct model *model = calloc(1, sizeof(*model));
		struct tags tags;
		uint64_t newest = 0;
		int64_t now_us = 0;

		srand(seed);
		model->lowest = 1;
		tags_init(&tags);
		while (model->lowest <= N_TAGS) {
			while (newest < N_TAGS && tags.n_held + tags.n_settled < 100) {
				tags_add(&tags, ++newest);
				model->fate[newest] = UNACKED;
			}
			for (int i = rand() % 40; i >= 0 && model->lowest <= newest; i--)
				verdict(&tags, model, newest, now_us);
			now_us += rand() % 3000;
			if (tags_is_due(&tags, 100, now_us) || newest == N_TAGS)
				flush(&tags, model);
			while (model->lowest <= newest && model->fate[model->lowest] == DONE)
				model->lowest++;
			if (tags_check(&tags))
				fail_msg("seed %u: %s", seed, tags_check(&tags));
		}
		assert_int_equal(tags.n_held + tags.n_settled, 0);
		tags_done(&tags);
		free(model);
	}
}

static void a_run_is_one_ack(void **state)
{
	(void)state;
	struct tags tags;
	uint64_t tag;

	tags_init(&tags);
	for (uint64_t i = 1; i <= 1000; i++)
		tags_add(&tags, i);
	for (uint64_t i = 1000; i > 1; i--)
		assert_true(tags_settle(&tags, i, 0));
	assert_false(tags_take_run(&tags, &tag));
	assert_true(tags_settle(&tags, 1, 0));
	assert_true(tags_take_run(&tags, &tag));
	assert_int_equal(tag, 1000);
	assert_false(tags_take_run(&tags, &tag));
	tags_done(&tags);
}

/* `multiple` on a tag that was rejected closes the channel. */
static void a_run_ends_with_a_tag_that_is_open(void **state)
{
	(void)state;
	struct tags tags;
	uint64_t tag;

	tags_init(&tags);
	for (uint64_t i = 1; i <= 4; i++)
		tags_add(&tags, i);
	assert_true(tags_settle(&tags, 1, 0));
	assert_true(tags_settle(&tags, 2, 0));
	assert_true(tags_remove(&tags, 3));
	assert_true(tags_take_run(&tags, &tag));
	assert_int_equal(tag, 2);
	tags_done(&tags);
}

static void settled_tags_wait_for_a_quarter_or_their_age(void **state)
{
	(void)state;
	struct tags tags;

	tags_init(&tags);
	for (uint64_t i = 1; i <= 100; i++)
		tags_add(&tags, i);
	assert_false(tags_is_due(&tags, 100, 1 << 30));
	assert_int_equal(tags_due_us(&tags), INT64_MAX);
	assert_true(tags_settle(&tags, 5, 1000));
	assert_false(tags_is_due(&tags, 100, 1000));
	assert_int_equal(tags_due_us(&tags), 1000 + TAGS_PATIENCE_US);
	assert_true(tags_is_due(&tags, 100, 1000 + TAGS_PATIENCE_US));
	assert_true(tags_is_due(&tags, 1, 1000));
	for (uint64_t i = 6; i < 29; i++)
		assert_true(tags_settle(&tags, i, 1001));
	assert_false(tags_is_due(&tags, 100, 1001));
	assert_true(tags_settle(&tags, 29, 1001));
	assert_true(tags_is_due(&tags, 100, 1001));
	tags_done(&tags);
}

static void a_tag_held_for_ever_costs_no_memory(void **state)
{
	(void)state;
	struct tags tags;
	uint64_t taken[100];

	tags_init(&tags);
	tags_add(&tags, 1);
	for (uint64_t tag = 2; tag < 1000000;) {
		for (int i = 0; i < 100; i++, tag++) {
			tags_add(&tags, tag);
			assert_true(tags_settle(&tags, tag, 0));
		}
		assert_int_equal(tags_take_single(&tags, taken, 100), 100);
	}
	assert_in_range(tags.capacity, 1, 1024);
	assert_true(tags_settle(&tags, 1, 0));
	tags_done(&tags);
}

static void a_cleared_channel_counts_from_one(void **state)
{
	(void)state;
	struct tags tags;

	tags_init(&tags);
	tags_add(&tags, 9);
	assert_true(tags_settle(&tags, 9, 0));
	tags_clear(&tags);
	assert_false(tags_settle(&tags, 9, 0));
	tags_add(&tags, 1);
	assert_null(tags_check(&tags));
	assert_true(tags_settle(&tags, 1, 0));
	tags_done(&tags);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tag_is_answered_once_whatever_the_order),
		cmocka_unit_test(a_run_is_one_ack),
		cmocka_unit_test(a_run_ends_with_a_tag_that_is_open),
		cmocka_unit_test(settled_tags_wait_for_a_quarter_or_their_age),
		cmocka_unit_test(a_tag_held_for_ever_costs_no_memory),
		cmocka_unit_test(a_cleared_channel_counts_from_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
