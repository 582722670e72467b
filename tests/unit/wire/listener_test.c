/* SPDX-License-Identifier: MIT */
/* The listener owns its path while it lives, takes over what a killed proxy left, and lets in whom it should. */
#include "stand.h"

#include "base/clock.h"
#include "wire/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct stand stand;
static struct listener_conf conf;
static struct listener *listener;
static char folder[64], path[80], sentence[LISTENER_ERROR_BYTES];

static int open_stand(void **state)
{
	(void)state;
	stand_n_messages = 0;
	stand_open(&stand);
	snprintf(folder, sizeof folder, "/tmp/listener_test.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/q.sock", folder);
	conf = (struct listener_conf){.path = path, .mode = 0600, .owner = GUARD_UNCHANGED, .group = GUARD_UNCHANGED};
	listener = NULL;
	return 0;
}

static int close_stand(void **state)
{
	(void)state;
	char lock[96];
	listener_close(listener);
	stand_close(&stand);
	snprintf(lock, sizeof lock, "%s.lock", path);
	unlink(lock);
	unlink(path);
	return rmdir(folder);
}

static int listen_at(void)
{
	sentence[0] = '\0';
	return listener_open(stand.base, &conf, stand.set, &listener, sentence);
}

/* A connected client, or -errno. */
static int attach(struct client *client)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	memcpy(address.sun_path, path, strlen(path));
	if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		close(fd);
		return -errno;
	}
	*client = (struct client){.fd = fd};
	return 0;
}

static struct listener_counts counted(void)
{
	struct listener_counts counts;
	listener_count(listener, &counts);
	return counts;
}

/* A socket at the path that nobody serves, as kill -9 leaves it. */
static void leave_stale_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd);
}

static void a_worker_attaches_through_the_socket(void **state)
{
	(void)state;
	struct client client;
	assert_int_equal(listen_at(), 0);
	assert_int_equal(attach(&client), 0);
	client_hello(&client, "mails", 0);
	client_hears(&stand, &client, PROTO_WELCOME, "mails");
	assert_int_equal(counted().accepted, 1);
	client_close(&client);
	stand_until_closed(&stand, 1);
	assert_int_equal(stand.closed.peer.pid, getpid());
	assert_int_equal(stand.closed.peer.uid, getuid());
}

static void mode_is_what_was_asked_for_whatever_the_umask(void **state)
{
	(void)state;
	struct stat stat;
	mode_t before = umask(0);
	conf.mode = 0640;
	assert_int_equal(listen_at(), 0);
	umask(before);
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_mode & 07777, 0640);
	listener_close(listener);
	before = umask(0777);
	conf.mode = 0666;
	conf.group = getgid();
	int result = listen_at();
	umask(before);
	assert_int_equal(result, 0);
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_mode & 07777, 0666);
}

static void a_stale_socket_is_taken_over(void **state)
{
	(void)state;
	struct client client;
	leave_stale_socket();
	assert_int_equal(listen_at(), 0);
	assert_int_equal(attach(&client), 0);
	client_close(&client);
}

static void what_a_killed_instance_leaves_is_taken_over(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		_exit(listen_at() == 0 ? 7 : 1); /* no listener_close: socket and lock file stay */
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(listen_at(), 0);
}

static void a_second_instance_is_refused_with_one_sentence(void **state)
{
	(void)state;
	char expected[128];
	struct client client;
	assert_int_equal(listen_at(), 0);
	struct listener *first = listener;
	assert_int_equal(listen_at(), -EADDRINUSE);
	snprintf(expected, sizeof expected, "another qbus-proxy serves %s", path);
	assert_string_equal(sentence, expected);
	listener = first;
	assert_int_equal(attach(&client), 0); /* the first is not harmed */
	client_close(&client);
}

static void a_living_stranger_is_not_robbed(void **state)
{
	(void)state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(listen_at(), -EADDRINUSE);
	assert_non_null(strstr(sentence, "another process serves"));
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
}

static void what_is_not_a_socket_is_left_alone(void **state)
{
	(void)state;
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(listen_at(), -EEXIST);
	assert_non_null(strstr(sentence, "exists and is not a socket"));
	assert_int_equal(access(path, F_OK), 0);
}

static void impossible_paths_are_refused_with_one_sentence(void **state)
{
	(void)state;
	char longest[200];
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	conf.path = longest;
	assert_int_equal(listen_at(), -ENAMETOOLONG);
	assert_non_null(strstr(sentence, "longer than 107 bytes"));
	conf.path = "/nonexistent/q.sock";
	assert_int_equal(listen_at(), -ENOENT);
	assert_non_null(strstr(sentence, "needs the directory \"/nonexistent\", which has to be there"));
}

static void closing_removes_the_socket_only_while_it_is_ours(void **state)
{
	(void)state;
	assert_int_equal(listen_at(), 0);
	listener_close(listener);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(listen_at(), 0);
	unlink(path);
	leave_stale_socket();
	listener_close(listener);
	listener = NULL;
	assert_int_equal(access(path, F_OK), 0);
}

/* As a stranger with this primary and this supplementary group: 0 when it may attach, else another number. */
static _Noreturn void stranger_run(gid_t primary, gid_t supplementary)
{
	struct client stranger;
	uint8_t head[FRAME_HEADER_BYTES];

	if (setgroups(1, &supplementary) || setresgid(primary, primary, primary) || setresuid(12345, 12345, 12345) ||
		attach(&stranger))
		_exit(1);
	stranger.may_be_closed = true;
	client_hello(&stranger, "mails", 0);
	if (recv(stranger.fd, head, sizeof head, MSG_WAITALL) != (ssize_t)sizeof head)
		_exit(2);
	_exit(head[4] == PROTO_WELCOME ? 0 : 3);
}

static void a_list_of_groups_lets_their_members_in(void **state)
{
	static const struct {
		gid_t primary, supplementary;
		int status;
	} strangers[] = {{777, 1, 0}, {1, 777, 0}, {1, 2, 3}};
	static const gid_t groups[] = {776, 777};
	(void)state;
	if (geteuid() != 0)
		skip(); /* only root can be somebody else */
	conf.allow_gids = groups;
	conf.n_allow_gids = 2;
	conf.mode = 0777;
	assert_int_equal(listen_at(), 0);
	assert_int_equal(chmod(folder, 0755), 0);
	for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
		int status = -1;
		pid_t pid = fork();
		if (pid == 0)
			stranger_run(strangers[i].primary, strangers[i].supplementary);
		while (waitpid(pid, &status, WNOHANG) == 0)
			stand_turn(&stand);
		assert_int_equal(WEXITSTATUS(status), strangers[i].status);
	}
	assert_int_equal(counted().forbidden, 1);
}

static void a_list_that_names_others_refuses_all_but_our_own_user(void **state)
{
	(void)state;
	struct client client;
	const uid_t others[] = {12345};
	conf.allow_uids = others;
	conf.n_allow_uids = 1;
	conf.mode = 0777;
	assert_int_equal(listen_at(), 0);
	assert_int_equal(attach(&client), 0);
	client_hello(&client, "mails", 0);
	client_hears(&stand, &client, PROTO_WELCOME, "mails");
	client_close(&client);
	if (geteuid() != 0)
		skip(); /* only root can be somebody else */
	for (int uid = 12345; uid <= 12346; uid++) {
		assert_int_equal(chmod(folder, 0755), 0);
		int ends[2];
		assert_int_equal(pipe(ends), 0);
		pid_t pid = fork();
		if (pid == 0) {
			struct client stranger;
			char byte = 0;
			if (setresgid(54321, 54321, 54321) || setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) || attach(&stranger))
				_exit(1);
			ssize_t ignored = write(ends[1], &byte, 1);
			(void)ignored;
			struct pollfd wait = {.fd = stranger.fd, .events = POLLIN};
			uint8_t head[FRAME_HEADER_BYTES];
			if (uid == 12345)
				_exit(poll(&wait, 1, 200) == 0 ? 0 : 2); /* nothing is said before HELLO */
			_exit(recv(stranger.fd, head, sizeof head, MSG_WAITALL) == 8 && head[4] == PROTO_ERROR ? 0 : 3);
		}
		close(ends[0]);
		close(ends[1]);
		int status = -1;
		while (waitpid(pid, &status, WNOHANG) == 0)
			stand_turn(&stand);
		assert_int_equal(status, 0);
		assert_int_equal(counted().forbidden, uid == 12345 ? 0 : 1);
	}
}

static void more_than_the_limit_are_refused(void **state)
{
	(void)state;
	struct client first, second;
	conf.max_sessions = 1;
	assert_int_equal(listen_at(), 0);
	assert_int_equal(attach(&first), 0);
	assert_int_equal(attach(&second), 0);
	client_hears(&stand, &second, PROTO_ERROR, "too many workers are attached");
	assert_null(client_hear(&stand, &second).payload);
	client_hello(&first, "mails", 0);
	client_hears(&stand, &first, PROTO_WELCOME, "mails");
	client_close(&first);
	client_close(&second);
	stand_until_closed(&stand, 1);
	assert_int_equal(attach(&first), 0);
	client_hello(&first, "mails", 0);
	client_hears(&stand, &first, PROTO_WELCOME, "mails");
	client_close(&first);
}

/* Descriptors that are used up. */
struct used {
	struct rlimit before;
	int fds[64], n;
};

/* Those below the limit; fd is any. */
static void use_up(struct used *used, int limit, int fd)
{
	struct rlimit none;

	used->n = 0;
	getrlimit(RLIMIT_NOFILE, &used->before);
	none = used->before;
	none.rlim_cur = (rlim_t)limit;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	while (used->n < 64 && (used->fds[used->n] = dup(fd)) >= 0)
		used->n++;
}

static void give_back(struct used *used)
{
	setrlimit(RLIMIT_NOFILE, &used->before);
	while (used->n)
		close(used->fds[--used->n]);
}

/* The loop must neither spin nor leave the connection hanging. */
static void without_descriptors_workers_are_refused(void **state)
{
	(void)state;
	struct client client;
	struct used used;
	assert_int_equal(listen_at(), 0);
	assert_int_equal(attach(&client), 0);
	use_up(&used, client.fd + 1, client.fd);
	struct heard heard = client_hear(&stand, &client);
	give_back(&used);
	assert_non_null(heard.payload);
	assert_int_equal(heard.word, PROTO_ERROR);
	assert_null(client_hear(&stand, &client).payload);
	assert_int_equal(counted().no_descriptor, 1);
	client_close(&client);
	assert_int_equal(attach(&client), 0);
	client_hello(&client, "mails", 0);
	client_hears(&stand, &client, PROTO_WELCOME, "mails");
	client_close(&client);
}

/* The listener's reserve, which it has opened last. */
static int find_reserve(int below)
{
	char link[32], name[16] = "";
	int fd = below;
	do {
		snprintf(link, sizeof link, "/proc/self/fd/%d", --fd);
		memset(name, 0, sizeof name);
	} while (fd > 2 && (readlink(link, name, sizeof name - 1) < 0 || strcmp(name, "/dev/null") != 0));
	assert_true(fd > 2);
	return fd;
}

/* As when another thread opens something in the moment in which the reserve is given up. */
static void a_lost_reserve_makes_nobody_spin_and_is_had_back(void **state)
{
	(void)state;
	struct client client;
	struct used used;
	assert_int_equal(listen_at(), 0);
	assert_int_equal(attach(&client), 0);
	use_up(&used, find_reserve(client.fd), client.fd); /* given up, it cannot be had back */
	int64_t until_us = clock_now_us() + 300000;
	while (clock_now_us() < until_us)
		stand_turn(&stand);
	assert_in_range(counted().no_descriptor, 1, 10);
	give_back(&used);
	client_hello(&client, "mails", 0);
	client_hears(&stand, &client, PROTO_WELCOME, "mails");
	client_close(&client);
	assert_int_equal(attach(&client), 0);
	use_up(&used, client.fd + 1, client.fd);
	struct heard heard = client_hear(&stand, &client);
	give_back(&used);
	assert_int_equal(heard.word, PROTO_ERROR);
	client_close(&client);
}

static void nothing_is_inherited_and_nothing_waits(void **state)
{
	(void)state;
	struct client client;
	assert_int_equal(listen_at(), 0);
	assert_int_equal(attach(&client), 0);
	while (counted().accepted == 0)
		stand_turn(&stand);
	for (int fd = 3; fd < 64; fd++) {
		int type;
		socklen_t len = sizeof type;
		if (fd == client.fd || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &type, &len) != 0 || type != AF_UNIX)
			continue;
		struct sockaddr_un name = {0};
		len = sizeof name;
		if (getsockname(fd, (struct sockaddr *)&name, &len) != 0 || strcmp(name.sun_path, path) != 0)
			continue;
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	}
	client_close(&client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_stand, close_stand)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_worker_attaches_through_the_socket),
		TEST(mode_is_what_was_asked_for_whatever_the_umask),
		TEST(a_stale_socket_is_taken_over),
		TEST(what_a_killed_instance_leaves_is_taken_over),
		TEST(a_second_instance_is_refused_with_one_sentence),
		TEST(a_living_stranger_is_not_robbed),
		TEST(what_is_not_a_socket_is_left_alone),
		TEST(impossible_paths_are_refused_with_one_sentence),
		TEST(closing_removes_the_socket_only_while_it_is_ours),
		TEST(a_list_that_names_others_refuses_all_but_our_own_user),
		TEST(a_list_of_groups_lets_their_members_in),
		TEST(more_than_the_limit_are_refused),
		TEST(without_descriptors_workers_are_refused),
		TEST(a_lost_reserve_makes_nobody_spin_and_is_had_back),
		TEST(nothing_is_inherited_and_nothing_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
