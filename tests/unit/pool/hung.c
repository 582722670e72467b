/* SPDX-License-Identifier: MIT */
/* Makes processes that hang, and frees them. */
#include "hung.h"

#include "base/clock.h"
#include "pool/unblock_look.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000, LOOK_NS = 500000 };

static struct unblock_stages available;

int hung_setup(void **state)
{
	(void)state;
	unblock_probe(NULL, &available);
	return prctl(PR_SET_CHILD_SUBREAPER, 1); /* as the host: an orphan with the pipe is found here */
}

const struct unblock_stages *hung_stages(void)
{
	return &available;
}

const struct unblock_stages *hung_way(bool is_traced)
{
	static struct unblock_stages stages;

	stages = available;
	stages.getfd = available.getfd && !is_traced;
	stages.ptrace = available.ptrace && is_traced;
	if (!stages.getfd && !stages.ptrace)
		skip();
	return &stages;
}

/* The session's name, in no file system; the kernel chooses it. */
static int session_listen(struct sockaddr_un *name, socklen_t *len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*name = (struct sockaddr_un){.sun_family = AF_UNIX};
	*len = sizeof(sa_family_t);
	assert_int_equal(bind(fd, (struct sockaddr *)name, *len), 0);
	assert_int_equal(listen(fd, 1), 0);
	*len = sizeof(*name);
	assert_int_equal(getsockname(fd, (struct sockaddr *)name, len), 0);
	return fd;
}

static void serve(struct hung *hung)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(name);

	hung->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(hung->server, (struct sockaddr *)&name, len), 0);
	assert_int_equal(listen(hung->server, 8), 0);
	assert_int_equal(getsockname(hung->server, (struct sockaddr *)&name, &len), 0);
	hung->port = ntohs(name.sin_port);
}

int hung_connect(uint16_t port)
{
	struct sockaddr_in name = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0 ? fd : -1;
}

static _Noreturn void child_run(hung_body *body, const struct hung_child *child)
{
	char line[32], byte;
	int len = snprintf(line, sizeof(line), "%ld\n", body(child));

	if (send(child->session, line, (size_t)len, MSG_NOSIGNAL) == len && read(child->go, &byte, 1) >= 0)
		_exit(0);
	_exit(1);
}

static _Noreturn void child_exec(const char *code, const struct hung_child *child)
{
	char port[16], session[16];

	snprintf(port, sizeof(port), "%d", child->port);
	snprintf(session, sizeof(session), "%d", child->session);
	setenv("PORT", port, 1);
	setenv("SESSION", session, 1);
	dup2(child->go, STDIN_FILENO);
	execlp("php", "php", "-d", "display_errors=0", "-d", "log_errors=0", "-r", code, (char *)NULL);
	_exit(1);
}

static void start(struct hung *hung, hung_body *body, const char *code)
{
	struct sockaddr_un name;
	socklen_t len;
	int go[2], listener = session_listen(&name, &len);

	memset(hung, 0, sizeof(*hung));
	serve(hung);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	hung->pid = fork();
	if (hung->pid == 0) {
		struct hung_child child = {.session = socket(AF_UNIX, SOCK_STREAM, 0), .go = go[0], .port = hung->port};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(go[1]);
		if (connect(child.session, (struct sockaddr *)&name, len))
			_exit(1);
		if (body)
			child_run(body, &child);
		child_exec(code, &child);
	}
	assert_true(hung->pid > 0);
	hung->session = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(hung->session >= 0);
	close(listener);
	close(go[0]);
	hung->go = go[1];
}

void hung_fork(struct hung *hung, hung_body *body)
{
	start(hung, body, NULL);
}

void hung_php(struct hung *hung, const char *code)
{
	start(hung, NULL, code);
}

bool hung_php_has(const char *extension)
{
	char code[128];
	int status = -1;
	pid_t pid = fork();

	snprintf(code, sizeof(code), "exit(extension_loaded('%s') ? 0 : 1);", extension);
	if (pid == 0) {
		execlp("php", "php", "-r", code, (char *)NULL);
		_exit(1);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

void hung_await(const struct hung *hung, const char *call)
{
	int64_t until_us = clock_now_us() + DEADLINE_MS * 1000;
	int proc = unblock_look_open(hung->pid);
	struct unblock_look look = {.call = ""};

	while (strcmp(look.call, call) != 0) {
		if (unblock_look_at(proc, hung->pid, &look) < 0 || clock_now_us() > until_us)
			fail_msg("it is in %s, not in %s", look.call, call);
		nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
	}
	close(proc);
}

static bool is_other_in(const struct hung *hung, int proc, const char *call)
{
	int fd = openat(proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *threads = fdopendir(fd);
	bool is_in = false;

	assert_non_null(threads);
	for (const struct dirent *entry; !is_in && (entry = readdir(threads));) {
		pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
		struct unblock_look look;

		is_in = thread > 0 && thread != hung->pid && unblock_look_at(proc, thread, &look) == 0 &&
		        strcmp(look.call, call) == 0;
	}
	closedir(threads);
	return is_in;
}

void hung_await_thread(const struct hung *hung, const char *call)
{
	int64_t until_us = clock_now_us() + DEADLINE_MS * 1000;
	int proc = unblock_look_open(hung->pid);

	while (!is_other_in(hung, proc, call)) {
		if (clock_now_us() > until_us)
			fail_msg("no thread is in %s", call);
		nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
	}
	close(proc);
}

/* A line; false: there is none in that time. */
static bool read_line(struct hung *hung, int timeout_ms)
{
	struct pollfd readable = {.fd = hung->session, .events = POLLIN};
	size_t len = 0;

	if (poll(&readable, 1, timeout_ms) != 1)
		return false;
	while (len + 1 < sizeof(hung->said) && poll(&readable, 1, DEADLINE_MS) == 1 &&
		   read(hung->session, hung->said + len, 1) == 1 && hung->said[len] != '\n')
		len++;
	hung->said[len] = '\0';
	return true;
}

bool hung_free(struct hung *hung, const struct unblock_stages *stages)
{
	int64_t begun_us = clock_now_us(), now_us = begun_us;
	bool is_said = false;

	unblock_begin(&hung->unblock, hung->pid, hung->session, stages, now_us);
	for (int64_t next_us; (next_us = unblock_step(&hung->unblock, now_us, is_said)) != CLOCK_NEVER;) {
		if (!is_said && next_us > now_us)
			is_said = read_line(hung, (int)((next_us - now_us) / 1000) + 1);
		now_us = clock_now_us();
		hung->took_us = now_us - begun_us;
	}
	/* As the host: it waits on for the result, unless nothing was ever done. */
	is_said = is_said || read_line(hung, hung->unblock.n_idle == hung->unblock.n_rounds ? 0 : DEADLINE_MS);
	unblock_end(&hung->unblock);
	return is_said;
}

const char *hung_next(struct hung *hung)
{
	assert_int_equal(write(hung->go, "\n", 1), 1);
	if (!read_line(hung, DEADLINE_MS))
		fail_msg("it says nothing");
	return hung->said;
}

static int finish(struct hung *hung)
{
	int status = 0;

	assert_int_equal(waitpid(hung->pid, &status, 0), hung->pid);
	close(hung->session);
	close(hung->server);
	return status;
}

void hung_end(struct hung *hung)
{
	close(hung->go);
	assert_int_equal(finish(hung), 0);
}

void hung_kill(struct hung *hung)
{
	assert_int_equal(kill(hung->pid, SIGKILL), 0);
	close(hung->go);

	int status = finish(hung);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
