/* SPDX-License-Identifier: MIT */
/* Starts, signals and reaps one child process.
 *
 * Between fork and exec only async-signal-safe calls are made: the proxy has threads that may hold any lock. All
 * signals are blocked across the fork, so that no handler of ours runs in the child. */
#include "pool/process.h"

#include "base/alloc.h"
#include "pool/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_NOT_STARTED = 127 };

/* Added to a worker's badness: when memory runs out, a worker goes before the proxy and its messages come again. */
#define CHILD_OOM_SCORE "500"

static struct list processes = {&processes, &processes};

struct child {
	const struct process_plan *plan;
	int out, err;
	pid_t parent;
};

/* What a child writes into its failure pipe. */
struct report {
	int step;
	int error;
};

/* ---- in the child ---- */

/* SIGUSR1 tells a worker that its time is over. One that has not asked for it must not die of it. */
static int child_signals(const struct child *child)
{
	struct sigaction usual = {.sa_handler = SIG_DFL}, ignored = {.sa_handler = SIG_IGN};
	sigset_t none;

	(void)child;
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &usual, NULL); /* fails for those that cannot be changed */
	sigaction(SIGUSR1, &ignored, NULL);
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int child_cgroup(const struct child *child)
{
	return child->plan->cgroup ? cgroup_enter(child->plan->cgroup) : 0;
}

static int child_descriptors(const struct child *child)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(child->out, 1) < 0 || dup2(child->err, 2) < 0)
		return -1;
	return close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
}

/* What is refused here, as in most containers, is done without. */
static int child_isolate(const struct child *child)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	ssize_t written = fd < 0 ? -1 : write(fd, CHILD_OOM_SCORE, sizeof(CHILD_OOM_SCORE) - 1);

	(void)written;
	if (child->plan->has_private_ipc)
		unshare(CLONE_NEWIPC);
	return 0;
}

static int child_user(const struct child *child)
{
	const struct process_user *user = child->plan->user;

	if (!user || user->uid == geteuid())
		return 0;
	if (setgroups(user->n_groups, user->groups) || setresgid(user->gid, user->gid, user->gid))
		return -1;
	return setresuid(user->uid, user->uid, user->uid);
}

/* After child_user: a change of identity clears the parent-death signal. */
static int child_bond(const struct child *child)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return -1;
	if (getppid() != child->parent) /* it died before the bond was there */
		_exit(EXIT_NOT_STARTED);
	return 0;
}

static int child_directory(const struct child *child)
{
	return child->plan->directory ? chdir(child->plan->directory) : 0;
}

static int child_execute(const struct child *child)
{
	environ = child->plan->environment;
	return execvp(child->plan->argv[0], child->plan->argv);
}

enum { STEP_USER = 4, STEP_DIRECTORY = 6, STEP_EXECUTE = 7 };

static const struct {
	const char *verb;
	int (*run)(const struct child *child);
} steps[] = {
	{"reset the signals", child_signals},
	{"enter its cgroup", child_cgroup},
	{"set up the descriptors", child_descriptors},
	{"be set apart", child_isolate},
	[STEP_USER] = {"become user", child_user},
	{"be bound to the proxy", child_bond},
	[STEP_DIRECTORY] = {"enter", child_directory},
	[STEP_EXECUTE] = {"execute", child_execute},
};

static _Noreturn void child_run(const struct child *child, int failure)
{
	int step = 0;

	setpgid(0, 0);
	while (steps[step].run(child) == 0)
		step++; /* the last one does not return 0 */

	struct report report = {step, errno};
	ssize_t written = write(failure, &report, sizeof(report));

	_exit(written < 0 ? EXIT_NOT_STARTED + 1 : EXIT_NOT_STARTED);
}

/* ---- users ---- */

int process_user_find(const char *name, struct process_user *ret_user)
{
	errno = 0;
	const struct passwd *entry = getpwnam(name);
	int n_groups = 0;

	if (!entry)
		return errno ? -errno : -ENOENT;
	if (entry->pw_uid != geteuid() && geteuid() != 0)
		return -EPERM;
	getgrouplist(name, entry->pw_gid, NULL, &n_groups);
	*ret_user = (struct process_user){
		.uid = entry->pw_uid,
		.gid = entry->pw_gid,
		.groups = alloc_new((size_t)n_groups * sizeof(gid_t)),
		.name = alloc_string(entry->pw_name, strlen(entry->pw_name)),
		.home = alloc_string(entry->pw_dir, strlen(entry->pw_dir)),
	};
	if (getgrouplist(name, ret_user->gid, ret_user->groups, &n_groups) >= 0) /* less than 0: it grew meanwhile */
		ret_user->n_groups = (size_t)n_groups;
	return 0;
}

void process_user_done(struct process_user *user)
{
	free(user->groups);
	free(user->name);
	free(user->home);
	*user = (struct process_user){0};
}

/* ---- start and end ---- */

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Three pipes that close at exec, of which our ends do not block. */
static int pipes_open(int pipes[3][2])
{
	for (int i = 0; i < 3; i++) {
		if (pipe2(pipes[i], O_CLOEXEC) || fcntl(pipes[i][0], F_SETFL, O_NONBLOCK))
			return -errno;
	}
	return 0;
}

static pid_t fork_quietly(const struct child *child, int failure)
{
	sigset_t all, before;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);

	pid_t pid = fork();

	if (pid == 0)
		child_run(child, failure);

	int error = errno;

	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return pid;
}

/* Returns the pidfd, or -errno with the child gone. */
static int spawn(const struct process_plan *plan, int pipes[3][2], pid_t *ret_pid)
{
	struct child child = {plan, pipes[0][1], pipes[1][1], getpid()};
	pid_t pid = fork_quietly(&child, pipes[2][1]);

	if (pid < 0)
		return -errno;
	setpgid(pid, pid); /* whoever comes first; fails after the child's exec, which comes after its own call */

	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0) {
		int error = errno;

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return -error;
	}
	*ret_pid = pid;
	return pidfd;
}

int process_spawn(struct process *process, const struct process_plan *plan)
{
	int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
	pid_t pid = 0;
	int result = pipes_open(pipes);

	if (result == 0)
		result = spawn(plan, pipes, &pid);
	for (int i = 0; i < 3; i++) {
		close_one(&pipes[i][1]);
		if (result < 0)
			close_one(&pipes[i][0]);
	}
	if (result < 0)
		return result;
	*process =
		(struct process){.pid = pid, .pidfd = result, .out = pipes[0][0], .err = pipes[1][0], .failure = pipes[2][0]};
	list_init(&process->link);
	list_add_tail(&processes, &process->link);
	return 0;
}

void process_done(struct process *process)
{
	list_remove(&process->link);
	close_one(&process->pidfd);
	close_one(&process->out);
	close_one(&process->err);
	close_one(&process->failure);
	process->pid = 0;
}

/* The leader keeps the group's number taken until it is reaped, so no stranger can be hit. It is signalled by itself
 * only when it has left its group, or where the signal does no harm twice. */
void process_signal(const struct process *process, int signal)
{
	if (process->is_reaped)
		return;
	if (kill(-process->pid, signal) || signal == SIGKILL)
		syscall(SYS_pidfd_send_signal, process->pidfd, signal, NULL, 0);
}

bool process_collect(struct process *process)
{
	siginfo_t info = {0};

	if (process->is_reaped)
		return true;
	if (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == 0)
		return false;
	if (info.si_code == CLD_TRAPPED) /* we trace it (unblock_trace.c): its stops are told whatever is asked for */
		return false;
	process_signal(process, SIGKILL);
	process->is_reaped = waitpid(process->pid, &process->status, 0) == process->pid;
	return process->is_reaped;
}

bool process_wait(struct process *process, int timeout_ms)
{
	struct pollfd exited = {.fd = process->pidfd, .events = POLLIN};

	poll(&exited, 1, timeout_ms);
	return process_collect(process);
}

uint64_t process_resident_bytes(pid_t pid)
{
	char path[32], text[96];

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	close_one(&fd);
	if (len <= 0)
		return 0;
	text[len] = '\0';

	const char *resident = strchr(text, ' '); /* the second number, in pages */

	return resident ? strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* ---- in words ---- */

static const char *failure_object(int step, const struct process_plan *plan)
{
	switch (step) {
	case STEP_USER:
		return plan->user->name;
	case STEP_DIRECTORY:
		return plan->directory;
	case STEP_EXECUTE:
		return plan->argv[0];
	default:
		return "";
	}
}

bool process_failure(const struct process *process, const struct process_plan *plan, char *text, size_t size)
{
	struct report report;

	if (read(process->failure, &report, sizeof(report)) != (ssize_t)sizeof(report))
		return false;

	const char *object = failure_object(report.step, plan);

	snprintf(
		text, size, "cannot %s%s%s: %s", steps[report.step].verb, *object ? " " : "", object, strerror(report.error));
	return true;
}

const char *process_describe(int status, char *text, size_t size)
{
	const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

	if (name)
		snprintf(text, size, "signal SIG%s", name);
	else if (WIFSIGNALED(status))
		snprintf(text, size, "signal %d", WTERMSIG(status));
	else
		snprintf(text, size, "exit %d", WEXITSTATUS(status));
	return text;
}

struct process *process_find(pid_t pid)
{
	list_each(link, &processes)
	{
		struct process *process = list_item(link, struct process, link);

		if (process->pid == pid)
			return process;
	}
	return NULL;
}
