/* SPDX-License-Identifier: MIT */
/* Runs a loop until something is so, keeps the log, looks at processes. */
#include "rig.h"

#include "base/clock.h"
#include "base/log.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEADLINE_US = 60000000, TICK_US = 2000 };

bool rig_has_pidfds(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (pidfd < 0)
		fprintf(stderr, "left out: there are no pidfds here\n");
	else
		close(pidfd);
	return pidfd >= 0;
}

int rig_setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	rig->base = event_base_new();
	rig->log_fd = memfd_create("log", MFD_CLOEXEC);
	rig->stderr_fd = dup(STDERR_FILENO);
	dup2(rig->log_fd, STDERR_FILENO);
	log_configure(LOG_INFO, false);
	*state = rig;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;

	dup2(rig->stderr_fd, STDERR_FILENO);
	close(rig->stderr_fd);
	close(rig->log_fd);
	event_base_free(rig->base);
	free(rig->log);
	free(rig);
	return 0;
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
}

static bool run(struct rig *rig, bool (*done)(void *ctx), void *ctx, int64_t duration_us)
{
	int64_t until_us = clock_now_us() + duration_us;
	struct timeval tick = {.tv_usec = TICK_US};
	struct event *event = event_new(rig->base, -1, EV_PERSIST, on_tick, NULL);
	bool is_done = false;

	event_add(event, &tick);
	while (!(is_done = done && done(ctx)) && clock_now_us() < until_us)
		event_base_loop(rig->base, EVLOOP_ONCE);
	event_free(event);
	return is_done;
}

void rig_until(struct rig *rig, bool (*done)(void *ctx), void *ctx)
{
	if (!run(rig, done, ctx, DEADLINE_US))
		fail_msg("it did not happen; the log says:\n%s", rig_log(rig));
}

struct wish {
	struct rig *rig;
	const char *text;
	size_t n;
};

static bool is_said(void *ctx)
{
	const struct wish *wish = ctx;

	return rig_n_said(wish->rig, wish->text) >= wish->n;
}

void rig_until_said(struct rig *rig, const char *text, size_t n)
{
	struct wish wish = {rig, text, n};

	if (!run(rig, is_said, &wish, DEADLINE_US))
		fail_msg("'%s' was not said %zu times; the log says:\n%s", text, n, rig_log(rig));
}

void rig_for(struct rig *rig, int64_t duration_us)
{
	run(rig, NULL, NULL, duration_us);
}

const char *rig_log(struct rig *rig)
{
	struct stat stat;

	fstat(rig->log_fd, &stat);
	free(rig->log);
	rig->log = calloc(1, (size_t)stat.st_size + 1);
	if (pread(rig->log_fd, rig->log, (size_t)stat.st_size, 0) < 0)
		fail_msg("the log cannot be read");
	return rig->log;
}

static const char *nth_said(const char *log, const char *text, size_t nth)
{
	const char *at = strstr(log, text);

	while (at && nth-- > 0)
		at = strstr(at + 1, text);
	return at;
}

size_t rig_n_said(struct rig *rig, const char *text)
{
	const char *log = rig_log(rig);
	size_t n = 0;

	for (const char *at = strstr(log, text); at; at = strstr(at + 1, text))
		n++;
	return n;
}

long rig_number(struct rig *rig, const char *text, size_t nth)
{
	const char *at = nth_said(rig_log(rig), text, nth);

	assert_non_null(at);
	return strtol(at + strlen(text), NULL, 10);
}

bool rig_is_running(pid_t pid)
{
	char path[64], state = 'X';

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);

	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 'X';
	fclose(file);
	return state != 'Z' && state != 'X';
}

size_t rig_n_children(void)
{
	char path[64];
	size_t n = 0;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());

	FILE *file = fopen(path, "re");

	while (file && fscanf(file, "%d", &pid) == 1)
		n++;
	if (file)
		fclose(file);
	return n;
}
