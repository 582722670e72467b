/* SPDX-License-Identifier: MIT */
/* A child starts clean, is alone with its standard descriptors, and leaves nothing behind. */
#include "pool/process.h"

#include "pool/strays.h"
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 60000 };

static char *no_environment[] = {(char[]){"PATH=/usr/bin:/bin"}, NULL};

static void spawn_plan(struct process *process, const struct process_plan *plan)
{
	assert_int_equal(process_spawn(process, plan), 0);
}

static void spawn_shell(struct process *process, const char *script)
{
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)script, NULL};
	struct process_plan plan = {.argv = argv, .environment = no_environment};

	spawn_plan(process, &plan);
}

static void end(struct process *process)
{
	process_signal(process, SIGKILL);
	assert_true(process_wait(process, WAIT_MS));
	process_done(process);
}

/* Reads a line of what the process writes, without its end. */
static void read_line(const struct process *process, char *line, size_t size)
{
	struct pollfd readable = {.fd = process->out, .events = POLLIN};
	size_t len = 0;

	while (len + 1 < size && poll(&readable, 1, WAIT_MS) == 1 && read(process->out, line + len, 1) == 1) {
		if (line[len++] == '\n') {
			line[len - 1] = '\0';
			return;
		}
	}
	fail_msg("the process has written no line");
}

/* Waits for the end and returns all that was written. */
static const char *run_shell(const char *script, char *text, size_t size)
{
	struct process process;

	spawn_shell(&process, script);
	assert_true(process_wait(&process, WAIT_MS));

	ssize_t n = read(process.out, text, size - 1);

	assert_true(n >= 0);
	text[n] = '\0';
	process_done(&process);
	return text;
}

static bool is_gone(pid_t pid)
{
	strays_reap();
	return !rig_is_running(pid);
}

static void wait_until_gone(pid_t pid)
{
	for (int i = 0; i < WAIT_MS && !is_gone(pid); i++)
		poll(NULL, 0, 1);
	assert_true(is_gone(pid));
}

/* What was killed with its group may take a moment to die. */
static void assert_no_children(void)
{
	for (int i = 0; i < WAIT_MS && rig_n_children() > 0; i++) {
		strays_reap();
		poll(NULL, 0, 1);
	}
	assert_int_equal(rig_n_children(), 0);
}

static void an_exit_status_and_a_signal_are_told_apart(void **state)
{
	struct process process;
	char text[64];

	(void)state;
	spawn_shell(&process, "exit 255");
	assert_true(process_wait(&process, WAIT_MS));
	assert_string_equal(process_describe(process.status, text, sizeof(text)), "exit 255");
	process_done(&process);
	spawn_shell(&process, "kill -SEGV $$");
	assert_true(process_wait(&process, WAIT_MS));
	assert_string_equal(process_describe(process.status, text, sizeof(text)), "signal SIGSEGV");
	process_done(&process);
	assert_no_children();
}

static void nothing_is_inherited_but_the_standard_descriptors(void **state)
{
	int open_here[] = {open("/dev/null", O_RDONLY), dup(1), fcntl(1, F_DUPFD, 500)};
	char text[4096], names[3][256] = {{0}};

	(void)state;
	run_shell("ls -l /proc/self/fd | sed -n 's/.* \\([0-9]* -> .*\\)/\\1/p'", text, sizeof(text));
	assert_int_equal(sscanf(text, "0 -> %255s 1 -> %255s 2 -> %255s 3 -> /proc/", names[0], names[1], names[2]), 3);
	assert_string_equal(names[0], "/dev/null");
	assert_non_null(strstr(names[2], "pipe:"));
	assert_null(strstr(text, "4 -> "));
	assert_null(strstr(text, "500 -> "));
	for (size_t i = 0; i < 3; i++)
		close(open_here[i]);
}

static void no_signal_is_blocked_or_ignored_but_the_one_that_tells(void **state)
{
	char text[512];
	sigset_t blocked, before;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	run_shell("grep -E 'SigBlk|SigIgn' /proc/self/status", text, sizeof(text));
	sigprocmask(SIG_SETMASK, &before, &blocked);
	signal(SIGPIPE, SIG_DFL);
	assert_true(sigismember(&blocked, SIGTERM)); /* the parent has its mask back */
	assert_string_equal(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000200\n");
}

static void a_child_leads_its_own_group(void **state)
{
	struct process process;

	(void)state;
	spawn_shell(&process, "sleep 1000");
	assert_int_equal(getpgid(process.pid), process.pid);
	assert_ptr_equal(process_find(process.pid), &process);
	assert_false(process_collect(&process));
	end(&process);
	assert_null(process_find(getpid()));
}

static void the_group_dies_with_its_leader(void **state)
{
	struct process process;
	char line[64];

	(void)state;
	spawn_shell(&process, "(trap '' TERM; while :; do sleep 1000; done) & echo $!; exit 3");
	read_line(&process, line, sizeof(line));
	assert_true(process_wait(&process, WAIT_MS));
	wait_until_gone((pid_t)atoi(line));
	assert_int_equal(WEXITSTATUS(process.status), 3);
	process_done(&process);
	assert_no_children();
}

static void a_signal_reaches_the_whole_group(void **state)
{
	struct process process;
	char line[64];

	(void)state;
	spawn_shell(&process, "sleep 1000 & echo $!; trap '' TERM; wait; sleep 1000");
	read_line(&process, line, sizeof(line));
	process_signal(&process, SIGTERM);
	wait_until_gone((pid_t)atoi(line));
	end(&process);
}

static void failure_of(const struct process_plan *plan, char *text, size_t size)
{
	struct process process;

	spawn_plan(&process, plan);
	assert_true(process_wait(&process, WAIT_MS));
	assert_true(process_failure(&process, plan, text, size));
	process_done(&process);
}

static void what_cannot_be_executed_is_said_in_a_sentence(void **state)
{
	char *argv[] = {(char[]){"no-such-program"}, NULL}, *shell[] = {(char[]){"sh"}, NULL};
	struct process_plan plan = {.argv = argv, .environment = no_environment};
	char text[256];

	(void)state;
	failure_of(&plan, text, sizeof(text));
	assert_string_equal(text, "cannot execute no-such-program: No such file or directory");
	plan.argv = shell;
	plan.directory = "/no/such/directory";
	failure_of(&plan, text, sizeof(text));
	assert_string_equal(text, "cannot enter /no/such/directory: No such file or directory");
}

static void an_exit_of_its_own_is_no_failure_to_start(void **state)
{
	struct process process;
	struct process_plan plan = {0};
	char text[256];

	(void)state;
	spawn_shell(&process, "exit 127");
	assert_true(process_wait(&process, WAIT_MS));
	assert_false(process_failure(&process, &plan, text, sizeof(text)));
	process_done(&process);
}

/* Forks a parent that spawns a process and tells us its number; kills the parent; returns the number. */
static pid_t orphan(const struct process_plan *plan)
{
	int ends[2];
	pid_t pid = 0, parent;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		struct process process;
		int err = process_spawn(&process, plan);

		if (err || write(ends[1], &process.pid, sizeof(pid)) < 0)
			_exit(1);
		pause();
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &pid, sizeof(pid)), sizeof(pid));
	assert_true(rig_is_running(pid));
	kill(parent, SIGKILL);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	close(ends[0]);
	return pid;
}

static void a_child_dies_with_its_parent(void **state)
{
	char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
	struct process_plan plan = {.argv = argv, .environment = no_environment};

	(void)state;
	wait_until_gone(orphan(&plan));
}

static void a_child_of_another_user_dies_with_its_parent_too(void **state)
{
	char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
	struct process_user user;
	struct process_plan plan = {.argv = argv, .environment = no_environment, .user = &user};

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(process_user_find("nobody", &user), 0);
	wait_until_gone(orphan(&plan));
	process_user_done(&user);
}

static void a_child_becomes_its_user_with_that_users_groups(void **state)
{
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"echo $(id -u) $(id -g) $(id -G)"}, NULL};
	struct process_user user;
	struct process_plan plan = {.argv = argv, .environment = no_environment, .user = &user};
	struct process process;
	char line[256], expected[256];

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(process_user_find("nobody", &user), 0);
	snprintf(expected, sizeof(expected), "%u %u %u", user.uid, user.gid, user.gid);
	spawn_plan(&process, &plan);
	read_line(&process, line, sizeof(line));
	assert_string_equal(line, expected);
	end(&process);
	process_user_done(&user);
}

static void an_unknown_user_is_refused(void **state)
{
	struct process_user user;

	(void)state;
	assert_int_equal(process_user_find("no-such-user", &user), -ENOENT);
}

static bool is_marked(void *ctx, const char *environment, size_t len)
{
	return memmem(environment, len, ctx, strlen(ctx)) != NULL;
}

/* While a process executes its environment cannot be read. */
static void wait_until_killed(char *mark)
{
	size_t n = 0;

	for (int i = 0; i < WAIT_MS && n == 0; i++) {
		n = strays_kill(is_marked, mark);
		poll(NULL, 0, n == 0);
	}
	assert_int_equal(n, 1);
}

static void strays_are_adopted_told_apart_killed_and_reaped(void **state)
{
	struct process process;
	char line[64];

	(void)state;
	assert_no_children();
	spawn_shell(&process, "MARK=stray setsid sh -c 'echo $$; exec sleep 1000' & wait");
	read_line(&process, line, sizeof(line));
	kill(process.pid, SIGKILL); /* not its group */
	assert_true(process_wait(&process, WAIT_MS));
	assert_true(rig_is_running((pid_t)atoi(line)));
	assert_int_equal(strays_kill(is_marked, (char[]){"MARK=other"}), 0);
	wait_until_killed((char[]){"MARK=stray"});
	wait_until_gone((pid_t)atoi(line));
	process_done(&process);
	assert_no_children();
}

static void the_rest_are_all_but_the_keeper_and_our_own(void **state)
{
	struct process process, own;
	char line[64];
	pid_t keeper = fork();

	(void)state;
	if (keeper == 0) {
		pause();
		_exit(0);
	}
	spawn_shell(&own, "exec sleep 1000");
	spawn_shell(&process, "env -i setsid sh -c 'setsid sleep 1000 & echo $$ $!; exec sleep 1000' & wait");
	read_line(&process, line, sizeof(line));
	kill(process.pid, SIGKILL);
	assert_true(process_wait(&process, WAIT_MS));
	process_done(&process);

	char *end;
	pid_t stray = (pid_t)strtol(line, &end, 10), below = (pid_t)strtol(end, NULL, 10);

	assert_true(stray > 1 && below > 1 && rig_is_running(stray) && rig_is_running(below));
	assert_int_equal(strays_kill_rest(keeper), 2);
	assert_false(rig_is_running(stray) || rig_is_running(below));
	assert_true(rig_is_running(own.pid) && rig_is_running(keeper));
	process_signal(&own, SIGKILL);
	assert_true(process_wait(&own, WAIT_MS));
	process_done(&own);
	kill(keeper, SIGKILL);
	assert_int_equal(waitpid(keeper, NULL, 0), keeper);
	assert_no_children();
}

static void reaping_strays_keeps_the_status_of_our_own(void **state)
{
	struct process process;
	struct pollfd exited = {.events = POLLIN};

	(void)state;
	assert_no_children();
	spawn_shell(&process, "exit 9");
	exited.fd = process.pidfd;
	assert_int_equal(poll(&exited, 1, WAIT_MS), 1);
	assert_int_equal(strays_reap(), 0);
	assert_true(process.is_reaped);
	assert_int_equal(poll(&exited, 1, 0), 1); /* the loop hears of it nevertheless */
	assert_true(process_collect(&process));
	assert_int_equal(WEXITSTATUS(process.status), 9);
	process_done(&process);
}

/* As a thread that could not be let go at once, while the loop goes on (pool/unblock_trace.h). */
static void what_stands_still_because_it_is_traced_has_not_exited(void **state)
{
	struct process process;
	siginfo_t stop = {0};
	char line[8];

	(void)state;
	spawn_shell(&process, "echo up; exec sleep 1000");
	read_line(&process, line, sizeof(line));
	if (ptrace(PTRACE_SEIZE, process.pid, NULL, NULL)) {
		end(&process);
		skip();
	}
	assert_int_equal(ptrace(PTRACE_INTERRUPT, process.pid, NULL, NULL), 0);
	assert_int_equal(waitid(P_PID, (id_t)process.pid, &stop, WSTOPPED | WNOWAIT), 0);
	assert_int_equal(strays_reap(), 0);
	assert_false(process_collect(&process));
	stop.si_pid = 0;
	assert_int_equal(waitid(P_PID, (id_t)process.pid, &stop, WSTOPPED | WNOHANG), 0);
	assert_int_equal(stop.si_pid, process.pid); /* its tracer is still told of it */
	assert_int_equal(ptrace(PTRACE_DETACH, process.pid, NULL, NULL), 0);
	assert_true(rig_is_running(process.pid));
	end(&process);
	assert_no_children();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exit_status_and_a_signal_are_told_apart),
		cmocka_unit_test(nothing_is_inherited_but_the_standard_descriptors),
		cmocka_unit_test(no_signal_is_blocked_or_ignored_but_the_one_that_tells),
		cmocka_unit_test(a_child_leads_its_own_group),
		cmocka_unit_test(the_group_dies_with_its_leader),
		cmocka_unit_test(a_signal_reaches_the_whole_group),
		cmocka_unit_test(what_cannot_be_executed_is_said_in_a_sentence),
		cmocka_unit_test(an_exit_of_its_own_is_no_failure_to_start),
		cmocka_unit_test(a_child_dies_with_its_parent),
		cmocka_unit_test(a_child_of_another_user_dies_with_its_parent_too),
		cmocka_unit_test(a_child_becomes_its_user_with_that_users_groups),
		cmocka_unit_test(an_unknown_user_is_refused),
		cmocka_unit_test(strays_are_adopted_told_apart_killed_and_reaped),
		cmocka_unit_test(the_rest_are_all_but_the_keeper_and_our_own),
		cmocka_unit_test(reaping_strays_keeps_the_status_of_our_own),
		cmocka_unit_test(what_stands_still_because_it_is_traced_has_not_exited),
	};

	if (!rig_has_pidfds())
		return RIG_LEFT_OUT;
	strays_adopt(); /* also so that we see what becomes of the orphans */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
