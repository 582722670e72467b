/* SPDX-License-Identifier: MIT */
/* What a killed proxy has started ends with it, also what tried to get away. */
#include "pool/keeper.h"

#include "base/clock.h"
#include "pool/strays.h"
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char path_of_socket[64]; /* of this run alone */

/* A process with a session of its own and that environment, no child of ours. Returns its pid. */
static pid_t detached(const char *socket, const char *marker)
{
	int fds[2];
	pid_t pid = -1;

	assert_int_equal(pipe(fds), 0);
	if (fork() == 0) {
		if (fork() == 0) {
			setsid();
			setenv("QBUS_SOCKET", socket, 1);
			setenv("QBUS_PROXY", marker, 1);
			pid = getpid();
			if (write(fds[1], &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
				_exit(1);
			execl("/bin/sleep", "sleep", "1000", (char *)NULL);
		}
		_exit(0);
	}
	wait(NULL);
	assert_int_equal(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static bool is_gone(void *ctx)
{
	return !rig_is_running(*(pid_t *)ctx);
}

static bool has_executed(void *ctx)
{
	char path[64], name[16] = "";

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)*(pid_t *)ctx);

	FILE *file = fopen(path, "re");

	if (file && fscanf(file, "%15s", name) != 1)
		*name = '\0';
	if (file)
		fclose(file);
	return strcmp(name, "sleep") == 0;
}

/* A proxy that starts a keeper and a detached process, says its number and waits to be killed. */
static _Noreturn void proxy_run(int fd)
{
	struct keeper keeper;

	if (keeper_start(&keeper, NULL))
		_exit(1);

	pid_t pids[] = {detached(path_of_socket, strays_marker()), keeper.pid};

	if (write(fd, pids, sizeof(pids)) != (ssize_t)sizeof(pids))
		_exit(1);
	for (;;)
		pause();
}

static pid_t proxy_start(pid_t *ret_left, pid_t *ret_keeper)
{
	int fds[2];
	pid_t pids[2] = {0};

	assert_int_equal(pipe(fds), 0);

	pid_t proxy = fork();

	if (proxy == 0)
		proxy_run(fds[1]);
	close(fds[1]);
	assert_int_equal(read(fds[0], pids, sizeof(pids)), sizeof(pids));
	close(fds[0]);
	*ret_left = pids[0];
	*ret_keeper = pids[1];
	return proxy;
}

static void the_keeper_ends_what_a_killed_proxy_leaves(void **state)
{
	struct rig *rig = *state;
	pid_t left, keeper, stranger = detached(path_of_socket, "1.2.3"), proxy = proxy_start(&left, &keeper);

	rig_until(rig, has_executed, &left);
	rig_until(rig, has_executed, &stranger);
	kill(keeper, SIGTERM); /* as a service manager does to all of a service */
	kill(proxy, SIGKILL);
	waitpid(proxy, NULL, 0);
	rig_until(rig, is_gone, &left);
	rig_until(rig, is_gone, &keeper);
	assert_true(rig_is_running(stranger));
	kill(stranger, SIGKILL);
}

static void the_next_start_ends_it_where_the_keeper_was_killed_too(void **state)
{
	struct rig *rig = *state;
	pid_t left, keeper, proxy = proxy_start(&left, &keeper);

	rig_until(rig, has_executed, &left);
	assert_int_equal(strays_kill_left(path_of_socket), 0); /* its proxy lives */
	kill(keeper, SIGKILL);
	kill(proxy, SIGKILL);
	waitpid(proxy, NULL, 0);
	assert_true(rig_is_running(left));
	assert_int_equal(strays_kill_left("/run/another.sock"), 0);
	assert_int_equal(strays_kill_left(path_of_socket), 1);
	rig_until(rig, is_gone, &left);
}

static void a_proxy_of_another_namespace_is_left_alone(void **state)
{
	struct rig *rig = *state;
	pid_t stranger = detached(path_of_socket, "1.2.3");

	rig_until(rig, has_executed, &stranger);
	assert_int_equal(strays_kill_left(path_of_socket), 0);
	assert_true(rig_is_running(stranger));
	kill(stranger, SIGKILL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_keeper_ends_what_a_killed_proxy_leaves),
		TEST(the_next_start_ends_it_where_the_keeper_was_killed_too),
		TEST(a_proxy_of_another_namespace_is_left_alone),
	};

	snprintf(path_of_socket, sizeof(path_of_socket), "/run/keeper-test.%d.sock", (int)getpid());
	if (!rig_has_pidfds())
		return RIG_LEFT_OUT;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
