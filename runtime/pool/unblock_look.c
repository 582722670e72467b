/* SPDX-License-Identifier: MIT */
/* Reads in which call a thread waits and which descriptors it waits on.
 *
 * All goes through the open folder /proc/PID, which stays with that process: a later one with the same number is not
 * seen through it. */
#include "pool/unblock_look.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_POLL = 1024, LINE_WORDS = 7 };

struct call {
	long number;
	unsigned long args[6];
};

int unblock_look_open(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);

	int proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return proc < 0 ? -errno : proc;
}

ssize_t unblock_look_text(int proc, const char *path, char *text, size_t size)
{
	int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	int error = errno;

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return -error;
	text[n] = '\0';
	return n;
}

static bool read_memory(int proc, unsigned long address, void *data, size_t len)
{
	int fd = openat(proc, "mem", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, data, len, (off_t)address);

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)len;
}

/* ---- descriptors ---- */

bool unblock_look_fd(int proc, struct unblock_fd *fd)
{
	char path[32], target[8];
	struct stat stat;

	snprintf(path, sizeof(path), "fd/%d", fd->fd);
	if (fstatat(proc, path, &stat, 0))
		return false;
	fd->mode = stat.st_mode;
	fd->inode = stat.st_ino;
	fd->is_pipe = S_ISFIFO(stat.st_mode) && readlinkat(proc, path, target, sizeof(target)) >= 5 &&
	              memcmp(target, "pipe:", 5) == 0;
	return true;
}

int unblock_look_owns(int proc, ino_t inode)
{
	int fd = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	int result = folder ? 0 : -EPERM;
	char wanted[40], target[40];
	ssize_t len = snprintf(wanted, sizeof(wanted), "socket:[%llu]", (unsigned long long)inode);

	for (const struct dirent *entry; result == 0 && folder && (entry = readdir(folder));) {
		if (readlinkat(fd, entry->d_name, target, sizeof(target)) == len && !memcmp(target, wanted, (size_t)len))
			result = 1;
		else if (++n == UNBLOCK_MAX_TABLE)
			result = -E2BIG;
	}
	if (folder)
		closedir(folder);
	else if (fd >= 0)
		close(fd);
	return result;
}

static void add_fd(int proc, struct unblock_look *look, int fd, short events)
{
	struct unblock_fd *added = &look->fds[look->n_fds];

	if (look->n_fds == UNBLOCK_MAX_FDS)
		return;
	*added = (struct unblock_fd){.fd = fd, .events = events};
	look->n_fds += unblock_look_fd(proc, added);
}

/* ---- one reader for each shape of arguments ---- */

static enum unblock_wait look_in(int proc, const struct call *call, struct unblock_look *look)
{
	add_fd(proc, look, (int)call->args[0], POLLIN);
	return WAIT_DATA;
}

static enum unblock_wait look_out(int proc, const struct call *call, struct unblock_look *look)
{
	add_fd(proc, look, (int)call->args[0], POLLOUT);
	return WAIT_DATA;
}

static enum unblock_wait look_poll(int proc, const struct call *call, struct unblock_look *look)
{
	struct pollfd fds[MAX_POLL];
	size_t n = call->args[1] < MAX_POLL ? (size_t)call->args[1] : MAX_POLL;

	if (n == 0)
		return WAIT_INTERRUPT; /* a way to sleep */
	if (!read_memory(proc, call->args[0], fds, n * sizeof(*fds)))
		return WAIT_UNREACHABLE;
	for (size_t i = 0; i < n; i++) {
		if (fds[i].fd >= 0 && fds[i].events)
			add_fd(proc, look, fds[i].fd, fds[i].events);
	}
	return WAIT_READY;
}

static enum unblock_wait look_select(int proc, const struct call *call, struct unblock_look *look)
{
	static const short events[] = {POLLIN, POLLOUT, POLLPRI};
	fd_set sets[3];
	int n = call->args[0] < FD_SETSIZE ? (int)call->args[0] : FD_SETSIZE;
	size_t len = ((size_t)n + 63) / 64 * 8; /* no more than that is the caller's */

	memset(sets, 0, sizeof(sets));
	for (size_t i = 0; i < 3; i++) {
		if (call->args[i + 1] && len && !read_memory(proc, call->args[i + 1], &sets[i], len))
			return WAIT_UNREACHABLE;
	}
	for (int fd = 0; fd < n; fd++) {
		short wanted = 0;

		for (size_t i = 0; i < 3; i++)
			wanted = (short)(wanted | (FD_ISSET(fd, &sets[i]) ? events[i] : 0));
		if (wanted)
			add_fd(proc, look, fd, wanted);
	}
	return look->n_fds ? WAIT_READY : WAIT_INTERRUPT;
}

static enum unblock_wait look_epoll(int proc, const struct call *call, struct unblock_look *look)
{
	char path[32], text[4096];

	snprintf(path, sizeof(path), "fdinfo/%d", (int)call->args[0]);
	if (unblock_look_text(proc, path, text, sizeof(text)) < 0)
		return WAIT_UNREACHABLE;
	for (const char *at = strstr(text, "tfd:"); at; at = strstr(at + 1, "tfd:")) {
		unsigned events = 0;
		int fd = -1;

		if (sscanf(at, "tfd: %d events: %x", &fd, &events) == 2)
			add_fd(proc, look, fd, (short)(events & (POLLIN | POLLPRI | POLLOUT)));
	}
	return WAIT_READY;
}

static enum unblock_wait look_child(int proc, const struct call *call, struct unblock_look *look)
{
	(void)proc;
	look->child = (pid_t)call->args[0];
	return look->child > 0 ? WAIT_CHILD : WAIT_INTERRUPT;
}

static enum unblock_wait look_waitid(int proc, const struct call *call, struct unblock_look *look)
{
	(void)proc;
	look->child = (pid_t)call->args[1];
	return call->args[0] == P_PID && look->child > 0 ? WAIT_CHILD : WAIT_INTERRUPT;
}

static enum unblock_wait look_interrupt(int proc, const struct call *call, struct unblock_look *look)
{
	(void)proc;
	(void)call;
	(void)look;
	return WAIT_INTERRUPT;
}

static enum unblock_wait look_fcntl(int proc, const struct call *call, struct unblock_look *look)
{
	(void)proc;
	(void)look;
	return call->args[1] == F_SETLKW || call->args[1] == F_OFD_SETLKW ? WAIT_INTERRUPT : WAIT_UNREACHABLE;
}

static enum unblock_wait look_away(int proc, const struct call *call, struct unblock_look *look)
{
	(void)proc;
	(void)call;
	(void)look;
	return WAIT_UNREACHABLE;
}

/* A poll or a nanosleep goes on under this number after it was interrupted. The sleep has no array that would pass for
 * one of poll: there each entry is skipped or names a descriptor that is open. */
static enum unblock_wait look_restart(int proc, const struct call *call, struct unblock_look *look)
{
	struct pollfd fds[MAX_POLL];
	size_t n = (size_t)call->args[1];

	look->call = "nanosleep";
	if (n == 0 || n > MAX_POLL || !read_memory(proc, call->args[0], fds, n * sizeof(*fds)))
		return WAIT_INTERRUPT;
	for (size_t i = 0; i < n; i++) {
		struct unblock_fd fd = {.fd = fds[i].fd};

		if (fds[i].fd >= 0 && !unblock_look_fd(proc, &fd))
			return WAIT_INTERRUPT;
	}
	look->call = "poll";
	return look_poll(proc, call, look);
}

/* ---- the calls ---- */

/* Those that one machine has and another has not. */
#ifndef SYS_poll
#define SYS_poll -1
#define SYS_select -1
#define SYS_epoll_wait -1
#define SYS_open -1
#define SYS_pause -1
#endif

static const struct {
	long number;
	const char *name;
	enum unblock_wait (*look)(int proc, const struct call *call, struct unblock_look *look);
} calls[] = {
	{SYS_poll, "poll", look_poll},
	{SYS_ppoll, "ppoll", look_poll},
	{SYS_read, "read", look_in},
	{SYS_readv, "readv", look_in},
	{SYS_recvfrom, "recvfrom", look_in},
	{SYS_recvmsg, "recvmsg", look_in},
	{SYS_recvmmsg, "recvmmsg", look_in},
	{SYS_accept, "accept", look_in},
	{SYS_accept4, "accept4", look_in},
	{SYS_splice, "splice", look_in},
	{SYS_connect, "connect", look_out},
	{SYS_write, "write", look_out},
	{SYS_writev, "writev", look_out},
	{SYS_sendto, "sendto", look_out},
	{SYS_sendmsg, "sendmsg", look_out},
	{SYS_sendmmsg, "sendmmsg", look_out},
	{SYS_sendfile, "sendfile", look_out},
	{SYS_select, "select", look_select},
	{SYS_pselect6, "pselect6", look_select},
	{SYS_epoll_wait, "epoll_wait", look_epoll},
	{SYS_epoll_pwait, "epoll_pwait", look_epoll},
	{SYS_epoll_pwait2, "epoll_pwait2", look_epoll},
	{SYS_restart_syscall, "restart_syscall", look_restart},
	{SYS_wait4, "wait4", look_child},
	{SYS_waitid, "waitid", look_waitid},
	{SYS_nanosleep, "nanosleep", look_interrupt},
	{SYS_clock_nanosleep, "clock_nanosleep", look_interrupt},
	{SYS_flock, "flock", look_interrupt},
	{SYS_fcntl, "fcntl", look_fcntl},
	{SYS_open, "open", look_interrupt},
	{SYS_openat, "openat", look_interrupt},
	{SYS_msgrcv, "msgrcv", look_interrupt},
	{SYS_msgsnd, "msgsnd", look_interrupt},
	{SYS_pause, "pause", look_interrupt},
	{SYS_rt_sigsuspend, "rt_sigsuspend", look_interrupt},
	{SYS_rt_sigtimedwait, "rt_sigtimedwait", look_interrupt},
	{SYS_semop, "semop", look_away},
	{SYS_semtimedop, "semtimedop", look_away},
	{SYS_futex, "futex", look_away},
};

/* "number arg0 ... arg5 sp pc"; "running"; "-1 sp pc" when it waits outside of a call (for a page, say). */
static bool parse_call(const char *line, struct call *ret_call)
{
	return sscanf(line, "%ld %lx %lx %lx %lx %lx %lx", &ret_call->number, &ret_call->args[0], &ret_call->args[1],
			   &ret_call->args[2], &ret_call->args[3], &ret_call->args[4], &ret_call->args[5]) == LINE_WORDS &&
	       ret_call->number >= 0;
}

static ssize_t read_line(int proc, pid_t thread, char *line, size_t size)
{
	char path[48];

	snprintf(path, sizeof(path), "task/%d/syscall", (int)thread);
	return unblock_look_text(proc, path, line, size);
}

int unblock_look_at(int proc, pid_t thread, struct unblock_look *ret_look)
{
	struct call call;

	ret_look->thread = thread;
	ret_look->wait = WAIT_NONE;
	ret_look->call = "running";
	ret_look->n_fds = 0;

	ssize_t n = read_line(proc, thread, ret_look->line, sizeof(ret_look->line));

	if (n < 0)
		return (int)n;
	if (!parse_call(ret_look->line, &call))
		return 0;
	ret_look->wait = WAIT_UNREACHABLE;
	ret_look->call = "another call";
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i].number == call.number) {
			ret_look->call = calls[i].name;
			ret_look->wait = calls[i].look(proc, &call, ret_look);
			break;
		}
	}
	return 0;
}

bool unblock_look_again(int proc, const struct unblock_look *look)
{
	char line[sizeof(look->line)];

	return read_line(proc, look->thread, line, sizeof(line)) > 0 && strcmp(line, look->line) == 0;
}
