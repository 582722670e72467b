/* SPDX-License-Identifier: MIT */
/* Starts and stops one process. */
#include "child.h"

#include "tally.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STOP_MS = 10000, LOOK_MS = 10 };

static volatile sig_atomic_t is_interrupted, waited_for; /* waited_for: a process that has not been reaped; 0: none */

/* In the child: it ends when the bench does, however that comes about. */
static void become(const char *const *argv, const char *log, pid_t bench)
{
	int in = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	if (in < 0 || out < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
		return;
	close(in);
	close(out);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != bench)
		return;
	execvp(argv[0], (char *const *)(uintptr_t)argv);
}

/* 0, or why it has not become the program. */
static int spawn(pid_t *ret_pid, const char *const *argv, const char *log)
{
	int told[2], error = 0;
	pid_t bench = getpid();

	*ret_pid = 0;
	if (pipe2(told, O_CLOEXEC))
		return errno;
	*ret_pid = fork();
	if (*ret_pid == 0) {
		become(argv, log, bench);
		error = errno;
		_exit(write(told[1], &error, sizeof(error)) > 0 ? 127 : 126);
	}
	if (*ret_pid < 0)
		error = errno;
	close(told[1]);
	if (!error && read(told[0], &error, sizeof(error)) > 0) /* nothing: it was closed by exec */
		waitpid(*ret_pid, NULL, 0);
	close(told[0]);
	return error;
}

int child_start(struct child *child, const char *const *argv, const char *log)
{
	child->started_ns = tally_now_ns();

	int error = spawn(&child->pid, argv, log);

	if (error == 0)
		return 0;
	fprintf(stderr, "qbus-bench: cannot start %s: %s\n", argv[0], strerror(error));
	child->pid = 0;
	return -1;
}

static bool has_ended(struct child *child, int flags)
{
	int status;

	if (child->pid && waitpid(child->pid, &status, flags) == child->pid)
		child->pid = 0;
	return child->pid == 0;
}

void child_stop(struct child *child)
{
	if (child->pid == 0)
		return;
	kill(child->pid, SIGTERM);
	for (int waited_ms = 0; waited_ms < STOP_MS && !has_ended(child, WNOHANG); waited_ms += LOOK_MS)
		poll(NULL, 0, LOOK_MS);
	if (child->pid == 0)
		return;
	fprintf(stderr, "qbus-bench: a process does not end within %d s and is killed pid=%d\n", STOP_MS / 1000,
		(int)child->pid);
	kill(child->pid, SIGKILL);
	has_ended(child, 0);
}

void child_interrupt(void)
{
	is_interrupted = 1;
	if (waited_for)
		kill(waited_for, SIGTERM);
}

bool child_is_interrupted(void)
{
	return is_interrupted;
}

int child_wait(struct child *child)
{
	siginfo_t info;
	int status = -1;

	waited_for = child->pid;
	if (is_interrupted)
		kill(child->pid, SIGTERM);
	while (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT) && errno == EINTR)
		;
	waited_for = 0; /* its number may be another's as soon as it is reaped */
	waitpid(child->pid, &status, 0);
	child->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
