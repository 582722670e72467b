/* SPDX-License-Identifier: MIT */
/* The configurations that are shipped: they load, and qbus.yaml names every key with its default. The files stand in
 * CONF_TEST_DIR, the plugins where the loader looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host/conf.h"
#include "host/conf_yaml.h"
#include "host/loader.h"

static const char *const types[] = {"kafka", "amqp"};

static int start(void **state)
{
	*state = loader_new(NULL);
	return 0;
}

static int stop(void **state)
{
	loader_free(*state);
	return 0;
}

static void assert_loads(struct loader *loader, const char *file)
{
	struct conf *conf = conf_load(file, loader_find, loader);
	if (conf->n_errors) {
		conf_complain(conf, stderr);
		fail_msg("%s has errors", file);
	}
	conf_free(conf);
}

static void the_shipped_files_load(void **state)
{
	assert_loads(*state, CONF_TEST_DIR "/qbus.minimal.yaml");
	assert_loads(*state, CONF_TEST_DIR "/qbus.yaml");
}

static char *file_text(const char *file)
{
	char *text = NULL;
	size_t size = 0;
	FILE *in = fopen(file, "r");
	assert_non_null(in);
	assert_true(getdelim(&text, &size, '\0', in) > 0);
	fclose(in);
	return text;
}

/* An example that is off begins with a # directly before its key; prose has a blank behind the #. */
static void switch_examples_on(char *text)
{
	bool is_start = true;
	for (char *byte = text; *byte; byte++) {
		if (is_start && *byte == '#' && byte[1] > ' ' && byte[1] != '#') {
			memmove(byte, byte + 1, strlen(byte));
			is_start = false;
		}
		is_start = *byte == '\n' || (is_start && *byte == ' ');
	}
}

/* Whether the dotted path stands in the tree, NAME being any name; with this default unless it is empty. */
static bool tree_has(const struct conf_node *node, const char *path, const char *fallback)
{
	size_t len = strcspn(path, ".");
	if (!*path)
		return !*fallback || (node->kind == NODE_SCALAR && strcmp(node->text, fallback) == 0) ||
		       node->kind > NODE_SCALAR;
	for (const struct conf_node *child = node->children; child; child = child->next) {
		bool is_wanted = child->name && strncmp(child->name, path, len) == 0 && !child->name[len];
		if ((is_wanted || strncmp(path, "NAME", len) == 0) &&
			tree_has(child, path + len + (path[len] == '.'), fallback))
			return true;
	}
	return false;
}

static void assert_complete(const struct conf_node *tree, char *reference)
{
	char *rest = NULL;
	for (char *line = strtok_r(reference, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *path = strsep(&line, "\t"), *kind = strsep(&line, "\t"), *fallback = strsep(&line, "\t");
		assert_non_null(line);
		if (strcmp(fallback, "required") == 0 || strcmp(kind, "list") == 0)
			fallback = "";
		if (!tree_has(tree, path, fallback))
			fail_msg("qbus.yaml does not have %s: %s", path, fallback);
	}
}

static void the_full_file_names_every_key_with_its_default(void **state)
{
	const struct qb_plugin *plugins[2] = {NULL};
	const char *reason = NULL;
	char *reference = NULL, *text = file_text(CONF_TEST_DIR "/qbus.yaml");
	size_t len = 0;
	for (size_t i = 0; i < 2; i++) {
		plugins[i] = loader_find(*state, types[i], &reason);
		if (!plugins[i])
			fail_msg("%s", reason);
	}
	FILE *out = open_memstream(&reference, &len);
	conf_reference(plugins, 2, out);
	fclose(out);
	switch_examples_on(text);
	struct conf_report report = {.arena = conf_arena_new()};
	setenv("HOSTNAME", "here", 1);
	setenv("KAFKA_PASSWORD", "x", 1);
	setenv("KEY_PASSWORD", "x", 1);
	setenv("RABBIT_PASSWORD", "x", 1);
	const struct conf_node *tree = conf_yaml_read(&report, text, strlen(text));
	if (!tree || report.n_errors)
		fail_msg("qbus.yaml:%d: %s", report.complaints[0].line, report.complaints[0].sentence);
	assert_complete(tree, reference);
	conf_arena_free(report.arena);
	free(reference);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_shipped_files_load),
		cmocka_unit_test(the_full_file_names_every_key_with_its_default),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
