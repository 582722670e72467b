/* SPDX-License-Identifier: MIT */
/* How our own cgroup is found and divided, and how workers are limited, on a folder with files of the same names: the
 * limits need controllers. cgroup_kernel_test tries what ends with a cgroup. */
#include "pool/cgroup.h"

#include "pool/pool.h"
#include "pool/process.h"
#include "pool/strays.h"
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a folder that looks like a cgroup ---- */

static char own[PATH_MAX / 2];

static const char *at(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", own, name);
	return path;
}

static void put(const char *name, const char *text)
{
	FILE *file = fopen(at(name), "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
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

static int fake_setup(void **state)
{
	snprintf(own, sizeof(own), "/tmp/cgroup_test.XXXXXX");
	if (rig_setup(state) || !mkdtemp(own))
		return -1;
	put("cgroup.type", "domain\n");
	put("cgroup.kill", "");
	put("cgroup.procs", "");
	put("cgroup.subtree_control", "");
	put("cgroup.controllers", "cpuset cpu pids\n");
	return 0;
}

static int fake_teardown(void **state)
{
	char command[PATH_MAX];

	snprintf(command, sizeof(command), "rm -r %s", own);
	return system(command) || rig_teardown(state);
}

static void make_folder(const char *name, const char *const files[])
{
	char path[256];

	assert_int_equal(mkdir(at(name), 0755), 0);
	for (; *files; files++) {
		snprintf(path, sizeof(path), "%s/%s", name, *files);
		put(path, "");
	}
}

static const char *const group_files[] = {"cgroup.procs", "cgroup.subtree_control", "cgroup.kill", NULL};
static const char *const worker_files[] = {
	"cgroup.procs", "cgroup.kill", "memory.max", "memory.swap.max", "memory.events", "pids.max", NULL};

/* ---- where we are ---- */

#define HYBRID                                                                                                         \
	"24 23 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"                                                                \
	"25 24 0:23 / /sys/fs/cgroup/unified rw,nosuid shared:5 - cgroup2 cgroup2 rw\n"

static void our_own_cgroup_is_found(void **state)
{
	static const struct {
		const char *self, *mounts, *path;
	} cases[] = {
		{"0::/system.slice/qbus.service\n", "31 24 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			"/sys/fs/cgroup/system.slice/qbus.service"},
		{"8:pids:/x\n0::/y\n", HYBRID, "/sys/fs/cgroup/unified/y"},
		{"0::/\n", HYBRID, "/sys/fs/cgroup/unified"},
		/* a part of the hierarchy is mounted, as in a container that has no cgroup namespace */
		{"0::/pod/a/b\n", "9 1 0:27 /pod/a /cg rw - cgroup2 c rw\n", "/cg/b"},
		{"0::/pod/a\n", "9 1 0:27 /pod/a /cg rw - cgroup2 c rw\n", "/cg"},
		{"0::/pod/ab\n", "9 1 0:27 /pod/a /cg rw - cgroup2 c rw\n", NULL},
		{"0::/../other\n", HYBRID, NULL}, /* outside of our namespace */
		{"8:pids:/x\n", HYBRID, NULL},
		{"0::/y\n", "24 23 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n", NULL},
		{"", "", NULL},
	};
	char path[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(cgroups_find(cases[i].self, cases[i].mounts, path, sizeof(path)), cases[i].path != NULL);
		if (cases[i].path)
			assert_string_equal(path, cases[i].path);
	}
}

static void what_is_not_ours_to_divide_is_left_alone(void **state)
{
	(void)state;
	assert_null(cgroups_obstacle(own));
	unlink(at("cgroup.kill"));
	assert_non_null(strstr(cgroups_obstacle(own), "cgroup.kill"));
	unlink(at("cgroup.type"));
	assert_non_null(strstr(cgroups_obstacle(own), "root cgroup"));
}

static void what_is_not_writable_is_not_delegated(void **state)
{
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	chmod(own, 0755);

	pid_t pid = fork();

	if (pid == 0) {
		const char *why = setresuid(65534, 65534, 65534) ? NULL : cgroups_obstacle(own);

		_exit(why && strstr(why, "not delegated") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- controllers and limits ---- */

static void controllers_are_handed_down_when_the_proxy_has_stepped_aside(void **state)
{
	char text[32];

	(void)state;
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	put("cgroup.procs", text);
	make_folder("qbus-workers.m", group_files);
	make_folder("qbus-proxy.m", group_files);

	struct cgroups *all = cgroups_new(own, "m");

	assert_non_null(all);
	assert_string_equal(cgroups_describe(all, text, sizeof(text)), "kill pids");
	assert_string_equal(get("cgroup.subtree_control"), "+pids");
	assert_string_equal(get("qbus-workers.m/cgroup.subtree_control"), "+pids");
	assert_int_equal(strtol(get("qbus-proxy.m/cgroup.procs"), NULL, 10), getpid());
	cgroups_close(all);
	assert_string_equal(get("cgroup.subtree_control"), "-pids");
	assert_int_equal(strtol(get("cgroup.procs"), NULL, 10), getpid());
}

static void who_is_not_alone_stays_where_it_is(void **state)
{
	char text[32];

	(void)state;
	snprintf(text, sizeof(text), "%d\n1\n", (int)getpid());
	put("cgroup.procs", text);
	make_folder("qbus-workers.m", group_files);
	unlink(at("cgroup.subtree_control")); /* as the kernel refuses it then */

	struct cgroups *all = cgroups_new(own, "m");

	assert_non_null(all);
	assert_string_equal(cgroups_describe(all, text, sizeof(text)), "kill");
	assert_int_not_equal(access(at("qbus-proxy.m"), F_OK), 0);
	cgroups_close(all);
}

static void without_controllers_nothing_is_handed_down(void **state)
{
	char text[32];

	(void)state;
	put("cgroup.controllers", "pidsX hugetlb xmemory\n");
	make_folder("qbus-workers.m", group_files);

	struct cgroups *all = cgroups_new(own, "m");

	assert_string_equal(cgroups_describe(all, text, sizeof(text)), "kill");
	assert_string_equal(get("cgroup.subtree_control"), "");
	cgroups_close(all);
}

static struct cgroups *with_all_controllers(void)
{
	put("cgroup.controllers", "memory pids\n");
	make_folder("qbus-workers.m", group_files);
	return cgroups_new(own, "m");
}

static void a_worker_is_limited(void **state)
{
	struct cgroups *all = with_all_controllers();
	struct cgroup cgroup;

	(void)state;
	make_folder("qbus-workers.m/my-pool-1", worker_files);
	assert_int_equal(cgroup_open(&cgroup, all, "my/pool", &(struct cgroup_limits){300 << 20, 64}), 0);
	assert_string_equal(get("qbus-workers.m/my-pool-1/memory.max"), "314572800");
	assert_string_equal(get("qbus-workers.m/my-pool-1/memory.swap.max"), "0");
	assert_string_equal(get("qbus-workers.m/my-pool-1/pids.max"), "64");
	assert_int_equal(cgroup_enter(&cgroup), 0);
	assert_string_equal(get("qbus-workers.m/my-pool-1/cgroup.procs"), "0");
	cgroup_kill(&cgroup);
	assert_string_equal(get("qbus-workers.m/my-pool-1/cgroup.kill"), "1");
	cgroup_close(&cgroup);
	cgroup_close(&cgroup); /* there is none any more */
	cgroups_close(all);
}

static void no_limit_is_none(void **state)
{
	struct cgroups *all = with_all_controllers();
	struct cgroup cgroup;

	(void)state;
	make_folder("qbus-workers.m/php-1", worker_files);
	assert_int_equal(cgroup_open(&cgroup, all, "php", &(struct cgroup_limits){0}), 0);
	assert_string_equal(get("qbus-workers.m/php-1/memory.max"), "");
	assert_string_equal(get("qbus-workers.m/php-1/memory.swap.max"), "");
	assert_string_equal(get("qbus-workers.m/php-1/pids.max"), "");
	cgroup_close(&cgroup);
	cgroups_close(all);
}

static void a_limit_that_cannot_be_set_is_no_cgroup(void **state)
{
	struct cgroups *all = with_all_controllers();
	struct cgroup cgroup;

	(void)state;
	assert_int_equal(cgroup_open(&cgroup, all, "php", &(struct cgroup_limits){1, 1}), -ENOENT);
	assert_null(cgroup.all);
	assert_int_not_equal(access(at("qbus-workers.m/php-1"), F_OK), 0);
	cgroup_close(&cgroup);
	cgroups_close(all);
}

static void the_kernels_kills_for_memory_are_seen(void **state)
{
	struct cgroups *all = with_all_controllers();
	struct cgroup cgroup, none = {0};

	(void)state;
	make_folder("qbus-workers.m/php-1", worker_files);
	assert_int_equal(cgroup_open(&cgroup, all, "php", &(struct cgroup_limits){0}), 0);
	assert_false(cgroup_is_out_of_memory(&cgroup));
	put("qbus-workers.m/php-1/memory.events", "low 0\nhigh 0\nmax 812\noom 1\noom_kill 0\noom_group_kill 0\n");
	assert_false(cgroup_is_out_of_memory(&cgroup));
	put("qbus-workers.m/php-1/memory.events", "low 0\nhigh 0\nmax 812\noom 1\noom_kill 1\noom_group_kill 0\n");
	assert_true(cgroup_is_out_of_memory(&cgroup));
	assert_false(cgroup_is_out_of_memory(&none));
	cgroup_close(&cgroup);
	cgroups_close(all);
}

/* ---- in a pool ---- */

static uint32_t n_swollen;

static void on_swollen(void *ctx, uint32_t number, pid_t pid)
{
	(void)ctx, (void)number, (void)pid;
	n_swollen++;
}

static bool has_died_of_memory(void *ctx)
{
	return pool_n_exits(ctx, POOL_EXIT_OOM) == 1 && pool_n_exits(ctx, POOL_EXIT_SIGNAL) == 1;
}

static struct pool *pool_of(struct rig *rig, struct cgroups *all, const char *const *argv)
{
	static const struct pool_ops ops = {.swollen = on_swollen};
	static const char *const inherited[] = {"PATH=/usr/bin:/bin", NULL};
	struct pool_conf conf = {.name = "php",
		.socket = "/run/qbus.sock",
		.argv = argv,
		.num_workers = 1,
		.inherited = inherited,
		.destroy_timeout_us = 1000000,
		.hard_bytes = 100 << 20,
		.max_processes = 512,
		.cgroups = all,
		.backoff_initial_us = 1000};
	struct pool *pool;

	assert_int_equal(pool_new(&conf, rig->base, &ops, NULL, &pool), 0);
	pool_start(pool);
	return pool;
}

static void a_death_at_the_limit_has_its_own_reason(void **state)
{
	static const char *const dying[] = {"sh", "-c", "[ $QBUS_START -gt 2 ] && exec sleep 1000; kill -9 $$", NULL};
	struct rig *rig = *state;
	struct cgroups *all = with_all_controllers();

	n_swollen = 0;
	make_folder("qbus-workers.m/php-1", worker_files);
	make_folder("qbus-workers.m/php-2", worker_files);
	make_folder("qbus-workers.m/php-3", worker_files);
	put("qbus-workers.m/php-1/memory.events", "oom_kill 2\n");
	put("qbus-workers.m/php-2/memory.events", "oom_kill 0\n");

	struct pool *pool = pool_of(rig, all, dying);

	rig_until(rig, has_died_of_memory, pool);
	assert_int_equal(n_swollen, 1); /* so that what it ran is charged for its memory */
	assert_string_equal(get("qbus-workers.m/php-1/memory.max"), "157286400");
	assert_string_equal(get("qbus-workers.m/php-1/pids.max"), "512");
	pool_free(pool);
	cgroups_close(all);
}

static void a_worker_without_a_cgroup_is_better_than_none(void **state)
{
	static const char *const sleeping[] = {"sleep", "1000", NULL};
	struct rig *rig = *state;
	struct cgroups *all = with_all_controllers(); /* the folders of workers cannot take a limit: no files in them */
	struct pool *pool = pool_of(rig, all, sleeping);

	rig_until_said(rig, "worker php/1: has no cgroup of its own", 1);
	assert_int_equal(pool_n_alive(pool), 1);
	pool_free(pool);
	cgroups_close(all);
}

#define FAKE(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_own_cgroup_is_found),
		FAKE(what_is_not_ours_to_divide_is_left_alone),
		FAKE(what_is_not_writable_is_not_delegated),
		FAKE(controllers_are_handed_down_when_the_proxy_has_stepped_aside),
		FAKE(who_is_not_alone_stays_where_it_is),
		FAKE(without_controllers_nothing_is_handed_down),
		FAKE(a_worker_is_limited),
		FAKE(no_limit_is_none),
		FAKE(a_limit_that_cannot_be_set_is_no_cgroup),
		FAKE(the_kernels_kills_for_memory_are_seen),
		FAKE(a_death_at_the_limit_has_its_own_reason),
		FAKE(a_worker_without_a_cgroup_is_better_than_none),
	};

	if (!rig_has_pidfds())
		return RIG_LEFT_OUT;
	strays_adopt();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
