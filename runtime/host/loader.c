/* SPDX-License-Identifier: MIT */
/* Finds broker plugins. Once opened, one stays open until loader_free: its options and strings are in use all over. */
#include "host/loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

#ifndef QBUS_PLUGIN_DIR
#define QBUS_PLUGIN_DIR "lib/qbus" /* below the directory that holds bin/ */
#endif
#define TYPE_MAX 32
#define SUFFIX ".so"

/* A plugin that was found good. */
struct loaded {
	struct loaded *next;
	char type[TYPE_MAX + 1];
	void *handle;
	const struct qb_plugin *plugin;
};

struct loader {
	char *directory;
	struct loaded *plugins;
	char reason[512];
};

/* ---- where ---- */

/* The program is PREFIX/bin/NAME, its plugins are in PREFIX/QBUS_PLUGIN_DIR. */
static char *directory_of_program(void)
{
	char program[4096], *directory = NULL;
	ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
	program[len > 0 ? len : 0] = '\0';
	for (int i = 0; i < 2; i++) {
		char *slash = strrchr(program, '/');
		if (slash)
			*slash = '\0';
	}
	if (asprintf(&directory, "%s/%s", program, QBUS_PLUGIN_DIR) < 0)
		abort();
	return directory;
}

struct loader *loader_new(const char *directory)
{
	struct loader *loader = alloc_zero(sizeof *loader);
	if (!directory)
		directory = getenv("QBUS_PLUGIN_DIR");
	loader->directory = directory && *directory ? alloc_string(directory, strlen(directory)) : directory_of_program();
	return loader;
}

void loader_free(struct loader *loader)
{
	if (!loader)
		return;
	for (struct loaded *loaded = loader->plugins, *next; loaded; loaded = next) {
		next = loaded->next;
		dlclose(loaded->handle);
		free(loaded);
	}
	free(loader->directory);
	free(loader);
}

const char *loader_directory(const struct loader *loader)
{
	return loader->directory;
}

static bool type_is_valid(const char *type)
{
	size_t len = strlen(type);
	return len > 0 && len <= TYPE_MAX && strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

/* The directory's entry is TYPE.so. */
static int entry_is_plugin(const struct dirent *entry)
{
	char type[TYPE_MAX + 1] = "";
	size_t len = strlen(entry->d_name), len_suffix = sizeof SUFFIX - 1;
	if (len <= len_suffix || len - len_suffix > TYPE_MAX || strcmp(entry->d_name + len - len_suffix, SUFFIX) != 0)
		return 0;
	memcpy(type, entry->d_name, len - len_suffix);
	return type_is_valid(type);
}

/* The types of the directory, sorted; -1: it cannot be read. The caller frees each and the list. */
static int list_types(const struct loader *loader, struct dirent ***ret_entries)
{
	int n = scandir(loader->directory, ret_entries, entry_is_plugin, alphasort);
	for (int i = 0; i < n; i++)
		(*ret_entries)[i]->d_name[strlen((*ret_entries)[i]->d_name) - (sizeof SUFFIX - 1)] = '\0';
	return n;
}

/* ---- judging ---- */

/* lane_drained answers lane_closing: who never says the one needs not have the other. */
static const char *judge_functions(const struct qb_plugin *plugin)
{
	const struct {
		bool is_there;
		const char *flaw;
	} functions[] = {
		{plugin->library, "lacks the function library"},
		{plugin->open, "lacks the function open"},
		{plugin->poll, "lacks the function poll"},
		{plugin->settle, "lacks the function settle"},
		{plugin->drain, "lacks the function drain"},
		{plugin->close, "lacks the function close"},
		{plugin->wake, "lacks the function wake"},
	};
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
		if (!functions[i].is_there)
			return functions[i].flaw;
	return NULL;
}

static const char *judge_options(const struct qb_plugin *plugin)
{
	if (plugin->n_options && !plugin->options)
		return "has no table of options";
	for (size_t i = 0; i < plugin->n_options; i++) {
		const struct qb_option *option = &plugin->options[i];
		if (!option->path || !*option->path || !option->help)
			return "has an option without path or help";
		if ((unsigned)option->kind > QB_FILE || (unsigned)option->scope > QB_FETCH)
			return "has an option of an unknown kind or scope";
	}
	return NULL;
}

/* NULL: the plugin keeps the contract as far as can be seen. Nothing of it runs; what is judged first is safe to read
 * without what is judged later. */
static const char *judge_plugin(const struct qb_plugin *plugin, const char *type)
{
	const unsigned both = QB_SETTLE_PREFIX | QB_SETTLE_EACH;
	if (plugin->abi != QB_ABI)
		return "was built for another version of qbus-proxy";
	if (plugin->size < offsetof(struct qb_plugin, skip)) /* what follows came later and is asked for by QB_HAS */
		return "is older than this qbus-proxy allows";
	if (!plugin->name || strcmp(plugin->name, type) != 0)
		return "gives itself another name than its file";
	if ((plugin->traits & both) != QB_SETTLE_PREFIX && (plugin->traits & both) != QB_SETTLE_EACH)
		return "does not say how it settles";
	const char *flaw = judge_functions(plugin);
	return flaw ? flaw : judge_options(plugin);
}

/* ---- finding ---- */

static const struct qb_plugin *refuse(struct loader *loader, const char **ret_reason)
{
	*ret_reason = loader->reason;
	return NULL;
}

static void explain_absence(struct loader *loader, const char *type)
{
	struct dirent **entries = NULL;
	int n = list_types(loader, &entries);
	size_t size = sizeof loader->reason;
	size_t len =
		(size_t)snprintf(loader->reason, size, "there is no plugin \"%.32s\" in %.200s", type, loader->directory);
	for (int i = 0; i < n; i++) {
		if (len < size)
			len += (size_t)snprintf(loader->reason + len, size - len, "%s%s%s",
				i ? ", " : " (there are: ", entries[i]->d_name, i == n - 1 ? ")" : "");
		free(entries[i]);
	}
	free(entries);
}

/* The linker's words begin with the path; the reason names it already. */
static const char *linker_words(const char *path)
{
	const char *words = dlerror();
	size_t len = strlen(path);
	if (words && strncmp(words, path, len) == 0 && strncmp(words + len, ": ", 2) == 0)
		words += len + 2;
	return words ? words : "it is no shared object";
}

static const struct qb_plugin *open_plugin(
	struct loader *loader, const char *type, const char *path, const char **ret_reason)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		snprintf(loader->reason, sizeof loader->reason, "%.200s cannot be loaded: %.250s", path, linker_words(path));
		return refuse(loader, ret_reason);
	}
	const struct qb_plugin *plugin = dlsym(handle, QB_PLUGIN_SYMBOL);
	const char *flaw = plugin ? judge_plugin(plugin, type) : "has no symbol " QB_PLUGIN_SYMBOL;
	if (flaw) {
		snprintf(loader->reason, sizeof loader->reason, "the plugin %.200s %s", path, flaw);
		dlclose(handle);
		return refuse(loader, ret_reason);
	}
	struct loaded *loaded = alloc_zero(sizeof *loaded);
	snprintf(loaded->type, sizeof loaded->type, "%s", type);
	loaded->handle = handle;
	loaded->plugin = plugin;
	loaded->next = loader->plugins;
	loader->plugins = loaded;
	return plugin;
}

const struct qb_plugin *loader_find(void *self, const char *type, const char **ret_reason)
{
	struct loader *loader = self;
	if (!type_is_valid(type)) {
		snprintf(loader->reason, sizeof loader->reason, "\"%.32s\" cannot be the name of a plugin (a-z, 0-9, _ and -)",
			type);
		return refuse(loader, ret_reason);
	}
	for (const struct loaded *loaded = loader->plugins; loaded; loaded = loaded->next)
		if (strcmp(loaded->type, type) == 0)
			return loaded->plugin;
	char *path = NULL;
	if (asprintf(&path, "%s/%s" SUFFIX, loader->directory, type) < 0)
		abort();
	const struct qb_plugin *plugin = NULL;
	if (access(path, F_OK) < 0) {
		explain_absence(loader, type);
		refuse(loader, ret_reason);
	} else {
		plugin = open_plugin(loader, type, path, ret_reason);
	}
	free(path);
	return plugin;
}

void loader_each(struct loader *loader,
	void (*each)(void *ctx, const char *type, const struct qb_plugin *plugin, const char *reason), void *ctx)
{
	struct dirent **entries = NULL;
	int n = list_types(loader, &entries);
	for (int i = 0; i < n; i++) {
		const char *reason = NULL;
		const struct qb_plugin *plugin = loader_find(loader, entries[i]->d_name, &reason);
		each(ctx, entries[i]->d_name, plugin, reason);
		free(entries[i]);
	}
	free(entries);
}
