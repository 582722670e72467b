/* SPDX-License-Identifier: MIT */
/* A call that hangs is freed within a moment and its process lives on. */
#include "pool/unblock.h"

#include "base/clock.h"
#include "hung.h"
#include "pool/unblock_look.h"
#include "pool/unblock_socket.h"
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FREED_US = 30000000 }; /* what hangs does so for a minute; a busy machine takes its time */

/* ---- sockets ---- */

static long in_read(const struct hung_child *child)
{
	char byte;

	return read(hung_connect(child->port), &byte, 1);
}

static long in_recv(const struct hung_child *child)
{
	char byte;

	return recv(hung_connect(child->port), &byte, 1, 0);
}

/* Ends with an interruption instead of going on when the thread is stopped. */
static long in_recv_with_timeout(const struct hung_child *child)
{
	struct timeval timeout = {.tv_sec = 60};
	int fd = hung_connect(child->port);
	char byte;
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	while ((n = recv(fd, &byte, 1, 0)) < 0 && errno == EINTR)
		continue;
	return n;
}

static long in_poll(const struct hung_child *child)
{
	struct pollfd fds[2] = {{.fd = hung_connect(child->port), .events = POLLIN}, {.fd = -1}};

	return poll(fds, 2, 60000) - 1;
}

static long in_ppoll(const struct hung_child *child)
{
	struct pollfd fd = {.fd = hung_connect(child->port), .events = POLLIN};
	sigset_t mask;

	sigemptyset(&mask);
	return ppoll(&fd, 1, NULL, &mask) - 1;
}

static long in_select(const struct hung_child *child)
{
	int fd = hung_connect(child->port);
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, NULL) - 1;
}

static long in_epoll(const struct hung_child *child)
{
	int epoll = epoll_create1(0), n;
	struct epoll_event event = {.events = EPOLLIN};

	epoll_ctl(epoll, EPOLL_CTL_ADD, hung_connect(child->port), &event);
	while ((n = epoll_wait(epoll, &event, 1, -1)) < 0 && errno == EINTR)
		continue;
	return n - 1;
}

static long in_write(const struct hung_child *child)
{
	static char block[1 << 20];
	int fd = hung_connect(child->port);

	signal(SIGPIPE, SIG_IGN);
	while (write(fd, block, sizeof(block)) > 0)
		continue;
	return errno == EPIPE ? 0 : errno;
}

/* The queue of the listener is full, so the kernel does not answer. */
static long in_connect(const struct hung_child *child)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(name);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	(void)child;
	if (bind(listener, (struct sockaddr *)&name, len) || listen(listener, 0) ||
		getsockname(listener, (struct sockaddr *)&name, &len))
		return -1;
	while (connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&name, len) == 0)
		continue;
	return 0;
}

/* The one whose own end and that of the peer are both here, and one that leads elsewhere. */
static long in_poll_with_own_pair(const struct hung_child *child)
{
	int pair[2], server = hung_connect(child->port);
	struct pollfd own = {.events = POLLIN | POLLOUT}, fds[2] = {{.events = POLLIN}, {.fd = server, .events = POLLIN}};

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	own.fd = fds[0].fd = pair[0];
	return poll(fds, 2, -1) == 1 && fds[0].revents == 0 && poll(&own, 1, 0) == 1 && own.revents == POLLOUT ? 0 : -1;
}

struct reader {
	sem_t is_made;
	int fd;
};

static void *recv_in_thread(void *ctx)
{
	struct reader *reader = ctx;
	char byte;

	sem_wait(&reader->is_made);
	return (void *)(intptr_t)recv(reader->fd, &byte, 1, 0);
}

/* Making a thread may wait as joining it does: so it receives only when it has been made. */
static long in_another_thread(const struct hung_child *child)
{
	struct reader reader = {.fd = hung_connect(child->port)};
	void *result = NULL;
	pthread_t thread;

	sem_init(&reader.is_made, 0, 0);
	pthread_create(&thread, NULL, recv_in_thread, &reader);
	sem_post(&reader.is_made);
	pthread_join(thread, &result);
	return (long)(intptr_t)result;
}

static const struct {
	hung_body *body;
	const char *call, *call_of_thread;
} calls[] = {
	{in_read, "read", NULL},
	{in_recv, "recvfrom", NULL},
	{in_recv_with_timeout, "recvfrom", NULL},
	{in_poll, "poll", NULL},
	{in_ppoll, "ppoll", NULL},
	{in_select, "pselect6", NULL},
	{in_epoll, "epoll_wait", NULL},
	{in_write, "write", NULL},
	{in_connect, "connect", NULL},
	{in_poll_with_own_pair, "poll", NULL},
	{in_another_thread, "futex", "recvfrom"},
};

static void free_all(bool is_traced)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct hung hung;
		char text[64];

		hung_fork(&hung, calls[i].body);
		if (calls[i].call_of_thread)
			hung_await_thread(&hung, calls[i].call_of_thread);
		hung_await(&hung, calls[i].call);
		if (!hung_free(&hung, hung_way(is_traced)))
			fail_msg("%zu: %s", i, unblock_describe(&hung.unblock, text, sizeof(text)));
		assert_string_equal(hung.said, "0");
		assert_in_range(hung.unblock.n_broken, 1, hung.unblock.n_rounds); /* one in a round, and no other */
		assert_true(unblock_has_broken(&hung.unblock));
		assert_true(hung.took_us < FREED_US);
		hung_end(&hung);
	}
}

static void a_call_on_a_silent_peer_is_freed_through_a_copy(void **state)
{
	(void)state;
	free_all(false);
}

static void a_call_on_a_silent_peer_is_freed_by_injection(void **state)
{
	(void)state;
	free_all(true);
}

/* ---- a resolver ---- */

static long in_question(const struct hung_child *child)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0x7f090909)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct pollfd answer = {.fd = fd, .events = POLLIN};
	char byte;

	(void)child;
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) || poll(&answer, 1, -1) != 1)
		return -1;
	return recv(fd, &byte, 1, 0) < 0 ? errno : 0;
}

static void a_question_to_a_silent_resolver_is_refused(void **state)
{
	(void)state;
	for (int is_traced = 0; is_traced <= 1; is_traced++) {
		struct hung hung;

		hung_fork(&hung, in_question);
		hung_await(&hung, "poll");
		assert_true(hung_free(&hung, hung_way(is_traced)));
		assert_true(unblock_has_broken(&hung.unblock));
		assert_int_equal(strtol(hung.said, NULL, 10), ECONNREFUSED);
		hung_end(&hung);
	}
}

/* ---- PHP ---- */

static const struct {
	const char *extension, *code, *call, *first, *second;
} scripts[] = {
	/* The handle is of use afterwards: its own pair is whole. The second address refuses. */
	{"curl",
		"$c = curl_init('http://127.0.0.1:' . getenv('PORT') . '/'); curl_setopt($c, CURLOPT_RETURNTRANSFER, true);"
		"curl_exec($c); say(curl_errno($c));"
		"curl_setopt($c, CURLOPT_URL, 'http://127.0.0.1:1/'); curl_exec($c); say(curl_errno($c));",
		"poll", "52", "7"},
	{"standard",
		"$f = stream_socket_client('tcp://127.0.0.1:' . getenv('PORT')); $s = fread($f, 10); say($s === '' && "
		"feof($f));",
		"poll", "true", NULL},
	{"standard", "say(file_get_contents('http://127.0.0.1:' . getenv('PORT') . '/'));", "poll", "false", NULL},
	{"pdo_mysql",
		"try { new PDO('mysql:host=127.0.0.1;port=' . getenv('PORT')); } catch (PDOException $e) {"
		"say($e->getCode()); }",
		"poll", "2006", NULL},
	{"pdo_pgsql",
		"try { new PDO('pgsql:host=127.0.0.1;port=' . getenv('PORT')); } catch (PDOException $e) {"
		"say($e->getCode()); }",
		"poll", "7", NULL},
	{"redis",
		"$r = new Redis(); $r->connect('127.0.0.1', getenv('PORT')); try { $r->get('k'); } catch (RedisException $e) {"
		"say($e->getMessage()); }",
		"poll", "\"read error on connection to 127.0.0.1:", NULL},
	{"pcntl", "pcntl_signal(SIGUSR1, fn() => 0, false); say(sleep(60) > 50);", "clock_nanosleep", "true", NULL},
	/* The shell, the program and all that hold the pipe are ended; another child is not. */
	{"standard",
		"$p = proc_open(['sleep', '60'], [], $pipes); exec('sleep 60; true', $lines, $code); say($code);"
		"say(proc_get_status($p)['running']); proc_terminate($p, 9);",
		"read", "9", "true"},
	{"standard", "$p = proc_open(['sleep', '60'], [], $pipes); proc_close($p); say('closed');", "wait4", "\"closed\"",
		NULL},
};

static void run_script(size_t i)
{
	static char code[1024];
	struct unblock_stages stages = *hung_stages();
	struct hung hung;
	char text[64];

	/* As the host: PHP dies of the signal where its program has no handler. */
	stages.signal = stages.signal && strstr(scripts[i].code, "pcntl_signal");
	snprintf(code, sizeof(code),
		"$session = fopen('php://fd/' . getenv('SESSION'), 'w'); function say($what) { global $session;"
		"fwrite($session, json_encode($what) . \"\\n\"); fgets(STDIN); } %s",
		scripts[i].code);
	hung_php(&hung, code);
	hung_await(&hung, scripts[i].call);
	if (!hung_free(&hung, &stages))
		fail_msg("%zu: %s", i, unblock_describe(&hung.unblock, text, sizeof(text)));
	if (strncmp(hung.said, scripts[i].first, strlen(scripts[i].first)) != 0)
		fail_msg("%zu: after %lld ms it says '%s' (%s); it %s", i, (long long)hung.took_us / 1000, hung.said,
			unblock_describe(&hung.unblock, text, sizeof(text)), rig_is_running(hung.pid) ? "runs" : "has ended");
	assert_true(hung.took_us < FREED_US);
	if (scripts[i].second)
		assert_string_equal(hung_next(&hung), scripts[i].second);
	hung_end(&hung);
}

static void php_is_freed_and_goes_on(void **state)
{
	(void)state;
	hung_way(!hung_stages()->getfd);
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		if (hung_php_has(scripts[i].extension))
			run_script(i);
	}
}

/* ---- the probe ---- */

static void the_probe_leaves_nothing_behind(void **state)
{
	struct unblock_stages stages;
	size_t n_before = rig_n_children();
	char text[64];

	(void)state;
	unblock_probe(NULL, &stages);
	assert_int_equal(rig_n_children(), n_before);
	assert_true(stages.read_syscall);
	assert_true(stages.signal);
	assert_non_null(strstr(unblock_stages_describe(&stages, text, sizeof(text)), "signal"));
	assert_string_equal(unblock_stages_describe(&(struct unblock_stages){0}, text, sizeof(text)), "none");
}

static void the_probe_reaps_no_other_child(void **state)
{
	struct unblock_stages stages;
	siginfo_t info;
	pid_t other = fork();

	(void)state;
	if (other == 0)
		_exit(7);
	assert_int_equal(waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT), 0);
	unblock_probe(NULL, &stages);
	assert_int_equal(waitid(P_PID, (id_t)other, &info, WEXITED), 0);
	assert_int_equal(info.si_status, 7);
}

/* From now on a system call fails with EPERM in this process, as in a container. */
static bool refuse(long number)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool is_probed(bool getfd, bool ptrace)
{
	struct unblock_stages stages;

	unblock_probe(NULL, &stages);
	return stages.getfd == getfd && stages.ptrace == ptrace && stages.read_syscall && stages.signal && stages.child;
}

static void the_probe_sees_what_a_sandbox_refuses(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	hung_way(false);
	hung_way(true);
	pid = fork();
	if (pid == 0) {
		bool is_right =
			refuse(SYS_pidfd_getfd) && is_probed(false, true) && refuse(SYS_ptrace) && is_probed(false, false);

		_exit(!is_right);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A process that has ended shows its descriptors to root only. */
static void the_probe_sees_as_much_without_root(void **state)
{
	enum { NOBODY = 65534, N_PROBES = 20 };
	struct unblock_stages stages;
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		if (geteuid() == 0 && (setresuid(NOBODY, NOBODY, NOBODY) || prctl(PR_SET_DUMPABLE, 1)))
			_exit(2);
		for (int i = 0; i < N_PROBES; i++) {
			unblock_probe(NULL, &stages);
			if (memcmp(&stages, hung_stages(), sizeof(stages)) != 0)
				_exit(1);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void what_is_possible_with_a_worker_is_asked_without_harm(void **state)
{
	struct hung hung;
	struct unblock_stages stages;

	(void)state;
	hung_fork(&hung, in_recv);
	hung_await(&hung, "recvfrom");
	unblock_probe_worker(hung.pid, hung_stages(), &stages);
	assert_memory_equal(&stages, hung_stages(), sizeof(stages));
	hung_await(&hung, "recvfrom");
	hung_kill(&hung);
	unblock_probe_worker(hung.pid, hung_stages(), &stages);
	assert_memory_equal(&stages, &(struct unblock_stages){0}, sizeof(stages));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_on_a_silent_peer_is_freed_through_a_copy),
		cmocka_unit_test(a_call_on_a_silent_peer_is_freed_by_injection),
		cmocka_unit_test(a_question_to_a_silent_resolver_is_refused),
		cmocka_unit_test(php_is_freed_and_goes_on),
		cmocka_unit_test(the_probe_leaves_nothing_behind),
		cmocka_unit_test(the_probe_reaps_no_other_child),
		cmocka_unit_test(the_probe_sees_what_a_sandbox_refuses),
		cmocka_unit_test(the_probe_sees_as_much_without_root),
		cmocka_unit_test(what_is_possible_with_a_worker_is_asked_without_harm),
	};

	if (!rig_has_pidfds())
		return RIG_LEFT_OUT;
	return cmocka_run_group_tests(tests, hung_setup, NULL);
}
