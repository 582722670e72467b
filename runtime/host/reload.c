/* SPDX-License-Identifier: MIT */
/* Judges a configuration in a process of its own, and starts this process anew. */
#include "host/reload.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* RELOAD_CHECK_S: a check reads files only; one that hangs, as on a dead file server, is no good one. RELOAD_WAIT_MS:
 * for what was killed to be gone. */
enum { RELOAD_CHECK_S = 30, RELOAD_WAIT_MS = 1000 };

static struct {
	char program[PATH_MAX]; /* the path, not the file: an upgrade puts another one there */
	char **argv, **environment;
} start;

void reload_remember(char **argv)
{
	ssize_t len = readlink("/proc/self/exe", start.program, sizeof start.program - 1);
	size_t n = 0;
	start.program[len > 0 ? len : 0] = '\0';
	start.argv = argv;
	while (environ[n])
		n++;
	start.environment = alloc_new((n + 1) * sizeof *environ);
	memcpy(start.environment, environ, (n + 1) * sizeof *environ);
}

/* ---- the judgement ---- */

static struct process_plan reload_plan(char **argv)
{
	return (struct process_plan){.argv = argv, .environment = start.environment};
}

static void reload_forget(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

static void reload_end_check(struct reload *reload)
{
	reload_forget(&reload->exited);
	reload_forget(&reload->late);
	output_close(&reload->out);
	output_close(&reload->err);
	process_done(&reload->check);
	reload->is_checking = false;
}

static void reload_on_exit(evutil_socket_t fd, short what, void *ctx)
{
	struct reload *reload = ctx;
	char *argv[] = {start.program, NULL}, how[64], failure[PATH_MAX + 64] = "";
	struct process_plan plan = reload_plan(argv);
	(void)fd, (void)what;
	if (!process_collect(&reload->check))
		return;
	reload->is_refused = reload->check.status != 0;
	process_failure(&reload->check, &plan, failure, sizeof failure);
	process_describe(reload->check.status, how, sizeof how);
	reload_end_check(reload);
	if (reload->is_refused)
		log_say(LOG_ERROR, NULL, "SIGHUP: %s is refused, what was served is served on check=\"%s\"", reload->file,
			*failure ? failure : how);
	if (reload->is_stale && reload_check(reload))
		return;
	reload->judged(reload->ctx, !reload->is_refused);
}

static void reload_on_late(evutil_socket_t fd, short what, void *ctx)
{
	struct reload *reload = ctx;
	(void)fd, (void)what;
	log_say(
		LOG_WARN, NULL, "the check of the configuration does not end, gets SIGKILL after_seconds=%d", RELOAD_CHECK_S);
	process_signal(&reload->check, SIGKILL);
}

static bool reload_watch(struct reload *reload)
{
	static const struct timeval patience = {.tv_sec = RELOAD_CHECK_S};
	output_open(&reload->out, reload->base, reload->check.out, LOG_INFO, NULL);
	output_open(&reload->err, reload->base, reload->check.err, LOG_WARN, NULL);
	reload->check.out = reload->check.err = -1; /* they are the outputs' now */
	reload->exited = event_new(reload->base, reload->check.pidfd, EV_READ | EV_PERSIST, reload_on_exit, reload);
	reload->late = evtimer_new(reload->base, reload_on_late, reload);
	return reload->exited && event_add(reload->exited, NULL) == 0 && reload->late &&
	       event_add(reload->late, &patience) == 0;
}

bool reload_check(struct reload *reload)
{
	static char command[] = "check-config", option[] = "-c";
	char *argv[] = {start.program, command, option, (char *)reload->file, NULL};
	struct process_plan plan = reload_plan(argv);
	reload->is_stale = reload->is_checking;
	if (reload->is_checking)
		return true;
	int status = process_spawn(&reload->check, &plan);
	reload->is_checking = status == 0;
	if (reload->is_checking && !reload_watch(reload)) {
		status = -ENOMEM;
		reload_done(reload);
	}
	if (status < 0)
		log_say(LOG_ERROR, NULL, "SIGHUP: the configuration cannot be checked: %s", strerror(-status));
	reload->is_refused |= status < 0;
	return status == 0;
}

void reload_done(struct reload *reload)
{
	if (!reload->is_checking)
		return;
	process_signal(&reload->check, SIGKILL);
	process_wait(&reload->check, RELOAD_WAIT_MS);
	reload_end_check(reload);
}

/* ---- anew ---- */

static const int reload_signals[] = {SIGHUP, SIGTERM, SIGINT};

static void reload_mask(int how, size_t n)
{
	sigset_t signals;
	sigemptyset(&signals);
	for (size_t i = 0; i < n; i++)
		sigaddset(&signals, reload_signals[i]);
	sigprocmask(how, &signals, NULL);
}

void reload_hold_hangup(void)
{
	reload_mask(SIG_BLOCK, 1);
}

void reload_hold_signals(void)
{
	reload_mask(SIG_BLOCK, sizeof reload_signals / sizeof *reload_signals);
}

void reload_let_signals(void)
{
	reload_mask(SIG_UNBLOCK, sizeof reload_signals / sizeof *reload_signals);
}

void reload_again(void)
{
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC); /* libraries may have some that are not marked */
	execve(start.program, start.argv, start.environment);
	log_say(LOG_ERROR, NULL, "cannot become %s: %s", start.program, strerror(errno));
	reload_let_signals();
}
