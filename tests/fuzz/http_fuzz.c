/* SPDX-License-Identifier: MIT */
/* Any bytes from a visitor: the answer is well formed, only a well formed request is shown a page, only POST at the
 * private door does something, and the server forgets the visitor. The first byte of the input says at which door the
 * rest comes, and in what pieces. */
#include "admin/http.h"
#include "base/clock.h"

#include <errno.h>
#include <event2/event.h>
#include <regex.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* SLOW_US: well below the server's patience with a visitor, above what an input takes. */
enum { TURNS = 4, SLOW_US = 1000000 };

static struct event_base *base;
static struct sockaddr_un doors[2]; /* public and private */
static socklen_t door_lens[2];
static regex_t page_line, secret_line, act_line;
static bool has_acted;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool is_true)
{
	if (!is_true)
		abort();
}

static int write_page(void *ctx, const char *query, FILE *body)
{
	(void)ctx, (void)query;
	fputs("hello\n", body);
	return 200;
}

static int write_secret(void *ctx, const char *query, FILE *body)
{
	(void)ctx, (void)query;
	fputs("secret\n", body);
	return 200;
}

static int do_act(void *ctx, const char *query, FILE *body)
{
	char name[16] = "";
	(void)ctx;
	has_acted = true;
	fprintf(body, "acted %d\n", http_argument(query, "name", name, sizeof name));
	demand(strlen(name) < sizeof name);
	return 200;
}

static const struct http_page pages[] = {
	{"/page", "text/plain", false, write_page, false},
	{"/secret", "text/plain", true, write_secret, false},
	{"/act", "text/plain", true, do_act, true},
};

/* A door is a socket without a path: the kernel names it. */
static void open_door(struct http *http, bool is_private)
{
	struct sockaddr_un *door = &doors[is_private];
	door->sun_family = AF_UNIX;
	door_lens[is_private] = sizeof *door;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	demand(bind(fd, (const struct sockaddr *)door, sizeof door->sun_family) == 0);
	demand(getsockname(fd, (struct sockaddr *)door, &door_lens[is_private]) == 0);
	demand(listen(fd, 8) == 0 && http_serve(http, fd, is_private) == 0);
}

static void compile(regex_t *line, const char *pattern)
{
	demand(regcomp(line, pattern, REG_EXTENDED | REG_NOSUB) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	struct http *http = http_new(base, pages, sizeof pages / sizeof *pages, NULL);
	open_door(http, false);
	open_door(http, true);
	compile(&page_line, "^(GET|HEAD) /page([?][!-~]*)? HTTP/1[.][01]$");
	compile(&secret_line, "^(GET|HEAD) /secret([?][!-~]*)? HTTP/1[.][01]$");
	compile(&act_line, "^POST /act([?][!-~]*)? HTTP/1[.][01]$");
	return 0;
}

static void turn(void)
{
	for (int i = 0; i < TURNS; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static bool is_line(const regex_t *pattern, const char *line)
{
	return regexec(pattern, line, 0, NULL, 0) == 0;
}

/* One answer: status line, fields, and as much body as the fields say (for HEAD: none). line: what was asked, up to the
 * first CR LF. */
static void check_answer(const char *answer, size_t len, const char *line, bool is_private)
{
	static const char *const statuses[] = {"200 OK", "400 Bad", "404 Not", "405 Method", "413 Content", "431 Request"};
	bool is_known = false;
	size_t n_body = 0;
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
		is_known |= strncmp(answer + 9, statuses[i], strlen(statuses[i])) == 0;
	demand(is_known && strncmp(answer, "HTTP/1.1 ", 9) == 0);
	const char *length = strstr(answer, "\r\nContent-Length: "), *body = strstr(answer, "\r\n\r\n");
	demand(length && body && sscanf(length, "\r\nContent-Length: %zu\r\n", &n_body) == 1);
	size_t n_shown = len - (size_t)(body + 4 - answer);
	demand(n_shown == n_body || (n_shown == 0 && strncmp(line, "HEAD ", 5) == 0));
	bool is_shown = strncmp(answer + 9, "200", 3) == 0, may_act = is_private && is_line(&act_line, line);
	if (is_shown)
		demand(is_line(&page_line, line) || may_act || (is_private && is_line(&secret_line, line)));
	demand(!strstr(answer, "secret\n") || (is_private && is_line(&secret_line, line)));
	demand(has_acted == (is_shown && may_act));
}

/* What was asked, up to the first CR LF; a NUL is shown as what no line may hold. */
static void read_line(const uint8_t *data, size_t size, char *ret_line, size_t line_size)
{
	const uint8_t *end = memmem(data, size, "\r\n", 2);
	size_t len = end ? (size_t)(end - data) : size;
	len = len < line_size - 1 ? len : line_size - 1;
	memcpy(ret_line, data, len);
	for (size_t i = 0; i < len; i++)
		if (!ret_line[i])
			ret_line[i] = '\n';
	ret_line[len] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char line[HTTP_HEAD_BYTES + 1];
	char answer[1024];
	if (size < 2)
		return 0;
	bool is_private = data[0] & 1;
	size_t piece = data[0] / 2 ? data[0] / 2 * 32u : size;
	read_line(data + 1, size - 1, line, sizeof line);
	has_acted = false;
	int64_t begun_us = clock_now_us();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	demand(connect(fd, (const struct sockaddr *)&doors[is_private], door_lens[is_private]) == 0);
	for (size_t at = 1; at < size; at += piece) {
		(void)!send(fd, data + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL);
		turn();
	}
	ssize_t len = recv(fd, answer, sizeof answer - 1, 0);
	bool is_whole = memmem(data + 1, size - 1, "\r\n\r\n", 4) || size - 1 >= HTTP_HEAD_BYTES;
	bool is_slow = clock_now_us() - begun_us > SLOW_US; /* the machine stood still, and the server may have gone on */
	demand(is_slow || (is_whole ? len > 0 : len < 0 && errno == EAGAIN));
	if (len > 0 && !is_slow) {
		answer[len] = '\0';
		check_answer(answer, (size_t)len, line, is_private);
		demand(recv(fd, answer, sizeof answer, 0) == 0);
	}
	close(fd);
	turn();
	demand(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED) == 2); /* the doors */
	return 0;
}
