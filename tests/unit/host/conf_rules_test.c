/* SPDX-License-Identifier: MIT */
/* What reads well and cannot work: empty values, pipelines in each other's way, a machine that lacks something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_fake.h"
#include "host/conf.h"

#define BROKERS "brokers: { k: { type: kafka, bootstrap_servers: a:1 }, a: { type: amqp } }\npipelines:\n"
#define K(name, source, rest) "  " name ": { source: { broker: k, " source " }" rest " }\n"
#define A(name, source, rest) "  " name ": { source: { broker: a, " source " }" rest " }\n"
#define OTHER A("z", "queue: z", "") /* so that the other broker is used */

struct rule {
	const char *text;
	const char *complaints;
};

/* The complaints, a line each, without the file's name. */
static char *complaints_of(const struct conf *conf)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	for (size_t i = 0; i < conf->n_complaints; i++)
		fprintf(out, "%d:%d: %s%s\n", conf->complaints[i].line, conf->complaints[i].column,
			conf->complaints[i].is_error ? "" : "warning: ", conf->complaints[i].sentence);
	fclose(out);
	return text;
}

static void assert_rules(const struct rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct conf *conf = conf_parse("f", rules[i].text, strlen(rules[i].text), conf_fake_find, NULL);
		char *complaints = complaints_of(conf);
		assert_string_equal(complaints, rules[i].complaints);
		free(complaints);
		conf_free(conf);
	}
}

#define ASSERT_RULES(rules) assert_rules(rules, sizeof(rules) / sizeof *(rules))

static void what_is_required_must_not_be_empty(void **state)
{
	static const struct rule rules[] = {
		{BROKERS K("p", "topics: []", "") OTHER, "3:37: \"topics\" must not be empty\n"},
		{BROKERS K("p", "topics: t", "") A("q", "queue: \"\"", ""), "4:36: \"queue\" must not be empty\n"},
		{"brokers: { k: { type: kafka, bootstrap_servers: \"\" } }\npipelines:\n" K("p", "topics: t", ""),
			"1:49: \"bootstrap_servers\" must not be empty\n"},
		{BROKERS K("p", "topics: t", ", dead_letter: {}") OTHER,
			"3:55: \"dead_letter\" holds nothing; write its keys or remove it\n"},
		{BROKERS K("p", "topics: t", ", pool: w") OTHER "pools: { w: { command: php worker.php } }\n",
			"5:24: write \"command\" as a list, as in [php, worker.php]; no shell reads it\n"},
		{BROKERS K("p", "topics: t", ", pool: w") OTHER "pools: { w: { command: [\"/a b/php\", \"\"] } }\n", ""},
	};
	(void)state;
	ASSERT_RULES(rules);
}

static void dead_letters_need_a_place_of_their_own(void **state)
{
	static const struct rule rules[] = {
		{BROKERS K("p", "topics: [t, u]", ", dead_letter: { topic: u }") OTHER,
			"3:69: dead letters would come back: this pipeline reads \"u\" itself\n"},
		{BROKERS K("p", "topics: [t, u]", ", dead_letter: { topic: v }") OTHER, ""},
		{BROKERS K("p", "topics: t", "") A("q", "queue: q", ", dead_letter: { reject: false }"),
			"4:64: \"dead_letter\" names no place: write a topic, an exchange, or reject: true\n"},
		{BROKERS K("p", "topics: t", "") A("q", "queue: q", ", dead_letter: { exchange: \"\" }"),
			"4:66: the default exchange (\"\") needs \"dead_letter.routing_key\": the name of a queue\n"
			"4:66: the plugin amqp cannot publish, so it cannot write dead letters\n"},
	};
	(void)state;
	ASSERT_RULES(rules);
}

static void pipelines_in_each_others_way_are_told(void **state)
{
	static const struct rule rules[] = {
		{BROKERS K("p", "topics: t", "") A("q", "queue: q", "") A("r", "queue: q", ""),
			"5:36: warning: the pipeline \"q\" has the same \"queue\"; each of them gets a part of the messages\n"},
		{BROKERS K("p", "topics: t, group_id: g", "") K("q", "topics: [t, u], group_id: g", "") OTHER,
			"4:55: warning: the pipeline \"p\" has the same \"group_id\"; as their topics differ, whenever one of them "
			"joins "
			"or leaves, the other one is rebalanced too\n"},
		{BROKERS K("p", "topics: [u, t], group_id: g", "") K("q", "topics: [t, u], group_id: g", "") OTHER, ""},
		{BROKERS K("p", "topics: t, group_id: g", "") K("q", "topics: u, group_id: h", "") OTHER, ""},
	};
	(void)state;
	ASSERT_RULES(rules);
}

static void defaults_are_printed(void **state)
{
	(void)state;
	static const char text[] = BROKERS K("p", "topics: t", "") OTHER "pools: { w: { command: php } }\n";
	char *printed = NULL;
	size_t len = 0;
	struct conf *conf = conf_parse("f", text, strlen(text), conf_fake_find, NULL);
	FILE *out = open_memstream(&printed, &len);
	conf_print(conf, out);
	fclose(out);
	assert_non_null(strstr(printed, "    leak_check: 0\n"));
	assert_non_null(strstr(printed,
		"#   p                     64MiB   5MiB a partition (queue_bytes + max_partition_bytes) and 8MiB a "
		"broker (max_bytes);\n"));
	assert_non_null(
		strstr(printed, "100 partitions on one broker: 508MiB, with messages of 32MiB (max_message_bytes) 3632MiB\n"));
	assert_non_null(strstr(printed, "#   all together         256MiB   memory.max_bytes"));
	assert_non_null(strstr(printed, "    max_attempts: 0\n"));
	free(printed);
	conf_free(conf);
}

/* ---- the machine: files in a directory of the test's own ---- */

static void file_write(const char *path, const char *text, mode_t mode)
{
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	assert_int_equal(chmod(path, mode), 0);
}

/* What is said of a file with these keys. To be freed. */
static char *complaints_here(const char *directory, const char *socket, const char *pool)
{
	char path[256], text[1024];
	snprintf(path, sizeof path, "%s/f.yaml", directory);
	snprintf(text, sizeof text,
		BROKERS K("p", "topics: t", ", pool: w") OTHER "socket: { path: %s }\npools: { w: %s }\n", socket, pool);
	file_write(path, text, 0600);
	struct conf *conf = conf_load(path, conf_fake_find, NULL);
	char *complaints = complaints_of(conf);
	conf_free(conf);
	return complaints;
}

static void assert_here(const char *directory, const char *socket, const char *pool, const char *expected)
{
	char *complaints = complaints_here(directory, socket, pool);
	assert_string_equal(complaints, expected);
	free(complaints);
}

static void what_the_machine_lacks_is_told(void **state)
{
	char directory[] = "/tmp/conf_rules_test.XXXXXX", text[256], socket[256], pool[256];
	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(socket, sizeof socket, "%s/s", directory);
	assert_here(directory, socket, "{ command: [sh, x] }", "");
	assert_here(directory, "/nonexistent/s", "{ command: sh }",
		"5:17: \"socket.path\" cannot use the directory \"/nonexistent\": No such file or directory\n");
	assert_here(directory, "/run/nonexistent/s", "{ command: sh }",
		"5:17: warning: \"socket.path\" needs the directory \"/run/nonexistent\", which has to be there at the "
		"start\n");
	assert_here(directory, socket, "{ command: no-such-program }",
		"6:24: warning: the program \"no-such-program\" is not found on PATH\n");
	assert_here(directory, socket, "{ command: /nonexistent/php }",
		"6:24: warning: the program \"/nonexistent/php\" is not found\n");
	snprintf(text, sizeof text, "%s/tool", directory);
	file_write(text, "#!/bin/sh\n", 0600);
	assert_here(directory, socket, "{ command: sh, environment: { PATH: /nonexistent } }",
		"6:24: warning: the program \"sh\" is not found on PATH\n");
	snprintf(pool, sizeof pool, "{ command: ./tool, directory: %s }", directory);
	assert_here(directory, socket, pool, "6:24: warning: the program \"./tool\" cannot be run: Permission denied\n");
	assert_int_equal(chmod(text, 0700), 0);
	assert_here(directory, socket, pool, "");
	unlink(text);
	snprintf(text, sizeof text, "%s/f.yaml", directory);
	unlink(text);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_required_must_not_be_empty),
		cmocka_unit_test(dead_letters_need_a_place_of_their_own),
		cmocka_unit_test(pipelines_in_each_others_way_are_told),
		cmocka_unit_test(defaults_are_printed),
		cmocka_unit_test(what_the_machine_lacks_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
