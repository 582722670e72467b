/* SPDX-License-Identifier: MIT */
/* A plugin is used only when it keeps the contract; each flaw has its sentence. The plugins stand in LOADER_TEST_DIR.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host/loader.h"

static void assert_refused(struct loader *loader, const char *type, const char *words)
{
	const char *reason = NULL;
	const struct qb_plugin *plugin = loader_find(loader, type, &reason);
	if (plugin || !reason || !strstr(reason, words))
		fail_msg("%s: %s instead of %s", type, plugin ? "accepted" : reason, words);
}

static void a_good_plugin_is_found_once(void **state)
{
	const char *reason = NULL;
	struct loader *loader = loader_new(LOADER_TEST_DIR);
	const struct qb_plugin *plugin = loader_find(loader, "good", &reason);
	(void)state;
	assert_non_null(plugin);
	assert_null(reason);
	assert_string_equal(plugin->library(), "none 1");
	assert_ptr_equal(loader_find(loader, "good", &reason), plugin);
	loader_free(loader);
}

static void a_flawed_plugin_is_refused_with_its_reason(void **state)
{
	struct loader *loader = loader_new(LOADER_TEST_DIR);
	(void)state;
	assert_refused(loader, "abi", "abi.so was built for another version of qbus-proxy");
	assert_refused(loader, "size", "size.so is older than this qbus-proxy allows");
	assert_refused(loader, "name", "name.so gives itself another name than its file");
	assert_refused(loader, "traits", "traits.so does not say how it settles");
	assert_refused(loader, "poll", "poll.so lacks the function poll");
	assert_refused(loader, "option", "option.so has an option of an unknown kind or scope");
	assert_refused(loader, "symbol", "symbol.so has no symbol qbus_plugin");
	assert_refused(loader, "garbage", "garbage.so cannot be loaded: ");
	assert_refused(
		loader, "kafak", "there is no plugin \"kafak\" in " LOADER_TEST_DIR " (there are: abi, garbage, good, ");
	assert_refused(loader, "../good", "\"../good\" cannot be the name of a plugin");
	assert_refused(loader, "", "cannot be the name of a plugin");
	loader_free(loader);
	loader = loader_new("/nonexistent");
	assert_refused(loader, "good", "there is no plugin \"good\" in /nonexistent");
	loader_free(loader);
}

struct seen {
	size_t n, n_good;
	char types[256];
};

static void see(void *ctx, const char *type, const struct qb_plugin *plugin, const char *reason)
{
	struct seen *seen = ctx;
	assert_true((plugin == NULL) != (reason == NULL));
	seen->n++;
	seen->n_good += plugin != NULL;
	strcat(strcat(seen->types, type), " ");
}

static void all_plugins_are_listed_by_name(void **state)
{
	struct seen seen = {0};
	struct loader *loader = loader_new(LOADER_TEST_DIR);
	(void)state;
	loader_each(loader, see, &seen);
	assert_string_equal(seen.types, "abi garbage good name option poll size symbol traits ");
	assert_int_equal(seen.n_good, 1);
	loader_free(loader);
}

static void the_directory_comes_from_the_environment_or_the_program(void **state)
{
	(void)state;
	setenv("QBUS_PLUGIN_DIR", LOADER_TEST_DIR, 1);
	struct loader *loader = loader_new(NULL);
	assert_string_equal(loader_directory(loader), LOADER_TEST_DIR);
	loader_free(loader);
	unsetenv("QBUS_PLUGIN_DIR");
	loader = loader_new(NULL);
	assert_true(loader_directory(loader)[0] == '/');
	assert_non_null(strstr(loader_directory(loader), "/lib"));
	loader_free(loader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_plugin_is_found_once),
		cmocka_unit_test(a_flawed_plugin_is_refused_with_its_reason),
		cmocka_unit_test(all_plugins_are_listed_by_name),
		cmocka_unit_test(the_directory_comes_from_the_environment_or_the_program),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
