/* SPDX-License-Identifier: MIT */
/* What is in a cgroup ends with it: on the kernel's own hierarchy, where one can be had, else left out. */
#include "pool/cgroup.h"

#include "base/clock.h"
#include "pool/process.h"
#include "pool/strays.h"
#include "rig.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char own[PATH_MAX / 2];

static const char *at(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", own, name);
	return path;
}

static const char *get(const char *name)
{
	static char text[256];
	FILE *file = fopen(at(name), "re");

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return text;
}

static int real_setup(void **state)
{
	char line[512], point[256], kind[32];
	FILE *mounts = fopen("/proc/mounts", "re");

	*own = '\0';
	while (mounts && fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%*s %255s %31s", point, kind) == 2 && strcmp(kind, "cgroup2") == 0)
			snprintf(own, sizeof(own), "%s/qbus-unit-%d", point, (int)getpid());
	}
	if (mounts)
		fclose(mounts);
	if (*own && (mkdir(own, 0755) || cgroups_obstacle(own))) {
		rmdir(own);
		*own = '\0';
	}
	return rig_setup(state);
}

static int real_teardown(void **state)
{
	return (*own && rmdir(own)) || rig_teardown(state);
}

static bool is_tidy(void *ctx)
{
	return cgroups_tidy(ctx) == 0;
}

/* Who is in the cgroup of the worker of that number. */
struct inside {
	int number, n_wanted, n;
	pid_t pids[8];
};

static bool are_inside(void *ctx)
{
	struct inside *inside = ctx;
	char name[64];

	snprintf(name, sizeof(name), "qbus-workers.m/php-%d/cgroup.procs", inside->number);

	char *end = (char *)get(name);

	inside->n = 0;
	for (long pid; inside->n < 8 && (pid = strtol(end, &end, 10)) > 0;)
		inside->pids[inside->n++] = (pid_t)pid;
	return inside->n == inside->n_wanted;
}

static void spawn(struct cgroups *all, const char *script, struct cgroup *cgroup, struct process *process)
{
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)script, NULL};
	char *environment[] = {(char[]){"PATH=/usr/bin:/bin"}, NULL};
	struct process_plan plan = {.argv = argv, .environment = environment, .cgroup = cgroup};
	struct cgroup_limits limits = {1, 1}; /* no controllers, no limits */

	assert_int_equal(cgroup_open(cgroup, all, "php", &limits), 0);
	assert_int_equal(process_spawn(process, &plan), 0);
}

static void what_left_its_group_session_and_environment_is_killed_with_its_cgroup(void **state)
{
	struct rig *rig = *state;
	struct cgroup cgroup;
	struct process process;
	struct inside inside = {.number = 2, .n_wanted = 4};

	if (!*own)
		skip();

	struct cgroups *all = cgroups_new(own, "m");

	assert_non_null(all);
	assert_true(cgroups_try(all)); /* number 1 */
	spawn(all, "env -i setsid sleep 1000 & env -i setsid sleep 1000 & sleep 1000 & wait", &cgroup, &process);
	rig_until(rig, are_inside, &inside);
	cgroup_close(&cgroup);
	assert_true(process_wait(&process, 5000));
	process_done(&process);
	rig_until(rig, is_tidy, all);
	assert_int_not_equal(access(at("qbus-workers.m/php-2"), F_OK), 0);
	for (int i = 0; i < inside.n; i++)
		assert_false(rig_is_running(inside.pids[i]));
	strays_reap();
	cgroups_close(all);
	assert_int_not_equal(access(at("qbus-workers.m"), F_OK), 0);
}

static void closing_ends_all_that_is_still_inside(void **state)
{
	struct rig *rig = *state;
	struct cgroup cgroup;
	struct process process;
	struct inside inside = {.number = 1, .n_wanted = 1};

	if (!*own)
		skip();

	struct cgroups *all = cgroups_new(own, "m");

	spawn(all, "exec sleep 1000", &cgroup, &process);
	rig_until(rig, are_inside, &inside);
	close(cgroup.entry);
	cgroups_close(all);
	assert_int_not_equal(access(at("qbus-workers.m"), F_OK), 0);
	assert_true(process_wait(&process, 5000));
	process_done(&process);
}

/* The kernel removes no cgroup that has another below it, just as none whose processes are still dying. */
static void what_dead_proxies_have_left_is_given_half_a_second_together(void **state)
{
	enum { N_LEFT = 41 }; /* half a second for each would be 20 s */
	char names[N_LEFT][128], inner[160], outer[192];
	unsigned long long namespace = strtoull(strays_marker(), NULL, 10);

	(void)state;
	if (!*own)
		skip();
	for (int i = 0; i < N_LEFT; i++) {
		snprintf(names[i], sizeof(names[i]), "qbus-workers.%llu.%d.%d", namespace, (int)getpid(), i + 1);
		snprintf(inner, sizeof(inner), "%s/php-1", names[i]);
		snprintf(outer, sizeof(outer), "%s/own", inner);
		assert_int_equal(mkdir(at(names[i]), 0755) | mkdir(at(inner), 0755), 0);
		if (i) /* the first can be removed */
			assert_int_equal(mkdir(at(outer), 0755), 0);
	}

	int64_t begin_us = clock_now_us();

	cgroups_remove_left(own);

	int64_t took_us = clock_now_us() - begin_us;

	assert_int_not_equal(access(at(names[0]), F_OK), 0);
	for (int i = 1; i < N_LEFT; i++) {
		snprintf(inner, sizeof(inner), "%s/php-1", names[i]);
		snprintf(outer, sizeof(outer), "%s/own", inner);
		assert_int_equal(rmdir(at(outer)), 0);
	}
	cgroups_remove_left(own);
	for (int i = 1; i < N_LEFT; i++)
		assert_int_not_equal(access(at(names[i]), F_OK), 0);
	assert_in_range(took_us, 400000, 10000000);
}

#define REAL(name) cmocka_unit_test_setup_teardown(name, real_setup, real_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REAL(what_left_its_group_session_and_environment_is_killed_with_its_cgroup),
		REAL(closing_ends_all_that_is_still_inside),
		REAL(what_dead_proxies_have_left_is_given_half_a_second_together),
	};

	if (!rig_has_pidfds())
		return RIG_LEFT_OUT;
	strays_adopt();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
