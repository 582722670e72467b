/* SPDX-License-Identifier: MIT */
/* What the loop spends on a process that hangs is bounded, whatever it does; what its family uses too is left alone. */
#include "pool/unblock.h"

#include "base/clock.h"
#include "hung.h"
#include "pool/unblock_kin.h"
#include "pool/unblock_look.h"
#include "pool/unblock_trace.h"
#include "rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- its family ---- */

/* A child that ends with its parent, also where that one has ended before the child could say so. */
static pid_t fork_bound(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

static _Noreturn void read_for_ever(int fd)
{
	char byte;

	_exit(recv(fd, &byte, 1, 0) == 0 ? 0 : 1);
}

/* A master that connects and forks the one that reads. */
static long as_master(const struct hung_child *child)
{
	int fd = hung_connect(child->port);
	pid_t pid = fork_bound();

	if (pid == 0)
		read_for_ever(fd);
	return pid;
}

/* A master that forks two with its connection and has closed it itself. */
static long as_master_of_two(const struct hung_child *child)
{
	int fd = hung_connect(child->port);
	pid_t sibling = fork_bound();

	while (sibling == 0)
		pause();

	pid_t pid = fork_bound();

	if (pid == 0)
		read_for_ever(fd);
	close(fd);
	return pid;
}

/* A master whose workers connect by themselves. */
static long as_master_of_its_own(const struct hung_child *child)
{
	pid_t pid = fork_bound();

	if (pid == 0)
		read_for_ever(hung_connect(child->port));
	return pid;
}

/* What becomes of the child of that master. */
static void free_child_of(hung_body *master, bool is_traced, const char *kind, bool is_shut)
{
	const struct unblock_stages *stages = hung_way(is_traced);
	struct hung hung, child = {.session = -1};
	char line[32] = "";

	hung_fork(&hung, master);
	assert_true(recv(hung.session, line, sizeof(line) - 1, 0) > 0); /* it is not let go: it would end */
	child.pid = (pid_t)strtol(line, NULL, 10);
	assert_true(child.pid > 1);
	hung_await(&child, "recvfrom");
	unblock_begin(&child.unblock, child.pid, -1, stages, 0);
	unblock_step(&child.unblock, 0, false);
	assert_string_equal(child.unblock.last.kind, kind);
	assert_int_equal(unblock_has_broken(&child.unblock), is_shut);
	unblock_end(&child.unblock);
	hung_kill(&hung);
}

static void a_socket_that_its_master_uses_too_is_left_alone(void **state)
{
	(void)state;
	for (int is_traced = 0; is_traced <= 1; is_traced++)
		free_child_of(as_master, is_traced, "shared socket", false);
}

static void a_socket_that_its_sibling_uses_too_is_left_alone(void **state)
{
	(void)state;
	for (int is_traced = 0; is_traced <= 1; is_traced++)
		free_child_of(as_master_of_two, is_traced, "shared socket", false);
}

static void a_socket_of_a_masters_child_alone_is_shut(void **state)
{
	(void)state;
	for (int is_traced = 0; is_traced <= 1; is_traced++)
		free_child_of(as_master_of_its_own, is_traced, "tcp", true);
}

/* ---- large tables ---- */

static void a_table_without_end_is_not_looked_through(void **state)
{
	struct rlimit before, large = {UNBLOCK_MAX_TABLE + 200, UNBLOCK_MAX_TABLE + 200};
	int pair[2], proc = unblock_look_open(getpid()), *copies = calloc(UNBLOCK_MAX_TABLE, sizeof(int));
	struct stat early, late;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &before);
	large.rlim_max = before.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &large))
		skip();
	pair[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (int i = 0; i < UNBLOCK_MAX_TABLE; i++)
		copies[i] = dup(STDIN_FILENO);
	pair[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* the last in the table */
	assert_int_equal(fstat(pair[0], &early), 0);
	assert_int_equal(fstat(pair[1], &late), 0);
	assert_int_equal(unblock_look_owns(proc, early.st_ino), 1);
	assert_int_equal(unblock_look_owns(proc, late.st_ino), -E2BIG);
	for (int i = 0; i < UNBLOCK_MAX_TABLE; i++)
		close(copies[i]);
	assert_int_equal(unblock_look_owns(proc, late.st_ino), 1);
	assert_int_equal(unblock_look_owns(proc, 1), 0);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(unblock_look_owns(proc, late.st_ino), 0);
	close(proc);
	setrlimit(RLIMIT_NOFILE, &before);
	free(copies);
}

/* ---- a thread out of reach ---- */

/* Until its child is another program or gone nothing but its own end reaches it. A call of our own, for the thread
 * sanitizer makes a fork of vfork. */
static long in_vfork(const struct hung_child *child)
{
	(void)child;
	pid_t pid = (pid_t)syscall(SYS_clone, (long)(CLONE_VFORK | SIGCHLD), 0L, 0L, 0L, 0L);

	while (pid == 0)
		pause();
	return pid;
}

static size_t n_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(folder);
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

static pid_t child_of(pid_t pid)
{
	char path[64], text[32] = "";
	int proc = unblock_look_open(pid);

	snprintf(path, sizeof(path), "task/%d/children", (int)pid);
	unblock_look_text(proc, path, text, sizeof(text));
	close(proc);
	return (pid_t)strtol(text, NULL, 10);
}

static void a_thread_out_of_reach_costs_little_and_nothing_is_kept_of_it(void **state)
{
	struct hung hung;
	struct unblock u;
	int64_t least_us = INT64_MAX, pause_us = 0;
	pid_t child = 0;

	(void)state;
	hung_way(true);
	hung_fork(&hung, in_vfork);
	while (!(child = child_of(hung.pid)))
		sched_yield();

	size_t n_before = n_descriptors();

	unblock_begin(&u, hung.pid, -1, hung_stages(), 0);
	assert_int_equal(unblock_trace_open(u.proc, hung.pid, &u.held), -EBUSY);
	for (int i = 0; i < 20; i++) {
		int64_t began_us = clock_now_us(), next_us = unblock_step(&u, 0, false);
		int64_t took_us = clock_now_us() - began_us;

		assert_non_null(u.held);
		assert_true(next_us >= pause_us);
		pause_us = next_us;
		least_us = took_us < least_us ? took_us : least_us;
	}
	assert_true(least_us < 1000); /* each waited for 2.5 ms at least */
	assert_int_equal(pause_us, 64000);
	unblock_end(&u);
	assert_int_equal(n_descriptors(), n_before);
	kill(child, SIGKILL);
	hung_kill(&hung);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_that_its_master_uses_too_is_left_alone),
		cmocka_unit_test(a_socket_that_its_sibling_uses_too_is_left_alone),
		cmocka_unit_test(a_socket_of_a_masters_child_alone_is_shut),
		cmocka_unit_test(a_table_without_end_is_not_looked_through),
		cmocka_unit_test(a_thread_out_of_reach_costs_little_and_nothing_is_kept_of_it),
	};

	if (!rig_has_pidfds())
		return RIG_LEFT_OUT;
	return cmocka_run_group_tests(tests, hung_setup, NULL);
}
