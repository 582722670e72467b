/* SPDX-License-Identifier: MIT */
/* Frees a PHP call that hangs, from outside, without killing the worker. Loop thread; the time is an argument.
 *
 * How the host uses it. At `handler_timeout` the worker is told (CANCEL and SIGUSR1), not by this file. `handler_break`
 * later, when there is still no result:
 *
 *     unblock_begin(&worker->unblock, pid, session_fd, &stages, now_us);
 *     on a timer, at once and then at each moment that it returns:
 *         next_us = unblock_step(&worker->unblock, now_us, the result is in);
 *         unblock_has_broken(...): mark the delivery broken, before the loop reads from that session again
 *         next_us == CLOCK_NEVER: no more timer; unblock_why says why
 *     when the result comes, the session closes, the process is reaped or the worker is ended:
 *         unblock_end(&worker->unblock);
 *
 * Between begin and the result send that worker nothing new: what is shut belongs to this delivery only because no
 * other can have begun. What a broken handler returns is no ack. The host ends the worker when its grace is over,
 * whatever is said here. The pid must be alive or not yet reaped at begin; a process that took its number later is not
 * touched.
 *
 * A step takes well under a millisecond where pidfd_getfd is there, and about one where the shutdown is injected (the
 * worst, while the machine is busy: 5 ms). It never stops a worker to look at it. Never touched: the socket to the
 * proxy, files, a socketpair both of whose ends are the worker's, listening sockets, what another process uses as well.
 */
#ifndef QBUS_POOL_UNBLOCK_H
#define QBUS_POOL_UNBLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process_user;
struct unblock_trace;

/* What the kernel, the container and the rights of both processes leave us. */
struct unblock_stages {
	bool read_syscall; /* we see in which call a process waits; without it nothing below is of use */
	bool getfd;        /* pidfd_getfd: a copy of its socket, which we shut */
	bool ptrace;       /* the shutdown is injected; x86-64 and arm64 only */
	bool signal;       /* SIGUSR1; clear it for a worker whose client has no handler of it, see unblock_begin */
	bool child;        /* its descendants and what they hold are seen, so that the one it waits for can be ended */
};

/* Tries each on a child of our own that waits in a read, with the rights of user (NULL: ours). For the start: takes a
 * few milliseconds, on a machine that stands still some seconds at most. Reaps its child and no other. */
void unblock_probe(const struct process_user *user, struct unblock_stages *ret_stages);
/* What of `stages` is possible with this process, for a worker that we did not start. Does nothing to it. */
void unblock_probe_worker(pid_t pid, const struct unblock_stages *stages, struct unblock_stages *ret_stages);
/* Does this process hold the other end of the session's socket? False also when that cannot be known. */
bool unblock_is_peer(pid_t pid, int session_fd);
/* Writes "getfd ptrace signal child", those that are there, or "none". Returns text. */
const char *unblock_stages_describe(const struct unblock_stages *stages, char *text, size_t size);

enum unblock_did {
	UNBLOCK_NOTHING,
	UNBLOCK_SIGNALLED, /* SIGUSR1 */
	UNBLOCK_REFUSED,   /* a resolver's attempt was made to fail */
	UNBLOCK_SHUT,      /* sockets */
	UNBLOCK_ENDED,     /* processes that it waits for, with SIGKILL */
};

/* One look at the worker. */
struct unblock_round {
	const char *call; /* "poll"; "running" */
	const char *kind; /* what it waits for: "tcp", "pipe", "session", "" ...; of several the one that was acted on */
	enum unblock_did did;
	uint32_t n;  /* sockets shut, attempts refused or processes ended */
	pid_t ended; /* the last of the processes ended; 0: none */
};

enum unblock_why {
	UNBLOCK_GOING,   /* not done yet */
	UNBLOCK_RESULT,  /* the result is in */
	UNBLOCK_RUNNING, /* twice in a row it ran, or waited for us */
	UNBLOCK_HELD,    /* twice in a row it hung in what we cannot or must not touch: only its end helps */
	UNBLOCK_SPENT,   /* all rounds are used up */
	UNBLOCK_GONE,    /* the process has ended */
};

enum { UNBLOCK_MAX_ROUNDS = 5 }; /* looks that count; refusing a resolver does not */

/* The fields are to be read only. */
struct unblock {
	pid_t pid;
	int pidfd, proc;        /* -1: none; proc: /proc/PID */
	int session;            /* ours; borrowed */
	uint64_t session_inode; /* of the worker's end; 0: not known */
	struct unblock_stages stages;
	int64_t until_us;
	enum unblock_why why;
	uint32_t n_rounds;          /* that counted */
	uint32_t n_idle;            /* looks in a row without an act */
	uint32_t n_broken;          /* sockets, attempts and processes so far */
	struct unblock_trace *held; /* a thread that could not be let go at once; NULL: none */
	int64_t held_us;            /* until it is tried again */
	struct unblock_round last;
};

/* session_fd: our end of the session's socket, open until unblock_end; -1: it has none. What is found at its other end
 * is known by its inode (sock_diag), and also by leading to this process, so that any socket to the proxy is safe.
 * stages: a process that does not catch SIGUSR1 is never signalled, but PHP itself catches it always and dies of it
 * when its program has no handler: only the client can say whether it has one. */
void unblock_begin(struct unblock *u, pid_t pid, int session_fd, const struct unblock_stages *stages, int64_t now_us);
/* Looks and acts once. Returns when to call it again; CLOCK_NEVER: done, see `why`. May be called early or late. */
int64_t unblock_step(struct unblock *u, int64_t now_us, bool has_result);
/* Gives back what begin took. Takes one that was never begun (all zero), and may be called again. */
void unblock_end(struct unblock *u);

/* Was anything shut, refused or ended? From then on a normal return is no proof of success. */
bool unblock_has_broken(const struct unblock *u);
/* Writes the last look as "poll tcp: 2 shut", for the log. Returns text. */
const char *unblock_describe(const struct unblock *u, char *text, size_t size);
const char *unblock_why_name(enum unblock_why why);

#endif
