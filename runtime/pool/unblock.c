/* SPDX-License-Identifier: MIT */
/* Looks at a worker that hangs, round by round, and does what frees it from where it is found.
 *
 * The main thread is what the handler runs in. The others are touched only while it waits for them, that is, when it
 * sits in something that has nothing to act on (curl's main thread and its resolver thread). */
#include "pool/unblock.h"

#include "base/clock.h"
#include "pool/unblock_kin.h"
#include "pool/unblock_look.h"
#include "pool/unblock_socket.h"
#include "pool/unblock_trace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	SPAN_US = 2000000, /* from begin to the last look */
	HELD_US = 2000,    /* until a thread that was not let go is tried again; doubled each time */
	HELD_MAX_US = 64000,
	NEWS_US = 5000,    /* until the loop has read what the session has */
	MAX_IDLE = 2,      /* looks in a row without an act */
	MAX_THREADS = 64,  /* of a worker, that are looked at */
	N_LAST_TRIES = 10, /* to let a thread go, each some milliseconds */
};

/* When to look again: a PHP call goes on to its next system call within that time. */
static const int64_t pauses_us[] = {
	[UNBLOCK_NOTHING] = 60000,
	[UNBLOCK_SIGNALLED] = 20000,
	[UNBLOCK_REFUSED] = 60000,
	[UNBLOCK_SHUT] = 60000,
	[UNBLOCK_ENDED] = 20000,
};

/* ---- begin and end ---- */

void unblock_begin(struct unblock *u, pid_t pid, int session_fd, const struct unblock_stages *stages, int64_t now_us)
{
	struct stat session;

	*u = (struct unblock){
		.pid = pid,
		.pidfd = (int)syscall(SYS_pidfd_open, pid, 0),
		.proc = unblock_look_open(pid),
		.session = session_fd,
		.stages = *stages,
		.until_us = now_us + SPAN_US,
		.last = {.call = "", .kind = ""},
	};
	if (session_fd >= 0 && fstat(session_fd, &session) == 0)
		u->session_inode = unblock_socket_peer(session.st_ino);
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool let_go(struct unblock *u)
{
	if (u->held && unblock_trace_close(u->held))
		u->held = NULL;
	return !u->held;
}

/* Returns when to come by again, also when it could be let go: it has to get back into its call first. It may be out of
 * reach for as long as its grace lasts, and the loop has other things to do. */
static int64_t try_to_let_go(struct unblock *u, int64_t now_us)
{
	if (unblock_trace_close_now(u->held))
		u->held = NULL;
	u->held_us = !u->held || u->held_us < HELD_US ? HELD_US : 2 * u->held_us;
	u->held_us = u->held_us < HELD_MAX_US ? u->held_us : HELD_MAX_US;
	return now_us + u->held_us;
}

/* A thread that stays attached would stand still for ever. One that cannot be let go sits in the kernel and cannot be
 * reached by anything; then its process ends when it comes out. */
void unblock_end(struct unblock *u)
{
	if (u->pid == 0)
		return;
	for (int i = 0; i < N_LAST_TRIES && !let_go(u); i++)
		continue;
	if (u->held) {
		syscall(SYS_pidfd_send_signal, u->pidfd, SIGKILL, NULL, 0);
		unblock_trace_abandon(u->held);
		u->held = NULL;
	}
	close_one(&u->pidfd);
	close_one(&u->proc);
	u->pid = 0;
}

/* ---- acts ---- */

/* Without a handler the signal would end the process. */
static bool has_handler(int proc, int signal)
{
	char text[4096];

	if (unblock_look_text(proc, "status", text, sizeof(text)) < 0)
		return false;

	const char *caught = strstr(text, "SigCgt:");

	return caught && (strtoull(caught + strlen("SigCgt:"), NULL, 16) >> (signal - 1) & 1);
}

static void act_by_signal(struct unblock *u, struct unblock_round *round)
{
	if (u->stages.signal && has_handler(u->proc, SIGUSR1) &&
		syscall(SYS_pidfd_send_signal, u->pidfd, SIGUSR1, NULL, 0) == 0)
		round->did = UNBLOCK_SIGNALLED;
}

static void act_on_child(struct unblock *u, const struct unblock_look *look, struct unblock_round *round)
{
	round->kind = "child";
	if (u->stages.child && unblock_kin_end_child(u->pid, look->child)) {
		round->did = UNBLOCK_ENDED;
		round->n = 1;
		round->ended = look->child;
	}
}

static void act_on_pipes(struct unblock *u, const struct unblock_look *look, struct unblock_round *round)
{
	for (size_t i = 0; i < look->n_fds && u->stages.child; i++) {
		if (look->fds[i].is_pipe)
			round->n += unblock_kin_end_pipe(u->pid, u->proc, &look->fds[i], &round->ended);
	}
	if (round->n > 0) {
		round->kind = "pipe";
		round->did = UNBLOCK_ENDED;
	}
}

/* Does it wait for something that has no other end to act on: a named pipe, a terminal, a pipe that nobody holds? */
static bool waits_for_file(const struct unblock_look *look, struct unblock_round *round)
{
	for (size_t i = 0; i < look->n_fds; i++) {
		if (S_ISFIFO(look->fds[i].mode) || S_ISCHR(look->fds[i].mode)) {
			round->kind = look->fds[i].is_pipe ? "pipe" : "file";
			return true;
		}
	}
	return false;
}

static void act_on_fds(struct unblock *u, const struct unblock_look *look, bool is_main, struct unblock_round *round)
{
	bool is_listening = unblock_socket_free(u, look, round);

	if (round->did != UNBLOCK_NOTHING || !is_main)
		return;
	act_on_pipes(u, look, round);
	if (round->did == UNBLOCK_NOTHING && (is_listening || waits_for_file(look, round)))
		act_by_signal(u, round);
}

static void act_on_thread(struct unblock *u, const struct unblock_look *look, bool is_main, struct unblock_round *round)
{
	round->call = look->call;
	round->kind = "";
	if (look->wait == WAIT_DATA || look->wait == WAIT_READY)
		act_on_fds(u, look, is_main, round);
	else if (look->wait == WAIT_CHILD && is_main)
		act_on_child(u, look, round);
	else if (look->wait == WAIT_INTERRUPT && is_main)
		act_by_signal(u, round);
}

/* ---- a look ---- */

static bool waits_for_us(const struct unblock_round *round)
{
	return strcmp(round->kind, "session") == 0;
}

/* All threads but the main one. What the main one was found in stays in *round when nothing is done. */
static void look_at_others(struct unblock *u, struct unblock_round *round)
{
	int fd = openat(u->proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *threads = fd < 0 ? NULL : fdopendir(fd);
	int n = 0;

	for (const struct dirent *entry; threads && n < MAX_THREADS && (entry = readdir(threads)) && !u->held; n++) {
		struct unblock_round other = {.n = 0};
		struct unblock_look look;
		pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);

		if (thread <= 0 || thread == u->pid || unblock_look_at(u->proc, thread, &look) < 0)
			continue;
		act_on_thread(u, &look, false, &other);
		if (other.did != UNBLOCK_NOTHING) {
			other.n += round->n;
			*round = other;
		}
	}
	if (threads)
		closedir(threads);
	else if (fd >= 0)
		close(fd);
}

/* 0, or -errno: it cannot be looked at. */
static int look_and_act(struct unblock *u)
{
	struct unblock_round round = {.call = "", .kind = ""};
	struct unblock_look look;
	int result = unblock_look_at(u->proc, u->pid, &look);

	if (result < 0)
		return result;
	act_on_thread(u, &look, true, &round);
	if (round.did == UNBLOCK_NOTHING && !waits_for_us(&round) && !u->held &&
		(look.wait == WAIT_READY || look.wait == WAIT_UNREACHABLE))
		look_at_others(u, &round);
	u->last = round;
	return 0;
}

/* ---- steps ---- */

static int64_t finish(struct unblock *u, enum unblock_why why)
{
	u->why = why;
	return CLOCK_NEVER;
}

static bool is_gone(const struct unblock *u)
{
	struct pollfd exited = {.fd = u->pidfd, .events = POLLIN};

	return u->pidfd < 0 || u->proc < 0 || poll(&exited, 1, 0) != 0;
}

static bool has_news(const struct unblock *u)
{
	struct pollfd session = {.fd = u->session, .events = POLLIN};

	return u->session >= 0 && poll(&session, 1, 0) != 0;
}

/* Counts what the look has brought; returns when the next one is due. */
static int64_t count(struct unblock *u, int64_t now_us)
{
	const struct unblock_round *last = &u->last;
	bool is_idle = last->did == UNBLOCK_NOTHING && strcmp(last->kind, UNBLOCK_MOVING) != 0;

	u->n_idle = is_idle ? u->n_idle + 1 : 0;
	u->n_rounds += last->did != UNBLOCK_REFUSED;
	u->n_broken += last->n;
	if (u->n_idle == MAX_IDLE)
		return finish(u, strcmp(last->call, "running") == 0 || waits_for_us(last) ? UNBLOCK_RUNNING : UNBLOCK_HELD);
	if (u->n_rounds == UNBLOCK_MAX_ROUNDS)
		return finish(u, UNBLOCK_SPENT);
	return now_us + pauses_us[last->did];
}

int64_t unblock_step(struct unblock *u, int64_t now_us, bool has_result)
{
	if (u->held)
		return try_to_let_go(u, now_us);
	if (u->why != UNBLOCK_GOING || u->pid == 0)
		return CLOCK_NEVER;
	if (has_result)
		return finish(u, UNBLOCK_RESULT);
	if (is_gone(u))
		return finish(u, UNBLOCK_GONE);
	if (now_us >= u->until_us)
		return finish(u, UNBLOCK_SPENT);
	if (!u->stages.read_syscall)
		return finish(u, UNBLOCK_HELD);
	if (has_news(u))
		return now_us + NEWS_US;
	if (look_and_act(u) < 0)
		return finish(u, is_gone(u) ? UNBLOCK_GONE : UNBLOCK_HELD);
	if (!u->held)
		return count(u, now_us);
	if (u->last.did != UNBLOCK_NOTHING) /* otherwise it was not even seen */
		count(u, now_us);
	return now_us + HELD_US;
}

bool unblock_has_broken(const struct unblock *u)
{
	return u->n_broken > 0;
}

/* ---- in words ---- */

const char *unblock_describe(const struct unblock *u, char *text, size_t size)
{
	static const char *const done[] = {
		[UNBLOCK_NOTHING] = "nothing done",
		[UNBLOCK_SIGNALLED] = "signalled",
		[UNBLOCK_REFUSED] = "refused",
		[UNBLOCK_SHUT] = "shut",
		[UNBLOCK_ENDED] = "ended",
	};
	const struct unblock_round *last = &u->last;
	const char *space = *last->kind ? " " : "";

	if (last->n > 0)
		snprintf(text, size, "%s%s%s: %u %s", last->call, space, last->kind, last->n, done[last->did]);
	else
		snprintf(text, size, "%s%s%s: %s", last->call, space, last->kind, done[last->did]);
	return text;
}

const char *unblock_why_name(enum unblock_why why)
{
	static const char *const names[] = {
		[UNBLOCK_GOING] = "going on",
		[UNBLOCK_RESULT] = "result",
		[UNBLOCK_RUNNING] = "running",
		[UNBLOCK_HELD] = "held",
		[UNBLOCK_SPENT] = "spent",
		[UNBLOCK_GONE] = "gone",
	};

	return names[why];
}
