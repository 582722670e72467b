/* SPDX-License-Identifier: MIT */
/* Adopts, finds, kills and reaps the orphans that workers leave behind. */
#include "pool/strays.h"

#include "pool/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Enough for any environment that matters to us: what a pool sets stands within. */
enum { MAX_ENVIRONMENT = 256 * 1024 };

int strays_adopt(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1) ? -errno : 0;
}

size_t strays_reap(void)
{
	size_t n = 0;

	for (;;) {
		siginfo_t info = {0};

		/* Only looked at: a process of ours must be reaped by process_collect, which keeps its status. */
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == 0)
			return n;

		struct process *process = process_find(info.si_pid);

		if (process)
			process_collect(process);
		else
			n += waitpid(info.si_pid, NULL, WNOHANG) == info.si_pid;
	}
}

/* Reads at most size bytes of a file; returns how many, 0 when it cannot be read. */
static size_t read_file(const char *path, char *data, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 1;

	while (fd >= 0 && len < size && (n = read(fd, data + len, size - len)) > 0)
		len += (size_t)n;
	if (fd >= 0)
		close(fd);
	return n < 0 ? 0 : len;
}

static bool is_condemned(pid_t pid, char *data, strays_condemn *condemn, void *ctx)
{
	char path[64];

	if (process_find(pid))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);

	size_t len = read_file(path, data, MAX_ENVIRONMENT);

	return len > 0 && condemn(ctx, data, len);
}

static size_t kill_children(const char *thread, char *data, strays_condemn *condemn, void *ctx)
{
	char path[320], word[16];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%s/children", thread);

	FILE *children = fopen(path, "re");

	while (children && fscanf(children, "%15s", word) == 1) {
		pid_t pid = (pid_t)strtol(word, NULL, 10);

		/* It is our child and only we reap, so the number cannot have become another's. */
		if (pid > 1 && is_condemned(pid, data, condemn, ctx))
			n += kill(pid, SIGKILL) == 0;
	}
	if (children)
		fclose(children);
	return n;
}

/* An orphan becomes a child of any of our threads, so all are asked. */
size_t strays_kill(strays_condemn *condemn, void *ctx)
{
	DIR *threads = opendir("/proc/self/task");
	char *data = malloc(MAX_ENVIRONMENT);
	size_t n = 0;

	for (const struct dirent *entry; threads && data && (entry = readdir(threads));) {
		if (entry->d_name[0] != '.')
			n += kill_children(entry->d_name, data, condemn, ctx);
	}
	if (threads)
		closedir(threads);
	free(data);
	return n;
}
