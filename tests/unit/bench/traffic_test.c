/* SPDX-License-Identifier: MIT */
/* Tests of what the kernel tells about connections. */
#include "traffic.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_BYTES = 100000 };

/* A connection to ourselves: [0] listens, [1] and [2] are its ends. */
static void connect_ends(int family, int *fds)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = {.any.sa_family = (sa_family_t)family};
	socklen_t len = sizeof(address);

	if (family == AF_INET)
		address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		address.v6.sin6_addr = in6addr_loopback;
	fds[0] = socket(family, SOCK_STREAM, 0);
	if (fds[0] < 0 || bind(fds[0], &address.any, len))
		skip(); /* no such network here */
	assert_int_equal(listen(fds[0], 1), 0);
	assert_int_equal(getsockname(fds[0], &address.any, &len), 0);
	fds[1] = socket(family, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[1], &address.any, len), 0);
	fds[2] = accept(fds[0], NULL, NULL);
	assert_true(fds[2] >= 0);
}

static void bytes_that_came_are_counted(int family)
{
	static char bytes[N_BYTES];
	int64_t before = traffic_received(getpid());
	int fds[3];

	if (before < 0)
		skip(); /* this kernel does not tell */
	connect_ends(family, fds);
	for (size_t n_read = 0, n_sent = 0; n_read < sizeof(bytes);) {
		if (n_sent < sizeof(bytes)) {
			ssize_t n = send(fds[1], bytes, sizeof(bytes) - n_sent, MSG_DONTWAIT);

			n_sent += n > 0 ? (size_t)n : 0;
		}
		ssize_t n = recv(fds[2], bytes, sizeof(bytes), MSG_DONTWAIT);

		n_read += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(traffic_received(getpid()) - before, N_BYTES);
	for (size_t i = 0; i < 3; i++)
		close(fds[i]);
}

static void bytes_over_ipv4_are_counted(void **state)
{
	(void)state;
	bytes_that_came_are_counted(AF_INET);
}

static void bytes_over_ipv6_are_counted(void **state)
{
	(void)state;
	bytes_that_came_are_counted(AF_INET6);
}

static void a_process_without_connections_has_received_nothing(void **state)
{
	(void)state;
	if (traffic_received(getpid()) < 0)
		skip();
	assert_int_equal(traffic_received(getpid()), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_over_ipv4_are_counted),
		cmocka_unit_test(bytes_over_ipv6_are_counted),
		cmocka_unit_test(a_process_without_connections_has_received_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
