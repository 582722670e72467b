/* SPDX-License-Identifier: MIT */
/* What a process that hangs must not lose is left alone: its session, its own pairs, what others use, what has moved
 * on. */
#include "pool/unblock.h"

#include "base/clock.h"
#include "hung.h"
#include "pool/unblock_look.h"
#include "pool/unblock_socket.h"
#include "pool/unblock_trace.h"
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- what is left alone ---- */

/* Nothing is done to it in two looks, and it is still in that call. */
static void leave_alone(struct hung *hung, const char *call, const char *kind, enum unblock_why why, bool is_traced)
{
	hung_await(hung, call);
	assert_false(hung_free(hung, hung_way(is_traced)));
	assert_string_equal(hung->unblock.last.kind, kind);
	assert_int_equal(hung->unblock.why, why);
	assert_int_equal(hung->unblock.n_rounds, 2);
	assert_false(unblock_has_broken(&hung->unblock));
	hung_await(hung, call);
}

static long in_recv(const struct hung_child *child)
{
	char byte;

	return recv(hung_connect(child->port), &byte, 1, 0);
}

static long in_session(const struct hung_child *child)
{
	char byte = 0;

	return recv(child->session, &byte, 1, 0) == 1 ? byte : -1;
}

static void the_session_is_left_alone(void **state)
{
	struct hung hung;

	(void)state;
	hung_fork(&hung, in_session);
	for (int is_traced = 0; is_traced <= 1; is_traced++)
		leave_alone(&hung, "recvfrom", "session", UNBLOCK_RUNNING, is_traced);
	assert_int_equal(send(hung.session, "A", 1, 0), 1);
	assert_string_equal(hung_next(&hung), "65");
	hung_end(&hung);
}

static void the_session_is_known_by_where_it_leads(void **state)
{
	struct hung hung;
	int session;

	(void)state;
	hung_fork(&hung, in_session);
	session = hung.session;
	hung.session = -1; /* so nothing is known of it */
	for (int is_traced = 0; is_traced <= 1; is_traced++)
		leave_alone(&hung, "recvfrom", "session", UNBLOCK_RUNNING, is_traced);
	hung.session = session;
	assert_int_equal(send(hung.session, "A", 1, 0), 1);
	assert_string_equal(hung_next(&hung), "65");
	hung_end(&hung);
}

static long in_own_pair(const struct hung_child *child)
{
	int pair[2];
	char byte;

	(void)child;
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 ? recv(pair[0], &byte, 1, 0) : -1;
}

static void a_pair_of_its_own_is_left_alone(void **state)
{
	struct hung hung;

	(void)state;
	hung_fork(&hung, in_own_pair);
	for (int is_traced = 0; is_traced <= 1; is_traced++)
		leave_alone(&hung, "recvfrom", "own pair", UNBLOCK_HELD, is_traced);
	hung_kill(&hung);
}

static long in_own_pair_for_a_while(const struct hung_child *child)
{
	int pair[2];
	struct pollfd fd = {.events = POLLIN};

	(void)child;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	fd.fd = pair[0];
	return poll(&fd, 1, 5000);
}

static void a_call_that_was_interrupted_goes_on(void **state)
{
	struct hung hung;

	(void)state;
	hung_fork(&hung, in_own_pair_for_a_while);
	leave_alone(&hung, "poll", "own pair", UNBLOCK_HELD, true);
	assert_string_equal(hung_next(&hung), "0"); /* its own time-out, no error */
	hung_end(&hung);
}

static long in_loop(const struct hung_child *child)
{
	volatile bool is_going = true;

	(void)child;
	while (is_going)
		continue;
	return 0;
}

static void a_process_that_runs_is_left_alone(void **state)
{
	struct hung hung;

	(void)state;
	hung_fork(&hung, in_loop);
	leave_alone(&hung, "running", "", UNBLOCK_RUNNING, false);
	hung_kill(&hung);
}

static long in_foreign_pipe(const struct hung_child *child)
{
	char byte;

	return read(child->go, &byte, 1);
}

static void a_pipe_that_no_descendant_holds_is_left_alone(void **state)
{
	struct hung hung;

	(void)state;
	hung_fork(&hung, in_foreign_pipe);
	leave_alone(&hung, "read", "pipe", UNBLOCK_HELD, false);
	assert_string_equal(hung_next(&hung), "1");
	hung_end(&hung);
}

static long with_forked_copy(const struct hung_child *child)
{
	int fd = hung_connect(child->port);
	char byte;

	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return recv(fd, &byte, 1, 0);
}

static void a_socket_that_a_forked_copy_uses_too_is_left_alone(void **state)
{
	struct hung hung;

	(void)state;
	hung_fork(&hung, with_forked_copy);
	for (int is_traced = 0; is_traced <= 1; is_traced++)
		leave_alone(&hung, "recvfrom", "shared socket", UNBLOCK_HELD, is_traced);
	hung_kill(&hung);
}

static long with_program_that_inherited(const struct hung_child *child)
{
	int fd = hung_connect(child->port), ready[2];
	char byte;

	if (pipe2(ready, O_CLOEXEC))
		return -1;
	fcntl(fd, F_SETFD, 0);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("sleep", "sleep", "60", (char *)NULL);
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 0) /* it is the other program now */
		return -1;
	return recv(fd, &byte, 1, 0);
}

static void a_socket_that_a_program_merely_inherited_is_shut(void **state)
{
	struct hung hung;

	(void)state;
	hung_fork(&hung, with_program_that_inherited);
	hung_await(&hung, "recvfrom");
	assert_true(hung_free(&hung, hung_way(false)));
	assert_string_equal(hung.said, "0");
	hung_end(&hung);
}

static long in_accept(const struct hung_child *child)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), value = 0;
	socklen_t len = sizeof(value);

	(void)child;
	if (bind(listener, (struct sockaddr *)&name, sizeof(name)) || listen(listener, 1) ||
		accept(listener, NULL, NULL) >= 0 || errno != EINTR)
		return -1;
	return getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && value ? 0 : -1;
}

static void on_told(int number)
{
	(void)number;
}

static void handle_told(void)
{
	struct sigaction told = {.sa_handler = on_told};

	sigaction(SIGUSR1, &told, NULL);
}

static long in_accept_with_handler(const struct hung_child *child)
{
	handle_told();
	return in_accept(child);
}

static void a_listening_socket_stays_one(void **state)
{
	(void)state;
	for (int is_traced = 0; is_traced <= 1; is_traced++) {
		struct hung hung;

		hung_fork(&hung, in_accept_with_handler);
		hung_await(&hung, "accept");
		assert_true(hung_free(&hung, hung_way(is_traced)));
		assert_string_equal(hung.said, "0");
		assert_false(unblock_has_broken(&hung.unblock)); /* a signal only */
		hung_end(&hung);
	}
}

static void without_a_handler_there_is_no_signal(void **state)
{
	struct hung hung;

	(void)state;
	hung_fork(&hung, in_accept);
	leave_alone(&hung, "accept", "listener", UNBLOCK_HELD, false);
	hung_kill(&hung);
}

/* ---- races ---- */

static long in_recv_twice(const struct hung_child *child)
{
	int fd = hung_connect(child->port);
	char byte;

	return recv(child->session, &byte, 1, 0) == 1 ? recv(fd, &byte, 1, 0) : -1;
}

/* What was seen is over when it is acted on: the session's byte was the reply. */
static void a_thread_that_moved_on_is_left_alone(void **state)
{
	struct hung hung;
	struct unblock u;
	struct unblock_look look;
	struct unblock_round round = {.call = "", .kind = ""};

	(void)state;
	hung_fork(&hung, in_recv_twice);
	hung_await(&hung, "recvfrom");
	unblock_begin(&u, hung.pid, hung.session, hung_way(false), 0);
	assert_int_equal(unblock_look_at(u.proc, u.pid, &look), 0);
	look.fds[0].fd = -1; /* the session; the other one is put into its place as if it had been seen */
	assert_int_equal(send(hung.session, "A", 1, 0), 1);

	struct unblock_look later = look;

	while (later.n_fds != 1 || later.fds[0].inode == (ino_t)u.session_inode)
		assert_int_equal(unblock_look_at(u.proc, u.pid, &later), 0);
	look.fds[0] = later.fds[0];
	unblock_socket_free(&u, &look, &round);
	assert_int_equal(round.did, UNBLOCK_NOTHING);
	unblock_socket_free(&u, &later, &round);
	assert_int_equal(round.did, UNBLOCK_SHUT);
	unblock_end(&u);
	assert_string_equal(hung_next(&hung), "0");
	hung_end(&hung);
}

static long sends_and_waits(const struct hung_child *child)
{
	return send(child->session, "A", 1, 0) == 1 ? in_recv(child) : -1;
}

static void nothing_is_done_while_the_session_has_news(void **state)
{
	struct hung hung;
	struct unblock *u = &hung.unblock;
	char byte;

	(void)state;
	hung_fork(&hung, sends_and_waits);
	hung_await(&hung, "recvfrom");
	unblock_begin(u, hung.pid, hung.session, hung_way(false), 0);
	assert_in_range(unblock_step(u, 0, false), 1, 10000);
	assert_int_equal(u->n_rounds, 0);
	assert_int_equal(recv(hung.session, &byte, 1, 0), 1);
	assert_in_range(unblock_step(u, 0, false), 1, 100000);
	assert_int_equal(u->last.did, UNBLOCK_SHUT);
	assert_true(unblock_step(u, 0, true) == CLOCK_NEVER);
	unblock_end(u);
	unblock_end(u);
	assert_string_equal(hung_next(&hung), "0");
	hung_end(&hung);
}

enum { N_ECHOES = 500 };

static volatile sig_atomic_t n_told;

static void count_told(int number)
{
	(void)number;
	n_told++;
}

/* Waits in a different call each time; says how often it was told, or what went wrong. */
static long in_echoes(const struct hung_child *child)
{
	struct sigaction told = {.sa_handler = count_told, .sa_flags = SA_RESTART};
	struct pollfd fd = {.fd = child->session, .events = POLLIN};

	sigaction(SIGUSR1, &told, NULL);
	for (uint32_t i = 0, seen; i < N_ECHOES; i++) {
		while (i % 3 == 1 && poll(&fd, 1, -1) < 0 && errno == EINTR)
			continue;
		if (i % 3 == 2 && ppoll(&fd, 1, NULL, NULL) < 0 && errno != EINTR)
			return -errno;
		if (recv(child->session, &seen, sizeof(seen), MSG_WAITALL) != sizeof(seen) || seen != i)
			return -1000;
		if (send(child->session, &i, sizeof(i), 0) != sizeof(i))
			return -2000;
	}
	return n_told;
}

/* Its socket's type, asked by the thread itself; or that it cannot be asked now. */
static void ask_by_injection(const struct unblock *u)
{
	struct unblock_trace *trace = NULL;
	struct {
		int type;
		socklen_t len;
	} room = {.len = sizeof(int)};
	struct unblock_look look;
	int result = unblock_look_at(u->proc, u->pid, &look);

	if (result == 0 && look.n_fds == 1 && S_ISSOCK(look.fds[0].mode))
		result = unblock_trace_open(u->proc, u->pid, &trace);
	if (result == 0 && trace) {
		unsigned long args[6] = {(unsigned long)look.fds[0].fd, SOL_SOCKET, SO_TYPE,
			(unsigned long)(uintptr_t)&room.type, (unsigned long)(uintptr_t)&room.len};

		assert_int_equal(unblock_trace_call(trace, SYS_getsockopt, args, &room, sizeof(room)), 0);
		assert_int_equal(room.type, SOCK_STREAM);
	}
	while (trace && !unblock_trace_close(trace))
		continue;
}

static void a_thread_that_is_asked_at_any_moment_loses_nothing(void **state)
{
	struct hung hung;
	struct unblock u;

	(void)state;
	hung_fork(&hung, in_echoes);
	hung_await(&hung, "recvfrom");
	unblock_begin(&u, hung.pid, hung.session, hung_way(true), 0);
	for (uint32_t i = 0, back = 0; i < N_ECHOES; i++) {
		if (i % 2)
			ask_by_injection(&u);
		if (i % 5 == 0)
			assert_int_equal(kill(hung.pid, SIGUSR1), 0);
		assert_int_equal(send(hung.session, &i, sizeof(i), 0), sizeof(i));
		for (volatile uint32_t spin = 0; spin < i * 53 % 40000; spin++)
			continue;
		ask_by_injection(&u);
		assert_int_equal(recv(hung.session, &back, sizeof(back), MSG_WAITALL), sizeof(back));
		assert_int_equal(back, i);
	}
	unblock_end(&u);
	assert_int_equal(strtol(hung_next(&hung), NULL, 10), N_ECHOES / 5);
	hung_end(&hung);
}

static void a_process_that_has_ended_is_gone(void **state)
{
	struct hung hung;

	(void)state;
	hung_fork(&hung, in_recv);
	unblock_begin(&hung.unblock, hung.pid, hung.session, hung_stages(), 0);
	hung_kill(&hung);
	assert_true(unblock_step(&hung.unblock, 0, false) == CLOCK_NEVER);
	assert_int_equal(hung.unblock.why, UNBLOCK_GONE);
	unblock_end(&hung.unblock);
}

/* A number that was the worker's may be another's by now; the session's other end is not. */
static void only_who_holds_the_session_is_its_peer(void **state)
{
	struct hung hung, other;

	(void)state;
	hung_fork(&hung, in_session);
	hung_fork(&other, in_session);
	assert_true(unblock_is_peer(hung.pid, hung.session));
	assert_false(unblock_is_peer(other.pid, hung.session));
	hung_kill(&hung);
	hung_kill(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_session_is_left_alone),
		cmocka_unit_test(the_session_is_known_by_where_it_leads),
		cmocka_unit_test(a_pair_of_its_own_is_left_alone),
		cmocka_unit_test(a_call_that_was_interrupted_goes_on),
		cmocka_unit_test(a_process_that_runs_is_left_alone),
		cmocka_unit_test(a_pipe_that_no_descendant_holds_is_left_alone),
		cmocka_unit_test(a_socket_that_a_forked_copy_uses_too_is_left_alone),
		cmocka_unit_test(a_socket_that_a_program_merely_inherited_is_shut),
		cmocka_unit_test(a_listening_socket_stays_one),
		cmocka_unit_test(without_a_handler_there_is_no_signal),
		cmocka_unit_test(a_thread_that_moved_on_is_left_alone),
		cmocka_unit_test(nothing_is_done_while_the_session_has_news),
		cmocka_unit_test(a_thread_that_is_asked_at_any_moment_loses_nothing),
		cmocka_unit_test(a_process_that_has_ended_is_gone),
		cmocka_unit_test(only_who_holds_the_session_is_its_peer),
	};

	if (!rig_has_pidfds())
		return RIG_LEFT_OUT;
	return cmocka_run_group_tests(tests, hung_setup, NULL);
}
