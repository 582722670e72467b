/* SPDX-License-Identifier: MIT */
/* Tests of the JSON pages. */
#include "admin/api.h"
#include "core/board.h"
#include "scene.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct scene scene;
static bool is_ready;

static int set(void **state)
{
	(void)state;
	scene_set(&scene);
	return 0;
}

static void write_ready(FILE *out, const struct snapshot *snapshot)
{
	is_ready = api_write_ready(out, snapshot);
}

static json_t *read_page(void (*write)(FILE *out, const struct snapshot *snapshot))
{
	char *text = scene_text(&scene, write);
	json_t *page = json_loads(text, 0, NULL);
	if (!page)
		fail_msg("no JSON: %s", text);
	free(text);
	return page;
}

/* The only reason, and what it names. */
static void assert_reason(const char *reason, const char *key, const char *value)
{
	json_t *page = read_page(write_ready), *reasons = json_object_get(page, "reasons");
	assert_int_equal(json_array_size(reasons), 1);
	const json_t *item = json_array_get(reasons, 0);
	assert_string_equal(json_string_value(json_object_get(item, "reason")), reason);
	if (key)
		assert_string_equal(json_string_value(json_object_get(item, key)), value);
	assert_false(is_ready);
	assert_false(json_is_true(json_object_get(page, "ready")));
	json_decref(page);
}

static void without_a_reason_it_is_ready(void **state)
{
	(void)state;
	json_t *page = read_page(write_ready);
	assert_true(is_ready);
	assert_true(json_is_true(json_object_get(page, "ready")));
	assert_int_equal(json_array_size(json_object_get(page, "reasons")), 0);
	json_decref(page);
}

static void each_trouble_is_a_reason(void **state)
{
	char why[] = "the topic is gone";
	(void)state;
	scene.snapshot.is_listening = false;
	assert_reason("not listening", NULL, NULL);
	set(NULL);
	scene.snapshot.is_draining = true;
	scene.snapshot.is_listening = false;
	assert_reason("draining", NULL, NULL);
	set(NULL);
	scene.pipelines[SCENE_GOOD].look.n_workers = 0;
	assert_reason("no worker", "pipeline", "orders");
	set(NULL);
	scene.pipelines[SCENE_GOOD].counts.is_connected = false;
	assert_reason("broker not connected", "broker", "events");
	set(NULL);
	scene.pipelines[SCENE_GOOD].counts.is_connected = false;
	scene.pipelines[SCENE_GOOD].look.absent = why;
	assert_reason("broker not connected", "why", why);
	set(NULL);
	scene.pipelines[SCENE_GOOD].is_paused = true;
	assert_reason("pipeline paused", "pipeline", "orders");
	set(NULL);
	scene.lanes[1].is_wedged = true;
	assert_reason("lane wedged", "source", "orders");
	set(NULL);
	scene.lanes[1].is_cancelled = true;
	scene.lanes[1].trouble = why;
	assert_reason("consumer cancelled", "why", why);
	set(NULL);
	scene.pipelines[SCENE_GOOD].look.cancelled = why;
	assert_reason("consumer cancelled", "why", why);
	set(NULL);
	scene.pipelines[SCENE_GOOD].look.missing = why;
	assert_reason("dead-letter target missing", "why", why);
}

static void the_status_tells_everything(void **state)
{
	const char *state_name, *client, *name;
	json_int_t position, gap, held, partition, n_in_bucket;
	double p50, bucket;
	(void)state;
	histogram_record(&scene.times[SCENE_GOOD].handler, 31, 4);
	json_t *page = read_page(api_write_status);
	assert_int_equal(
		json_unpack(page, "{s:s, s:[{s:s, s:{s:F, s:[[F, I]]}, s:[{}, {s:I, s:I, s:I}]}, {s:s}], s:[{s:s, s:I}]}",
			"state", &state_name, "pipelines", "name", &name, "handler_seconds", "p50", &p50, "buckets", &bucket,
			&n_in_bucket, "lanes", "partition", &partition, "position", &position, "gap", &gap, "name", &name,
			"workers", "client", &client, "held", &held),
		0);
	assert_string_equal(state_name, "serving");
	assert_string_equal(name, "ma\"i\\l\ns?");
	assert_string_equal(client, "c?lient");
	assert_int_equal(partition, 1);
	assert_int_equal(position, 40);
	assert_int_equal(gap, 9);
	assert_int_equal(held, 2);
	assert_true(p50 > 0.000030 && p50 < 0.000032);
	assert_true(bucket == p50 && n_in_bucket == 4);
	assert_int_equal(json_array_size(json_object_get(page, "workers")), 3);
	assert_int_equal(json_array_size(json_object_get(page, "pools")), 1);
	json_decref(page);
}

static void a_worker_tells_what_it_does_and_what_grows_in_it(void **state)
{
	struct pipeline pipeline = {.conf = &scene.confs[SCENE_GOOD]};
	struct entry entry = {.id = 77, .pipeline = &pipeline, .lane = &scene.lanes[1], .receipt = 42, .attempt = 2};
	struct snapshot_leak leak = {"App\\Cache::$items", 30, 29, 4096};
	struct snapshot_worker *worker = &scene.workers[0];
	const char *path, *source;
	json_int_t messages, offset, grew;
	int is_leaking;
	double growth, remaining;
	(void)state;
	worker->current = &entry;
	worker->remaining_us = -2500000;
	worker->n_messages = 1000;
	worker->growth = 1.5;
	worker->is_leaking = true;
	worker->leaks = &leak;
	worker->n_leaks = 1;
	json_t *page = read_page(api_write_status);
	assert_int_equal(json_unpack(page, "{s:[{s:I, s:F, s:b, s:{s:s, s:I, s:F}, s:[{s:s, s:I}]}, {s:n, s:[]}]}",
						 "workers", "messages", &messages, "growth_bytes_per_1000", &growth, "leaking", &is_leaking,
						 "current", "source", &source, "offset", &offset, "remaining_seconds", &remaining, "leaks",
						 "path", &path, "grew", &grew, "current", "leaks"),
		0);
	assert_int_equal(messages, 1000);
	assert_true(growth == 1500 && remaining == -2.5 && is_leaking);
	assert_string_equal(source, "orders");
	assert_int_equal(offset, 42);
	assert_string_equal(path, "App\\Cache::$items");
	assert_int_equal(grew, 29);
	json_decref(page);
}

static void nothing_at_all_is_a_status_too(void **state)
{
	(void)state;
	scene.snapshot.n_pipelines = scene.snapshot.n_workers = scene.snapshot.n_pools = 0;
	json_t *page = read_page(api_write_status);
	assert_int_equal(json_array_size(json_object_get(page, "pipelines")), 0);
	json_decref(page);
	page = read_page(api_write_inflight);
	assert_int_equal(json_array_size(json_object_get(page, "deliveries")), 0);
	json_decref(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_a_reason_it_is_ready, set),
		cmocka_unit_test_setup(each_trouble_is_a_reason, set),
		cmocka_unit_test_setup(the_status_tells_everything, set),
		cmocka_unit_test_setup(a_worker_tells_what_it_does_and_what_grows_in_it, set),
		cmocka_unit_test_setup(nothing_at_all_is_a_status_too, set),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
