/* SPDX-License-Identifier: MIT */
/* Finds descendants and what they hold through /proc, and ends them through pidfds. */
#include "pool/unblock_kin.h"

#include "pool/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	MAX_KIN = 256,
	MAX_LEVELS = 8,         /* up to the head of a family */
	MAX_LOOKED = 16 * 1024, /* descriptors, for one question: some 20 ms */
};

struct kin {
	size_t n;
	pid_t pids[MAX_KIN];
};

/* ---- who they are ---- */

static void add_children_of_thread(struct kin *kin, int proc, const char *thread)
{
	char path[320], text[4096];
	char *at = text, *end;

	snprintf(path, sizeof(path), "task/%s/children", thread);
	if (unblock_look_text(proc, path, text, sizeof(text)) <= 0)
		return;
	for (long pid; kin->n < MAX_KIN && (pid = strtol(at, &end, 10)) > 1; at = end)
		kin->pids[kin->n++] = (pid_t)pid;
}

static void add_children(struct kin *kin, pid_t pid)
{
	int proc = unblock_look_open(pid);
	int fd = proc < 0 ? -1 : openat(proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *threads = fd < 0 ? NULL : fdopendir(fd);

	for (const struct dirent *entry; threads && (entry = readdir(threads));) {
		if (entry->d_name[0] != '.')
			add_children_of_thread(kin, proc, entry->d_name);
	}
	if (threads)
		closedir(threads);
	else if (fd >= 0)
		close(fd);
	if (proc >= 0)
		close(proc);
}

static void find_descendants(struct kin *kin, pid_t pid)
{
	kin->n = 0;
	add_children(kin, pid);
	for (size_t i = 0; i < kin->n; i++)
		add_children(kin, kin->pids[i]);
}

/* Children of ours that we did not start, without pid, and their descendants. */
static void find_orphans(struct kin *kin, pid_t pid)
{
	size_t n = 0;

	kin->n = 0;
	add_children(kin, getpid());
	for (size_t i = 0; i < kin->n; i++) {
		if (kin->pids[i] != pid && !process_find(kin->pids[i]))
			kin->pids[n++] = kin->pids[i];
	}
	kin->n = n;
	for (size_t i = 0; i < kin->n; i++)
		add_children(kin, kin->pids[i]);
}

/* ---- what they hold ---- */

static int access_mode(int proc, int fd)
{
	char path[32], text[256];

	snprintf(path, sizeof(path), "fdinfo/%d", fd);
	if (unblock_look_text(proc, path, text, sizeof(text)) <= 0)
		return -1;

	const char *flags = strstr(text, "flags:");

	return flags ? (int)strtol(flags + strlen("flags:"), NULL, 8) & O_ACCMODE : -1;
}

/* Says whether one descriptor is what is looked for. */
typedef bool is_wanted(int proc, int fd, const void *ctx);

/* Has the process a descriptor that leads to `target` and is wanted? *left: how many may still be looked at; 0
 * afterwards: not all were. */
static bool holds(int proc, const char *target, is_wanted *wanted, const void *ctx, int *left)
{
	int folder = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *fds = folder < 0 ? NULL : fdopendir(folder);
	ssize_t len = (ssize_t)strlen(target);
	bool is_held = false;
	char found[64];

	for (const struct dirent *entry; fds && !is_held && *left > 0 && (entry = readdir(fds)); --*left) {
		if (readlinkat(folder, entry->d_name, found, sizeof(found)) == len && !memcmp(found, target, (size_t)len))
			is_held = wanted(proc, (int)strtol(entry->d_name, NULL, 10), ctx);
	}
	if (fds)
		closedir(fds);
	else if (folder >= 0)
		close(folder);
	return is_held;
}

static bool is_other_end(int proc, int fd, const void *ctx)
{
	const int *mode = ctx;
	int found = access_mode(proc, fd);

	return found >= 0 && found != *mode; /* closed by now: it holds nothing */
}

/* ---- ending them ---- */

struct holders {
	size_t n;
	pid_t pids[MAX_KIN];
	int pidfds[MAX_KIN];
};

static bool is_known(const struct holders *holders, pid_t pid)
{
	for (size_t i = 0; i < holders->n; i++) {
		if (holders->pids[i] == pid)
			return true;
	}
	return false;
}

static bool stop_if_holds(struct holders *holders, pid_t pid, const char *target, int mode, int *left)
{
	/* Taken before the look: should the number be given away in between, it is not the new owner that is hit. */
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int proc = pidfd < 0 ? -1 : unblock_look_open(pid);
	bool is_stopped = proc >= 0 && holds(proc, target, is_other_end, &mode, left) &&
	                  syscall(SYS_pidfd_send_signal, pidfd, SIGSTOP, NULL, 0) == 0;

	if (is_stopped) {
		holders->pids[holders->n] = pid;
		holders->pidfds[holders->n++] = pidfd;
	} else if (pidfd >= 0) {
		close(pidfd);
	}
	if (proc >= 0)
		close(proc);
	return is_stopped;
}

/* Returns how many were found that were not known. */
static size_t stop_holders(struct holders *holders, const struct kin *kin, const char *target, int mode, int *left)
{
	size_t n = 0;

	for (size_t i = 0; i < kin->n && holders->n < MAX_KIN; i++)
		n += !is_known(holders, kin->pids[i]) && stop_if_holds(holders, kin->pids[i], target, mode, left);
	return n;
}

/* A shell that is killed while it starts a program leaves it behind as an orphan, with the pipe. So all are stopped
 * first, until no new one appears (a process with a signal pending does not fork), and then killed. */
uint32_t unblock_kin_end_pipe(pid_t pid, int proc, const struct unblock_fd *pipe, pid_t *ret_last)
{
	struct holders holders = {.n = 0};
	struct kin kin;
	char target[40];
	int mode = access_mode(proc, pipe->fd), left = MAX_LOOKED;

	snprintf(target, sizeof(target), "pipe:[%llu]", (unsigned long long)pipe->inode);
	if (mode < 0 || holds(proc, target, is_other_end, &mode, &left)) /* both ends are its own: nobody else would help */
		return 0;
	do
		find_descendants(&kin, pid);
	while (stop_holders(&holders, &kin, target, mode, &left) > 0);
	if (holders.n == 0) {
		find_orphans(&kin, pid);
		stop_holders(&holders, &kin, target, mode, &left);
	}
	for (size_t i = 0; i < holders.n; i++) {
		syscall(SYS_pidfd_send_signal, holders.pidfds[i], SIGKILL, NULL, 0);
		close(holders.pidfds[i]);
		*ret_last = holders.pids[i];
	}
	return (uint32_t)holders.n;
}

bool unblock_kin_end_child(pid_t pid, pid_t child)
{
	struct kin kin;
	bool is_kin = false, is_ended = false;
	int pidfd = (int)syscall(SYS_pidfd_open, child, 0);

	find_descendants(&kin, pid);
	for (size_t i = 0; i < kin.n; i++)
		is_kin |= kin.pids[i] == child;
	if (pidfd >= 0) {
		is_ended = is_kin && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;
		close(pidfd);
	}
	return is_ended;
}

/* ---- who shares ---- */

static bool runs(int proc, const struct stat *program)
{
	struct stat own;

	return fstatat(proc, "exe", &own, 0) == 0 && own.st_ino == program->st_ino && own.st_dev == program->st_dev;
}

static pid_t parent_of(int proc)
{
	char text[512];
	const char *rest = unblock_look_text(proc, "stat", text, sizeof(text)) > 0 ? strrchr(text, ')') : NULL;
	int parent = 0;

	return rest && sscanf(rest, ") %*c %d", &parent) == 1 ? (pid_t)parent : 0;
}

/* The oldest ancestor, in a line of such, that runs the same program: a master that has forked its workers. */
static pid_t head_of(pid_t pid, int proc, const struct stat *program)
{
	int above = dup(proc);

	for (int i = 0; i < MAX_LEVELS && above >= 0; i++) {
		pid_t parent = parent_of(above);

		close(above);
		above = parent > 1 && parent != getpid() ? unblock_look_open(parent) : -1;
		if (above >= 0 && !runs(above, program)) {
			close(above);
			above = -1;
		}
		pid = above >= 0 ? parent : pid;
	}
	if (above >= 0)
		close(above);
	return pid;
}

static bool is_used(int proc, int fd, const void *ctx)
{
	return fd <= STDERR_FILENO || runs(proc, ctx);
}

static bool uses(pid_t pid, const char *target, const struct stat *program, int *left)
{
	int proc = unblock_look_open(pid);
	bool is_used_there = proc >= 0 && holds(proc, target, is_used, program, left);

	if (proc >= 0)
		close(proc);
	return is_used_there || *left == 0;
}

bool unblock_kin_shares(pid_t pid, int proc, ino_t inode)
{
	struct kin kin;
	struct stat program;
	char target[40];
	int left = MAX_LOOKED;

	if (fstatat(proc, "exe", &program, 0))
		return false;
	snprintf(target, sizeof(target), "socket:[%llu]", (unsigned long long)inode);

	pid_t head = head_of(pid, proc, &program);
	bool is_shared = head != pid && uses(head, target, &program, &left);

	find_descendants(&kin, head);
	for (size_t i = 0; i < kin.n && !is_shared; i++)
		is_shared = kin.pids[i] != pid && uses(kin.pids[i], target, &program, &left);
	return is_shared;
}

bool unblock_kin_is_visible(pid_t pid, int proc)
{
	char path[48], text[16];

	snprintf(path, sizeof(path), "task/%d/children", (int)pid);
	return unblock_look_text(proc, path, text, sizeof(text)) >= 0 && faccessat(proc, "fd/.", R_OK, 0) == 0;
}
