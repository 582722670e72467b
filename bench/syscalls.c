/* SPDX-License-Identifier: MIT */
/* perf_event_open on raw_syscalls:sys_enter, a counter a thread. */
#include "syscalls.h"

#include <dirent.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char event_file[] = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id";

/* The tracepoint's number; 0: there is none for us. */
static uint64_t event_id(void)
{
	uint64_t id = 0;
	FILE *file = fopen(event_file, "re");

	if (file && fscanf(file, "%" SCNu64, &id) != 1)
		id = 0;
	if (file)
		fclose(file);
	return id;
}

static int open_counter(uint64_t id, pid_t thread)
{
	struct perf_event_attr what = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(what), .config = id, .inherit = 1};

	return (int)syscall(SYS_perf_event_open, &what, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

bool syscalls_can(void)
{
	uint64_t id = event_id();
	int fd = id ? open_counter(id, 0) : -1;

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void syscalls_add(struct syscalls *syscalls, pid_t pid)
{
	char path[64];
	uint64_t id = event_id();

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);

	DIR *directory = id ? opendir(path) : NULL;

	for (const struct dirent *entry; directory && (entry = readdir(directory));) {
		pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
		int fd = thread > 0 && syscalls->n < SYSCALLS_MAX_THREADS ? open_counter(id, thread) : -1;

		if (fd >= 0)
			syscalls->fds[syscalls->n++] = fd;
	}
	if (directory)
		closedir(directory);
}

uint64_t syscalls_read(const struct syscalls *syscalls)
{
	uint64_t total = 0, count;

	for (size_t i = 0; i < syscalls->n; i++) {
		if (read(syscalls->fds[i], &count, sizeof(count)) == sizeof(count))
			total += count;
	}
	return total;
}

void syscalls_done(struct syscalls *syscalls)
{
	for (size_t i = 0; i < syscalls->n; i++)
		close(syscalls->fds[i]);
	syscalls->n = 0;
}
