/* SPDX-License-Identifier: MIT */
/* Sockets of another process: what each is, whether it may be shut, and shutting it. Loop thread.
 *
 * Internal to unblock. A socket is reached through a copy of its descriptor (pidfd_getfd), or, where that is refused,
 * by calls that the blocked thread makes for us. */
#ifndef QBUS_POOL_UNBLOCK_SOCKET_H
#define QBUS_POOL_UNBLOCK_SOCKET_H

#include "pool/unblock.h"
#include "pool/unblock_look.h"

#include <stdbool.h>

/* The kind of a round in which the call ended by being interrupted, as a write does that was done in part: the thread
 * is likely to be in the next one soon. */
#define UNBLOCK_MOVING "moving"

/* Frees the thread that was looked at from the sockets it waits for: all that may be shut, together, and none when one
 * of them has what is waited for, when the thread has moved on, or when the session has news. Writes what was done into
 * *round (call is set, did is UNBLOCK_NOTHING) and `held` into u. True: it waits for a listening socket, which only a
 * signal ends without harm. */
bool unblock_socket_free(struct unblock *u, const struct unblock_look *look, struct unblock_round *round);

/* The inode of the socket at the other end of a local one; 0: there is none, or it cannot be known. */
ino_t unblock_socket_peer(ino_t inode);

#endif
