/* SPDX-License-Identifier: MIT */
/* Starts and stops one process. */
#include "child.h"

#include "tally.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STOP_MS = 10000, LOOK_MS = 10 };

int child_start(struct child *child, const char *const *argv, const char *log)
{
	posix_spawn_file_actions_t files;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
	child->started_ns = tally_now_ns();

	int error = posix_spawnp(&child->pid, argv[0], &files, NULL, (char *const *)(uintptr_t)argv, environ);

	posix_spawn_file_actions_destroy(&files);
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

int child_wait(struct child *child)
{
	int status = -1;

	waitpid(child->pid, &status, 0);
	child->pid = 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}
