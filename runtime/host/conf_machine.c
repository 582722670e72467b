/* SPDX-License-Identifier: MIT */
/* What a configuration needs of the machine that it is checked on. */
#include "host/conf_machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The search path of a process whose environment has none. */
#define PATH_FALLBACK "/bin:/usr/bin"

/* Below /run nothing outlives a restart of the machine: what starts the service makes its directory there. */
static bool is_made_at_start(const char *directory)
{
	return strncmp(directory, "/run/", 5) == 0;
}

static void check_socket(struct conf_draft *draft, const char *key, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	struct stat status;
	if (!slash || slash == path)
		return;
	const char *directory = conf_arena_copy(draft->report.arena, path, (size_t)(slash - path));
	int error = stat(directory, &status) < 0 ? errno : S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
	struct conf_at at = conf_section_at(&draft->root, key);
	if (error == ENOENT && is_made_at_start(directory))
		conf_report_warn(&draft->report, at, "\"%s\" needs the directory \"%s\", which has to be there at the start",
			key, directory);
	else if (error)
		conf_report_error(
			&draft->report, at, "\"%s\" cannot use the directory \"%s\": %s", key, directory, strerror(error));
}

/* ---- programs ---- */

/* 0, or a negative errno. */
static int program_test(const char *path)
{
	struct stat status;
	if (stat(path, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EACCES;
	return access(path, X_OK) < 0 ? -errno : 0;
}

/* A relative path begins where the workers start. */
static int program_test_from(struct conf_arena *arena, const struct conf_pool *pool, const char *path)
{
	bool is_relative = *path != '/' && pool->directory;
	return program_test(is_relative ? conf_arena_print(arena, "%s/%s", pool->directory, path) : path);
}

static const char *search_path(const struct conf_pool *pool)
{
	const char *path = getenv("PATH");
	for (size_t i = 0; i < pool->n_environment; i++)
		if (strcmp(pool->environment[i].name, "PATH") == 0)
			path = pool->environment[i].text;
	return path ? path : PATH_FALLBACK;
}

static int program_search(struct conf_arena *arena, const struct conf_pool *pool, const char *name)
{
	int result = -ENOENT;
	for (const char *path = search_path(pool); path; path = strchr(path, ':') ? strchr(path, ':') + 1 : NULL) {
		int len = (int)strcspn(path, ":");
		const char *file = conf_arena_print(arena, "%.*s/%s", len ? len : 1, len ? path : ".", name);
		int found = program_test_from(arena, pool, file);
		if (found == 0)
			return 0;
		if (found == -EACCES)
			result = found;
	}
	return result;
}

static void check_program(struct conf_draft *draft, const struct conf_pool *pool, const struct conf_section *section)
{
	const char *name = pool->n_command ? pool->command[0].text : "";
	struct conf_arena *arena = draft->report.arena;
	bool is_path = strchr(name, '/');
	if (!*name)
		return;
	int result = is_path ? program_test_from(arena, pool, name) : program_search(arena, pool, name);
	struct conf_at at = conf_section_at(section, "command");
	if (result == -ENOENT)
		conf_report_warn(&draft->report, at, "the program \"%.200s\" is not found%s", name, is_path ? "" : " on PATH");
	else if (result < 0)
		conf_report_warn(&draft->report, at, "the program \"%.200s\" cannot be run: %s", name, strerror(-result));
}

void conf_machine_check(struct conf_draft *draft)
{
	const struct conf *conf = draft->conf;
	check_socket(draft, "socket.path", conf->socket.path);
	check_socket(draft, "admin.socket", conf->admin.socket);
	for (size_t i = 0; i < conf->n_pools; i++)
		check_program(draft, &conf->pools[i], &draft->pools[i]);
}
