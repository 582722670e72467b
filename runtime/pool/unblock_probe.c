/* SPDX-License-Identifier: MIT */
/* Finds out which ways of freeing a blocked call the kernel and the sandbox leave us, on a child made for it. */
#include "pool/unblock.h"

#include "pool/process.h"
#include "pool/unblock_kin.h"
#include "pool/unblock_look.h"
#include "pool/unblock_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { N_LOOKS = 400, PAUSE_NS = 500000, WAIT_MS = 1000, N_TRIES = 20, N_LETTING = 20 };

/* The child reads from the first, then from the second; after each it writes a byte into the third. */
enum { FIRST, SECOND, REPORT, N_PAIRS };

struct probe {
	int pairs[N_PAIRS][2]; /* the child's end, ours */
	pid_t pid;
	int pidfd, proc;
};

/* ---- the child ---- */

static bool become(const struct process_user *user)
{
	if (!user || user->uid == geteuid())
		return true;
	return setgroups(user->n_groups, user->groups) == 0 && setresgid(user->gid, user->gid, user->gid) == 0 &&
	       setresuid(user->uid, user->uid, user->uid) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0; /* as after an exec */
}

static _Noreturn void child_run(const struct probe *probe, const struct process_user *user, pid_t parent)
{
	char byte = 0;
	bool is_going = become(user) && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;

	for (int i = FIRST; i <= SECOND && is_going; i++)
		is_going = read(probe->pairs[i][0], &byte, 1) == 0 && write(probe->pairs[REPORT][0], &byte, 1) == 1;
	_exit(0);
}

static bool probe_open(struct probe *probe)
{
	for (int i = 0; i < N_PAIRS; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, probe->pairs[i]))
			return false;
	}
	return true;
}

static void close_one(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* No handler of ours runs in the child: signals are blocked there for good. */
static bool probe_fork(struct probe *probe, const struct process_user *user)
{
	sigset_t all, before;
	pid_t parent = getpid();

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	probe->pid = fork();
	if (probe->pid == 0)
		child_run(probe, user, parent);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (probe->pid < 0)
		return false;
	probe->pidfd = (int)syscall(SYS_pidfd_open, probe->pid, 0);
	probe->proc = unblock_look_open(probe->pid);
	return true;
}

/* Our child, which nobody else reaps as long as it has not ended. */
static void probe_close(struct probe *probe)
{
	if (probe->pid > 0) {
		kill(probe->pid, SIGKILL);
		while (waitpid(probe->pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	for (int i = 0; i < N_PAIRS; i++) {
		close_one(probe->pairs[i][0]);
		close_one(probe->pairs[i][1]);
	}
	close_one(probe->pidfd);
	close_one(probe->proc);
}

/* ---- the stages ---- */

static bool is_blocked_in(const struct probe *probe, int pair)
{
	for (int i = 0; i < N_LOOKS; i++) {
		struct unblock_look look;

		if (unblock_look_at(probe->proc, probe->pid, &look) == 0 && look.wait == WAIT_DATA && look.n_fds == 1 &&
			look.fds[0].fd == probe->pairs[pair][0])
			return true;
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
	}
	return false;
}

static bool has_reported(const struct probe *probe)
{
	struct pollfd report = {.fd = probe->pairs[REPORT][1], .events = POLLIN};
	char byte;

	return poll(&report, 1, WAIT_MS) == 1 && read(report.fd, &byte, 1) == 1;
}

static bool try_getfd(const struct probe *probe)
{
	int copy = (int)syscall(SYS_pidfd_getfd, probe->pidfd, probe->pairs[FIRST][0], 0);
	bool is_shut = copy >= 0 && shutdown(copy, SHUT_RDWR) == 0;

	close_one(copy);
	return is_shut && has_reported(probe);
}

/* 0: it has been made to shut its second pair; or -errno. */
static int shut_by_trace(const struct probe *probe)
{
	unsigned long args[6] = {(unsigned long)probe->pairs[SECOND][0], SHUT_RDWR};
	struct unblock_trace *trace = NULL;
	char none[1] = {0};
	int result = unblock_trace_open(probe->proc, probe->pid, &trace);
	bool is_free = !trace;

	if (result == 0)
		result = (int)unblock_trace_call(trace, SYS_shutdown, args, none, sizeof(none));
	for (int i = 0; i < N_LETTING && !is_free; i++)
		is_free = unblock_trace_close(trace);
	if (is_free)
		return result;
	unblock_trace_abandon(trace); /* it is killed at the end */
	return -ETIMEDOUT;
}

static bool is_late(int result)
{
	return result == -EBUSY || result == -EAGAIN;
}

/* On a busy machine the child does not stop as soon as it is waited for. That says nothing about what is allowed, so it
 * is tried again; the shutdown may have been made all the same, which its report tells. */
static bool try_ptrace(const struct probe *probe)
{
	int result = -EBUSY;

	for (int i = 0; i < N_TRIES && is_late(result) && is_blocked_in(probe, SECOND); i++)
		result = shut_by_trace(probe);
	return (result == 0 || is_late(result)) && has_reported(probe);
}

void unblock_probe(const struct process_user *user, struct unblock_stages *ret_stages)
{
	struct probe probe = {.pairs = {{-1, -1}, {-1, -1}, {-1, -1}}, .pidfd = -1, .proc = -1};
	struct unblock_stages stages = {0};

	if (probe_open(&probe) && probe_fork(&probe, user)) {
		stages.read_syscall = is_blocked_in(&probe, FIRST);
		stages.signal = kill(probe.pid, 0) == 0;
		stages.child = unblock_kin_is_visible(probe.pid, probe.proc);
		stages.getfd = stages.read_syscall && try_getfd(&probe);
		if (stages.read_syscall && !stages.getfd) /* then it is still there, and has to be brought on otherwise */
			shutdown(probe.pairs[FIRST][1], SHUT_RDWR);
		stages.ptrace = stages.read_syscall && (stages.getfd || has_reported(&probe)) && try_ptrace(&probe);
	}
	probe_close(&probe);
	*ret_stages = stages;
}

/* Asking for a descriptor that does not exist fails as it would where it is allowed, and changes nothing. */
static bool may_getfd(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int copy = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, INT32_MAX, 0);
	bool may = copy >= 0 || (pidfd >= 0 && errno == EBADF);

	close_one(copy);
	close_one(pidfd);
	return may;
}

void unblock_probe_worker(pid_t pid, const struct unblock_stages *stages, struct unblock_stages *ret_stages)
{
	int proc = unblock_look_open(pid);
	int memory = proc < 0 ? -1 : openat(proc, "mem", O_RDWR | O_CLOEXEC);
	char text[256], path[48];

	snprintf(path, sizeof(path), "task/%d/syscall", (int)pid);
	*ret_stages = (struct unblock_stages){
		.read_syscall = stages->read_syscall && proc >= 0 && unblock_look_text(proc, path, text, sizeof(text)) > 0,
		.getfd = stages->getfd && may_getfd(pid),
		.ptrace = stages->ptrace && memory >= 0, /* opening it asks for the same right */
		.signal = stages->signal && kill(pid, 0) == 0,
		.child = stages->child && proc >= 0 && unblock_kin_is_visible(pid, proc),
	};
	close_one(memory);
	close_one(proc);
}

const char *unblock_stages_describe(const struct unblock_stages *stages, char *text, size_t size)
{
	snprintf(text, size, "%s%s%s%s", stages->getfd ? " getfd" : "", stages->ptrace ? " ptrace" : "",
		stages->signal ? " signal" : "", stages->child ? " child" : "");
	if (!stages->read_syscall || *text == '\0')
		snprintf(text, size, " none");
	memmove(text, text + 1, strlen(text));
	return text;
}
