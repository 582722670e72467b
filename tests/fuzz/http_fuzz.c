/* SPDX-License-Identifier: MIT */
/* Any bytes from a visitor: the answer is well formed, shows what it may show, and the server forgets the visitor. The
 * first byte of the input says in what pieces the rest comes. */
#include "admin/http.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TURNS = 4 };

static struct event_base *base;
static struct sockaddr_un door = {.sun_family = AF_UNIX};
static socklen_t door_len = sizeof door;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool is_true)
{
	if (!is_true)
		abort();
}

static int write_page(void *ctx, FILE *body)
{
	(void)ctx;
	fputs("hello\n", body);
	return 200;
}

static int write_secret(void *ctx, FILE *body)
{
	(void)ctx;
	fputs("secret\n", body);
	return 200;
}

static const struct http_page pages[] = {
	{"/page", "text/plain", false, write_page},
	{"/secret", "text/plain", true, write_secret},
};

/* The door is a socket without a path: the kernel names it. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	struct http *http = http_new(base, pages, sizeof pages / sizeof *pages, NULL);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	demand(bind(fd, (const struct sockaddr *)&door, sizeof door.sun_family) == 0);
	demand(getsockname(fd, (struct sockaddr *)&door, &door_len) == 0);
	demand(listen(fd, 8) == 0 && http_serve(http, fd, false) == 0);
	return 0;
}

static void turn(void)
{
	for (int i = 0; i < TURNS; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* One answer: status line, fields, and as much body as the fields say (for HEAD: none). */
static void check_answer(const char *answer, size_t len, const char *asked)
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
	demand(n_shown == n_body || (n_shown == 0 && strncmp(asked, "HEAD", 4) == 0));
	demand(!strstr(answer, "secret"));
	if (strncmp(answer + 9, "200", 3) == 0)
		demand(strncmp(asked, "GET", 3) == 0 || strncmp(asked, "HEAD", 4) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char asked[16] = "", answer[1024];
	if (size < 2)
		return 0;
	size_t piece = data[0] ? data[0] * 16u : size;
	memcpy(asked, data + 1, size - 1 < sizeof asked - 1 ? size - 1 : sizeof asked - 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	demand(connect(fd, (const struct sockaddr *)&door, door_len) == 0);
	for (size_t at = 1; at < size; at += piece) {
		(void)!send(fd, data + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL);
		turn();
	}
	ssize_t len = recv(fd, answer, sizeof answer - 1, 0);
	bool is_whole = memmem(data + 1, size - 1, "\r\n\r\n", 4) || size - 1 >= HTTP_HEAD_BYTES;
	demand(is_whole ? len > 0 : len < 0 && errno == EAGAIN);
	if (len > 0) {
		answer[len] = '\0';
		check_answer(answer, (size_t)len, asked);
		demand(recv(fd, answer, sizeof answer, 0) == 0);
	}
	close(fd);
	turn();
	demand(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED) == 1); /* the door */
	return 0;
}
