/* SPDX-License-Identifier: MIT */
/* One child process: started in a group of its own with nothing inherited, signalled as a group, reaped once.
 *
 * Main thread only: the child dies with the thread that forked it. The descriptors 0, 1 and 2 must be open and SIGCHLD
 * must not be ignored in this process. */
#ifndef QBUS_POOL_PROCESS_H
#define QBUS_POOL_PROCESS_H

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroup;

/* An identity, looked up before the fork. */
struct process_user {
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t n_groups;
	char *name, *home;
};

/* What to start; borrowed, must be whole before the call. */
struct process_plan {
	char *const *argv; /* argv[0] is looked up in the PATH of `environment` */
	char **environment;
	const struct process_user *user; /* NULL: stays who we are */
	const char *directory;           /* NULL: stays where we are */
	const struct cgroup *cgroup;     /* NULL: stays in ours */
	bool has_private_ipc;            /* System V objects of its own, which go with the last process; where allowed */
};

struct process {
	struct list link;
	pid_t pid;    /* also of its group */
	int pidfd;    /* readable when it has exited */
	int out, err; /* what it writes; not blocking; -1 when the owner has taken it */
	int failure;  /* tells why it could not be started */
	int status;   /* as from waitpid, once it is reaped */
	bool is_reaped;
};

/* 0, -ENOENT: there is no such user, -EPERM: we may not become that user, or another -errno. */
int process_user_find(const char *name, struct process_user *ret_user);
void process_user_done(struct process_user *user);

/* Forks. 0, or -errno with nothing left behind. What goes wrong in the child process_failure tells after its exit. */
int process_spawn(struct process *process, const struct process_plan *plan);
/* Gives the descriptors back. One that was not reaped is a stray from now on. */
void process_done(struct process *process);

/* Sends the signal to the whole group; does nothing once it is reaped. */
void process_signal(const struct process *process, int signal);
/* Has it exited? Then what is left of its group is killed, it is reaped and `status` is set. Never waits. */
bool process_collect(struct process *process);
/* The same, waiting for the exit at most timeout_ms. */
bool process_wait(struct process *process, int timeout_ms);
/* Writes "cannot execute php: No such file or directory" when it ended before it was itself; false: it was not so. */
bool process_failure(const struct process *process, const struct process_plan *plan, char *text, size_t size);

/* Resident memory; 0: there is no such process, or it may not be looked at. */
uint64_t process_resident_bytes(pid_t pid);

/* Writes a wait status in words: "exit 255", "signal SIGSEGV". Returns text. */
const char *process_describe(int status, char *text, size_t size);
/* The one that was spawned here, is not done yet and has this pid. NULL: there is none. */
struct process *process_find(pid_t pid);

#endif
