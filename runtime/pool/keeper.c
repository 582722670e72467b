/* SPDX-License-Identifier: MIT */
/* Waits in a process of its own for the end of the proxy. */
#include "pool/keeper.h"

#include "pool/cgroup.h"
#include "pool/strays.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Looks: what is killed may leave children, so one looks until there was nothing twice; not for ever. */
enum { KEEPER_QUIET = 2, KEEPER_LOOKS = 100, KEEPER_PAUSE_MS = 10 };

static void keeper_clean(const char *marker)
{
	const struct timespec pause = {.tv_nsec = KEEPER_PAUSE_MS * 1000000L};
	int n_quiet = 0;

	for (int i = 0; i < KEEPER_LOOKS && n_quiet < KEEPER_QUIET; i++) {
		n_quiet = strays_kill_of(marker) ? 0 : n_quiet + 1;
		nanosleep(&pause, NULL);
	}
}

/* Nothing of the proxy's is held: not its output, not its sockets, not its terminal. */
static void keeper_let_go(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	for (int i = 0; null >= 0 && i < 3; i++)
		dup2(null, i);
	dup2(fd, 3);
	close_range(4, ~0u, 0);
}

static _Noreturn void keeper_run(int fd, const char *marker, const struct cgroups *cgroups)
{
	static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE};
	char byte;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN); /* a stop is told to all of a service; this one leaves last */
	prctl(PR_SET_NAME, "qbus-keeper");
	keeper_let_go(fd);
	while (read(3, &byte, 1) < 0 && errno == EINTR)
		;
	if (cgroups)
		cgroups_end(cgroups);
	keeper_clean(marker);
	_exit(0);
}

int keeper_start(struct keeper *keeper, const struct cgroups *cgroups)
{
	const char *marker = strays_marker();
	int fds[2];

	*keeper = (struct keeper){.fd = -1};
	if (pipe2(fds, O_CLOEXEC))
		return -errno;

	pid_t pid = fork();

	if (pid == 0) {
		close(fds[1]);
		keeper_run(fds[0], marker, cgroups);
	}

	int error = errno;

	close(fds[0]);
	if (pid < 0) {
		close(fds[1]);
		return -error;
	}
	*keeper = (struct keeper){pid, fds[1]};
	return 0;
}

void keeper_stop(struct keeper *keeper)
{
	if (!keeper->pid)
		return;
	close(keeper->fd);
	while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*keeper = (struct keeper){.fd = -1};
}
