/* SPDX-License-Identifier: MIT */
/* A guarded Unix socket: a path at which one process listens and no second can.
 *
 * PATH.lock is locked for as long as it listens: who holds that lock owns the path, so that what a killed proxy left
 * behind is taken over and a living one is never robbed. The folder must exist, and should keep strangers out: whoever
 * may write there may put another socket in place. */
#ifndef QBUS_WIRE_GUARD_H
#define QBUS_WIRE_GUARD_H

#include <sys/types.h>
#include <sys/un.h>

#define GUARD_UNCHANGED ((uid_t)-1) /* no owner, or no group, is set */

enum { GUARD_ERROR_BYTES = 256 };

struct guard_conf {
	const char *path;
	mode_t mode; /* permission bits; connecting needs write permission */
	uid_t owner; /* GUARD_UNCHANGED: that of the process */
	gid_t group;
	int backlog;
};

struct guard {
	struct sockaddr_un address;
	int fd; /* listens, does not block; -1: closed */
	int lock_fd;
	dev_t dev; /* of the socket that we bound; 0 and 0: none */
	ino_t ino;
};

/* Binds and listens. Returns 0, or -errno with one sentence in ret_error; the guard is closed then. */
int guard_open(struct guard *guard, const struct guard_conf *conf, char ret_error[GUARD_ERROR_BYTES]);
/* The socket is removed when it is still ours. A guard that is closed, or that was all zero and never opened, is left
 * alone. */
void guard_close(struct guard *guard);

#endif
