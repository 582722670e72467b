/* SPDX-License-Identifier: MIT */
/* Tests of the metrics text. */
#include "admin/metrics.h"
#include "scene.h"

#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct scene scene;

static int set(void **state)
{
	(void)state;
	scene_set(&scene);
	return 0;
}

static void assert_has(const char *line)
{
	char *text = scene_text(&scene, metrics_write);
	const char *found = strstr(text, line);
	if (!found || (found != text && found[-1] != '\n') || found[strlen(line)] != '\n')
		fail_msg("no line %s in\n%s", line, text);
	free(text);
}

/* The grammar of the format: a comment or NAME{LABELS} VALUE. */
static void every_line_parses(void **state)
{
	static const char help[] = "^# HELP [a-zA-Z_:][a-zA-Z0-9_:]* [^\\]+$";
	static const char type[] = "^# TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge|histogram)$";
	static const char label[] = "[a-zA-Z_][a-zA-Z0-9_]*=\"([^\"\\]|\\\\[\"n\\])*\"";
	char sample[512];
	regex_t forms[3];
	(void)state;
	snprintf(sample, sizeof sample, "^[a-zA-Z_:][a-zA-Z0-9_:]*(\\{%s(,%s)*\\})? (\\+Inf|[0-9.e+-]+)$", label, label);
	const char *const patterns[] = {help, type, sample};
	for (int i = 0; i < 3; i++)
		assert_int_equal(regcomp(&forms[i], patterns[i], REG_EXTENDED | REG_NOSUB), 0);
	char *text = scene_text(&scene, metrics_write), *rest = NULL;
	size_t n_lines = 0;
	assert_int_equal(text[strlen(text) - 1], '\n');
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), n_lines++) {
		int form = strncmp(line, "# HELP ", 7) == 0 ? 0 : *line == '#' ? 1 : 2;
		if (regexec(&forms[form], line, 0, NULL, 0) != 0)
			fail_msg("does not parse: %s", line);
	}
	assert_true(n_lines > 100);
	for (int i = 0; i < 3; i++)
		regfree(&forms[i]);
	free(text);
}

static void a_family_stands_together_and_is_named_once(void **state)
{
	char *text = scene_text(&scene, metrics_write), *rest = NULL, family[128] = "";
	(void)state;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char seen[160];
		if (sscanf(line, "# HELP %120s", family) == 1) {
			snprintf(seen, sizeof seen, "# HELP %s ", family);
			assert_null(rest ? strstr(rest, seen) : NULL);
		} else if (*line != '#') {
			assert_memory_equal(line, family, strlen(family));
		}
	}
	free(text);
}

static void labels_are_escaped(void **state)
{
	(void)state;
	assert_has("qbus_messages_received_total{pipeline=\"ma\\\"i\\\\l\\ns?\"} 0");
}

static void fields_become_samples(void **state)
{
	struct snapshot_pipeline *pipeline = &scene.pipelines[SCENE_GOOD];
	(void)state;
	pipeline->counts.received = UINT64_C(12345678901234567890);
	pipeline->counts.buffered = 7;
	pipeline->counts.retried_by[REASON_CRASH] = 3;
	pipeline->counts.ended = 2;
	pipeline->oldest_in_flight_us = 1500;
	assert_has("qbus_messages_received_total{pipeline=\"orders\"} 12345678901234567890");
	assert_has("qbus_buffered_messages{pipeline=\"orders\"} 7");
	assert_has("qbus_messages_retried_total{pipeline=\"orders\",reason=\"crash\"} 3");
	assert_has("qbus_deadline_total{pipeline=\"orders\",stage=\"ended\"} 2");
	assert_has("qbus_oldest_in_flight_seconds{pipeline=\"orders\"} 0.001500");
	assert_has("qbus_broker_connected{pipeline=\"orders\"} 1");
	assert_has("qbus_workers{pool=\"php\",state=\"busy\"} 2");
	assert_has("qbus_workers{pool=\"\",state=\"busy\"} 1");
	assert_has("qbus_worker_rss_bytes{pool=\"php\",worker=\"2\"} 1000");
	pipeline->growth = 1109.5;
	pipeline->is_leaking = true;
	assert_has("qbus_worker_growth_bytes_per_message{pipeline=\"orders\"} 1109.5");
	assert_has("qbus_worker_leaking{pipeline=\"orders\"} 1");
	assert_has("qbus_memory_max_bytes 10");
	assert_has("qbus_build_info{version=\"1.2.3\"} 1");
}

static void lanes_of_a_topic_are_summed(void **state)
{
	(void)state;
	scene.lanes[1].is_wedged = true;
	assert_has("qbus_consumer_lag_messages{pipeline=\"orders\",topic=\"orders\"} 12");
	assert_has("qbus_consumer_lag_messages{pipeline=\"orders\",topic=\"zz\"} 0");
	assert_has("qbus_lane_wedged{pipeline=\"orders\",topic=\"orders\"} 1");
	scene.pipelines[SCENE_GOOD].look.is_settled_singly = true;
	assert_has("qbus_consumer_lag_messages{pipeline=\"orders\",queue=\"orders\"} 12");
}

static void a_histogram_has_rising_buckets_a_sum_and_a_count(void **state)
{
	(void)state;
	histogram_record(&scene.times[SCENE_GOOD].handler, 4000, 10);
	histogram_record(&scene.times[SCENE_GOOD].handler, 2000000, 5);
	histogram_record(&scene.times[SCENE_GOOD].handler, 400000000, 1);
	assert_has("qbus_handler_duration_seconds_bucket{pipeline=\"orders\",le=\"0.005\"} 10");
	assert_has("qbus_handler_duration_seconds_bucket{pipeline=\"orders\",le=\"1\"} 10");
	assert_has("qbus_handler_duration_seconds_bucket{pipeline=\"orders\",le=\"2.5\"} 15");
	assert_has("qbus_handler_duration_seconds_bucket{pipeline=\"orders\",le=\"300\"} 15");
	assert_has("qbus_handler_duration_seconds_bucket{pipeline=\"orders\",le=\"+Inf\"} 16");
	assert_has("qbus_handler_duration_seconds_sum{pipeline=\"orders\"} 410.040000");
	assert_has("qbus_handler_duration_seconds_count{pipeline=\"orders\"} 16");
	assert_has("qbus_end_to_end_seconds_count{pipeline=\"orders\"} 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_line_parses, set),
		cmocka_unit_test_setup(a_family_stands_together_and_is_named_once, set),
		cmocka_unit_test_setup(labels_are_escaped, set),
		cmocka_unit_test_setup(fields_become_samples, set),
		cmocka_unit_test_setup(lanes_of_a_topic_are_summed, set),
		cmocka_unit_test_setup(a_histogram_has_rising_buckets_a_sum_and_a_count, set),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
