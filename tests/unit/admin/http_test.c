/* SPDX-License-Identifier: MIT */
/* Tests of the HTTP server, with its visitors in the same thread. */
#include "admin/http.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static struct event_base *base;
static struct http *http;
static int door_fd;
static struct sockaddr_un door;
static socklen_t door_len = sizeof door;
static char answer[16384];

static int write_page(void *ctx, const char *query, FILE *body)
{
	(void)query;
	fprintf(body, "%s", (const char *)ctx);
	return 200;
}

static int n_acts;

static int do_act(void *ctx, const char *query, FILE *body)
{
	char name[8];
	(void)ctx;
	n_acts++;
	bool is_named = http_argument(query, "name", name, sizeof name);
	fprintf(body, "%s\n", is_named ? name : "nobody");
	return is_named ? 200 : 409;
}

static int write_trouble(void *ctx, const char *query, FILE *body)
{
	(void)ctx, (void)query;
	fputs("trouble\n", body);
	return 503;
}

static const struct http_page pages[] = {
	{"/page", "text/plain", false, write_page, false}, {"/trouble", "text/plain", false, write_trouble, false},
	{"/secret", "text/plain", true, write_page, false}, {"/act", "text/plain", true, do_act, true},
	{"/slip", "text/plain", false, do_act, true}, /* an action that somebody forgot to call private */
};

/* The door is a socket without a path: the kernel names it. */
static void open_door(bool is_private)
{
	signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	http = http_new(base, pages, sizeof pages / sizeof *pages, (void *)(uintptr_t) "hello\n");
	door_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	door = (struct sockaddr_un){.sun_family = AF_UNIX};
	door_len = sizeof door;
	assert_int_equal(bind(door_fd, (const struct sockaddr *)&door, sizeof door.sun_family), 0);
	assert_int_equal(getsockname(door_fd, (struct sockaddr *)&door, &door_len), 0);
	assert_int_equal(listen(door_fd, 128), 0);
	assert_int_equal(http_serve(http, door_fd, is_private), 0);
}

static int open_all(void **state)
{
	(void)state;
	open_door(true);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	http_free(http);
	close(door_fd);
	event_base_free(base);
	return 0;
}

static void turn(void)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static int visit(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&door, door_len), 0);
	return fd;
}

/* What comes until the server closes its side. */
static const char *hear(int fd)
{
	size_t len = 0;
	for (int i = 0; i < 1000; i++) {
		turn();
		ssize_t n = recv(fd, answer + len, sizeof answer - 1 - len, 0);
		if (n == 0)
			break;
		if (n < 0 && errno != EAGAIN)
			fail_msg("recv: %s", strerror(errno));
		len += n > 0 ? (size_t)n : 0;
		assert_int_not_equal(i, 999);
	}
	answer[len] = '\0';
	return answer;
}

static const char *ask(const char *request)
{
	int fd = visit();
	assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
	hear(fd);
	close(fd);
	turn();
	return answer;
}

static void assert_status(const char *request, const char *status)
{
	const char *text = ask(request);
	if (strncmp(text + strlen("HTTP/1.1 "), status, strlen(status)) != 0)
		fail_msg("%s is answered with %s", request, text);
}

static void a_page_is_shown_with_its_length(void **state)
{
	(void)state;
	const char *text = ask("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(text, "\r\nContent-Length: 6\r\n"));
	assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
	assert_string_equal(strstr(text, "\r\n\r\n") + 4, "hello\n");
}

static void what_follows_a_question_mark_is_ignored(void **state)
{
	(void)state;
	assert_status("GET /page?a=b HTTP/1.0\r\n\r\n", "200 ");
}

static void a_page_chooses_its_status(void **state)
{
	(void)state;
	assert_status("GET /trouble HTTP/1.1\r\n\r\n", "503 Service Unavailable");
}

static void head_shows_the_head_only(void **state)
{
	(void)state;
	const char *text = ask("HEAD /page HTTP/1.1\r\n\r\n");
	assert_non_null(strstr(text, "\r\nContent-Length: 6\r\n"));
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
}

static void a_request_may_come_in_pieces(void **state)
{
	static const char request[] = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n";
	(void)state;
	int fd = visit();
	for (size_t i = 0; i < strlen(request); i++) {
		assert_int_equal(send(fd, request + i, 1, 0), 1);
		turn();
	}
	assert_memory_equal(hear(fd), "HTTP/1.1 200 OK", 15);
	close(fd);
}

static void what_it_does_not_do_is_refused(void **state)
{
	(void)state;
	assert_status("POST /page HTTP/1.1\r\n\r\n", "405 ");
	assert_status("PUT /page HTTP/1.1\r\n\r\n", "405 ");
	assert_status("GET /none HTTP/1.1\r\n\r\n", "404 ");
	assert_status("GET /page/ HTTP/1.1\r\n\r\n", "404 ");
	assert_status("GET /page HTTP/2.0\r\n\r\n", "400 ");
	assert_status("GET /page\r\n\r\n", "400 ");
	assert_status("\x16\x03\x01\r\n\r\n", "400 ");
	assert_status("GET /page HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "413 ");
}

static void a_request_line_has_one_blank_between_its_words(void **state)
{
	static const char *const requests[] = {
		"GET\n\n /page HTTP/1.1\r\n\r\n",
		"GET  /page HTTP/1.1\r\n\r\n",
		"GET /page  HTTP/1.1\r\n\r\n",
		"GET\t/page\tHTTP/1.1\r\n\r\n",
		" GET /page HTTP/1.1\r\n\r\n",
		"\r\nGET /page HTTP/1.1\r\n\r\n",
		"GET /page HTTP/1.1 \r\n\r\n",
		"GET /page HTTP/1.1\n\r\n\r\n",
		"GET /page HTTP/1.1\nX: y\r\n\r\n",
		"GET /page HTTP/1.12\r\n\r\n",
		"get /page HTTP/1.1\r\n\r\n",
		"GET page HTTP/1.1\r\n\r\n",
		"GET /pa\tge HTTP/1.1\r\n\r\n",
		"GET /page\xc3\xa4 HTTP/1.1\r\n\r\n",
	};
	(void)state;
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
		assert_status(requests[i], "400 ");
}

static void an_action_is_done_by_post_at_private_doors_only(void **state)
{
	(void)state;
	n_acts = 0;
	assert_status("GET /act?name=a HTTP/1.1\r\n\r\n", "405 ");
	assert_non_null(strstr(answer, "\r\nAllow: POST\r\n"));
	assert_status("HEAD /act?name=a HTTP/1.1\r\n\r\n", "405 ");
	assert_status("POST /act?name=a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "413 ");
	assert_int_equal(n_acts, 0);
	assert_status("POST /act?name=a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "200 ");
	assert_string_equal(strstr(answer, "\r\n\r\n") + 4, "a\n");
	assert_status("POST /act HTTP/1.1\r\n\r\n", "409 Conflict");
	assert_int_equal(n_acts, 2);
	close_all(NULL);
	open_door(false);
	assert_status("POST /act?name=a HTTP/1.1\r\n\r\n", "405 ");
	assert_null(strstr(answer, "POST"));
	assert_status("GET /act?name=a HTTP/1.1\r\n\r\n", "404 ");
	assert_status("POST /slip?name=a HTTP/1.1\r\n\r\n", "405 ");
	assert_status("GET /slip?name=a HTTP/1.1\r\n\r\n", "404 ");
	assert_int_equal(n_acts, 2);
}

static void arguments_are_found_by_their_whole_name(void **state)
{
	char value[4];
	(void)state;
	assert_true(http_argument("a=1&bc=23&d=", "bc", value, sizeof value));
	assert_string_equal(value, "23");
	assert_true(http_argument("a=1&bc=23&d=", "d", value, sizeof value));
	assert_string_equal(value, "");
	assert_false(http_argument("a=1&bc=23&d=", "b", value, sizeof value));
	assert_false(http_argument("a=1&bc=23&d=", "c", value, sizeof value));
	assert_false(http_argument("a=1234", "a", value, sizeof value));
	assert_false(http_argument("a", "a", value, sizeof value));
	assert_false(http_argument("", "a", value, sizeof value));
}

static void a_head_may_not_be_longer_than_8_kib(void **state)
{
	char request[HTTP_HEAD_BYTES + 1];
	(void)state;
	memset(request, 'a', sizeof request - 1);
	memcpy(request, "GET /page HTTP/1.1\r\nX: ", 23);
	request[sizeof request - 1] = '\0';
	assert_status(request, "431 ");
}

static void private_pages_are_shown_at_private_doors_only(void **state)
{
	(void)state;
	assert_status("GET /secret HTTP/1.1\r\n\r\n", "200 ");
	close_all(NULL);
	open_door(false);
	assert_status("GET /secret HTTP/1.1\r\n\r\n", "404 ");
	assert_status("GET /page HTTP/1.1\r\n\r\n", "200 ");
}

static void the_65th_visitor_is_turned_away(void **state)
{
	int fds[HTTP_PEERS_MAX];
	char byte;
	(void)state;
	for (int i = 0; i < HTTP_PEERS_MAX; i++)
		fds[i] = visit();
	turn();
	int late = visit();
	turn();
	assert_int_equal(recv(late, &byte, 1, 0), 0);
	close(late);
	assert_int_equal(recv(fds[0], &byte, 1, 0), -1);
	for (int i = 0; i < HTTP_PEERS_MAX; i++)
		close(fds[i]);
	turn();
	assert_status("GET /page HTTP/1.1\r\n\r\n", "200 ");
}

static void an_address_that_is_taken_is_told(void **state)
{
	char error[HTTP_ERROR_BYTES], address[32];
	struct sockaddr_in taken = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof taken;
	(void)state;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&taken, sizeof taken), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&taken, &len), 0);
	snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(taken.sin_port));
	assert_int_equal(http_listen(http, address, error), -EADDRINUSE);
	assert_memory_equal(error, address, strlen(address));
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_page_is_shown_with_its_length),
		TEST(what_follows_a_question_mark_is_ignored),
		TEST(a_page_chooses_its_status),
		TEST(head_shows_the_head_only),
		TEST(a_request_may_come_in_pieces),
		TEST(what_it_does_not_do_is_refused),
		TEST(a_request_line_has_one_blank_between_its_words),
		TEST(an_action_is_done_by_post_at_private_doors_only),
		TEST(arguments_are_found_by_their_whole_name),
		TEST(a_head_may_not_be_longer_than_8_kib),
		TEST(private_pages_are_shown_at_private_doors_only),
		TEST(the_65th_visitor_is_turned_away),
		TEST(an_address_that_is_taken_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
