/* SPDX-License-Identifier: MIT */
/* Adopts, finds, kills and reaps the orphans that workers leave behind. */
#include "pool/strays.h"

#include "pool/environment.h"
#include "pool/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Enough for any environment that matters to us: what a pool sets stands within. */
enum { MAX_ENVIRONMENT = 256 * 1024 };

/* What is killed takes a moment to end, and may leave orphans of its own. */
enum { REST_LOOKS = 100, REST_PAUSE_MS = 5 };

static bool has_foreign_children;

int strays_adopt(void)
{
	siginfo_t info;

	has_foreign_children = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
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
		/* A thread that we trace and that has stopped is shown as well, and hides the others: they can wait. */
		if (info.si_code == CLD_TRAPPED)
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

/* Says whether a child is to be killed. */
typedef bool is_stray(pid_t pid, void *ctx);

static size_t kill_children(const char *thread, is_stray *is_it, void *ctx)
{
	char path[320], word[16];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%s/children", thread);

	FILE *children = fopen(path, "re");

	while (children && fscanf(children, "%15s", word) == 1) {
		pid_t pid = (pid_t)strtol(word, NULL, 10);

		/* It is our child and only we reap, so the number cannot have become another's. */
		if (pid > 1 && is_it(pid, ctx))
			n += kill(pid, SIGKILL) == 0;
	}
	if (children)
		fclose(children);
	return n;
}

/* An orphan becomes a child of any of our threads, so all are asked. */
static size_t kill_all_children(is_stray *is_it, void *ctx)
{
	DIR *threads = opendir("/proc/self/task");
	size_t n = 0;

	for (const struct dirent *entry; threads && (entry = readdir(threads));) {
		if (entry->d_name[0] != '.')
			n += kill_children(entry->d_name, is_it, ctx);
	}
	if (threads)
		closedir(threads);
	return n;
}

struct judge {
	strays_condemn *condemn;
	void *ctx;
	char *data;
};

static bool is_condemned_child(pid_t pid, void *ctx)
{
	const struct judge *judge = ctx;

	return is_condemned(pid, judge->data, judge->condemn, judge->ctx);
}

size_t strays_kill(strays_condemn *condemn, void *ctx)
{
	struct judge judge = {condemn, ctx, malloc(MAX_ENVIRONMENT)};
	size_t n = judge.data ? kill_all_children(is_condemned_child, &judge) : 0;

	free(judge.data);
	return n;
}

static bool is_of_the_rest(pid_t pid, void *ctx)
{
	return pid != *(pid_t *)ctx && !process_find(pid);
}

size_t strays_kill_rest(pid_t keeper)
{
	const struct timespec pause = {.tv_nsec = REST_PAUSE_MS * 1000000L};
	size_t n = 0;

	for (int i = 0; i < REST_LOOKS && !has_foreign_children && kill_all_children(is_of_the_rest, &keeper); i++) {
		nanosleep(&pause, NULL);
		n += strays_reap();
	}
	return n;
}

/* ---- those of a dead proxy ---- */

/* When the process began, in the kernel's ticks since the boot. 0: there is no such process. */
static unsigned long long start_of(pid_t pid)
{
	char path[32], text[1024];
	unsigned long long ticks = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);

	size_t len = read_file(path, text, sizeof(text) - 1);

	text[len] = '\0';

	const char *rest = strrchr(text, ')'); /* a name may contain anything */

	for (int field = 2; rest && field < 22; field++)
		rest = strchr(rest + 1, ' ');
	if (rest)
		ticks = strtoull(rest, NULL, 10);
	return ticks;
}

static unsigned long long own_namespace(void)
{
	struct stat stat_of_ns;

	return stat("/proc/self/ns/pid", &stat_of_ns) ? 0 : (unsigned long long)stat_of_ns.st_ino;
}

const char *strays_marker(void)
{
	static char marker[64];

	if (!*marker)
		snprintf(marker, sizeof(marker), "%llu.%d.%llu", own_namespace(), (int)getpid(), start_of(getpid()));
	return marker;
}

/* The pidfd is there before the look, so what is hit is what was looked at. */
static bool kill_if_condemned(pid_t pid, char *data, strays_condemn *condemn, void *ctx)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool is_killed = pidfd >= 0 && is_condemned(pid, data, condemn, ctx) &&
	                 syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;

	if (pidfd >= 0)
		close(pidfd);
	return is_killed;
}

static size_t kill_everywhere(strays_condemn *condemn, void *ctx)
{
	DIR *all = opendir("/proc");
	char *data = malloc(MAX_ENVIRONMENT);
	size_t n = 0;

	for (const struct dirent *entry; all && data && (entry = readdir(all));) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (isdigit((unsigned char)entry->d_name[0]) && pid > 1 && pid != getpid())
			n += kill_if_condemned(pid, data, condemn, ctx);
	}
	if (all)
		closedir(all);
	free(data);
	return n;
}

static bool is_of(void *ctx, const char *environment, size_t len)
{
	const char *marker = environment_find(environment, len, "QBUS_PROXY");

	return marker && strcmp(marker, ctx) == 0;
}

size_t strays_kill_of(const char *marker)
{
	return kill_everywhere(is_of, (void *)marker);
}

bool strays_is_dead(const char *marker)
{
	unsigned long long ns, start;
	int pid;

	return sscanf(marker, "%llu.%d.%llu", &ns, &pid, &start) == 3 && ns == own_namespace() && start_of(pid) != start;
}

static bool is_left(void *ctx, const char *environment, size_t len)
{
	const char *socket = environment_find(environment, len, "QBUS_SOCKET");
	const char *marker = environment_find(environment, len, "QBUS_PROXY");

	return socket && marker && strcmp(socket, ctx) == 0 && strays_is_dead(marker);
}

size_t strays_kill_left(const char *socket)
{
	return kill_everywhere(is_left, (void *)socket);
}
