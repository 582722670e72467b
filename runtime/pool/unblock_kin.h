/* SPDX-License-Identifier: MIT */
/* The descendants of a process: who of them holds what, and ending the one that is waited for. Loop thread.
 *
 * Internal to unblock. proc: the open folder /proc/PID of the process. Processes that left the family (whose parent
 * has ended) are looked for among our own children: where we adopt orphans, that is where they are. */
#ifndef QBUS_POOL_UNBLOCK_KIN_H
#define QBUS_POOL_UNBLOCK_KIN_H

#include "pool/unblock_look.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Kills all that hold the other end of a pipe which the process has at pipe->fd. Returns how many, the last in
 * *ret_last. Never ourselves, never a process that we started, and none at all when the process itself has both ends.
 */
uint32_t unblock_kin_end_pipe(pid_t pid, int proc, const struct unblock_fd *pipe, pid_t *ret_last);
/* Kills one descendant. False: it is none, or gone. */
bool unblock_kin_end_child(pid_t pid, pid_t child);
/* Does somebody of its family use this socket too: does it hold it and run the same program (a forked copy), or hold it
 * as its standard input or output? A program that merely inherited it does not. The family: its descendants, and when
 * it was itself forked by its own program (a master and its workers), that master's. Also true when there is too much
 * to look at to know. */
bool unblock_kin_shares(pid_t pid, int proc, ino_t inode);
/* Can the descendants be seen? */
bool unblock_kin_is_visible(pid_t pid, int proc);

#endif
