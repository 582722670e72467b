/* SPDX-License-Identifier: MIT */
/* What a thread of another process waits for: its system call and the descriptors in it, read from /proc. Loop thread.
 *
 * Internal to unblock. Nothing is changed by looking, and what is seen may be over when it is read. */
#ifndef QBUS_POOL_UNBLOCK_LOOK_H
#define QBUS_POOL_UNBLOCK_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What kind of call it is. */
enum unblock_wait {
	WAIT_NONE,        /* it runs */
	WAIT_DATA,        /* in a read, write or connect of one descriptor */
	WAIT_READY,       /* in a poll, select or epoll of some */
	WAIT_CHILD,       /* for one child; for any: WAIT_INTERRUPT */
	WAIT_INTERRUPT,   /* in what a signal ends */
	WAIT_UNREACHABLE, /* in what only the end of the process ends, or in what we do not know */
};

enum {
	UNBLOCK_MAX_FDS = 32,     /* of one wait; what is beyond is for the next look */
	UNBLOCK_MAX_TABLE = 4096, /* of one process, that are looked through */
};

/* A descriptor that is waited on, as the number that the process knows it by. */
struct unblock_fd {
	int fd;
	short events; /* as for poll */
	bool is_pipe; /* has no name */
	mode_t mode;  /* of the file */
	ino_t inode;
};

struct unblock_look {
	pid_t thread;
	enum unblock_wait wait;
	const char *call; /* its name */
	char line[256];   /* of /proc/PID/task/TID/syscall */
	pid_t child;      /* of WAIT_CHILD */
	size_t n_fds;
	struct unblock_fd fds[UNBLOCK_MAX_FDS];
};

/* proc: the open folder /proc/PID. 0, or -errno: the thread is gone, or we may not look. */
int unblock_look_at(int proc, pid_t thread, struct unblock_look *ret_look);
/* Is the thread in the very same call as it was then? */
bool unblock_look_again(int proc, const struct unblock_look *look);
/* What the number stands for; sets all but fd and events. False: it is closed, or we may not see it. */
bool unblock_look_fd(int proc, struct unblock_fd *fd);
/* Has the process a socket with this inode? 1 or 0; -EPERM: we may not see it; -E2BIG: not among the first
 * UNBLOCK_MAX_TABLE of its descriptors (about 5 ms), and it has more. */
int unblock_look_owns(int proc, ino_t inode);

/* Opens /proc/PID. -errno when it is gone. */
int unblock_look_open(pid_t pid);
/* Reads a file in that folder as text; returns its length or -errno. */
ssize_t unblock_look_text(int proc, const char *path, char *text, size_t size);

#endif
