/* SPDX-License-Identifier: MIT */
/* One request to the admin socket: the answer is read to its end, and its head cut off. */
#include "host/glance_ask.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ASK_SECONDS = 10, ASK_REQUEST_MAX = 2048, ASK_ANSWER_MAX = 64 * 1024 * 1024 };

/* A connected socket, or -errno. */
static int ask_connect(const char *path)
{
	static const struct timeval patience = {.tv_sec = ASK_SECONDS};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	int error = errno;
	close(fd);
	return -error;
}

/* All that comes, ended with '\0'; NULL: it broke off, errno says why. */
static char *ask_read(int fd)
{
	size_t len = 0, size = 65536;
	char *text = alloc_new(size);
	for (ssize_t n; (n = recv(fd, text + len, size - len - 1, 0)) != 0;) {
		if ((n < 0 && errno != EINTR) || len > ASK_ANSWER_MAX) {
			free(text);
			return NULL;
		}
		len += n > 0 ? (size_t)n : 0;
		if (size - len < 2)
			text = alloc_resize(text, size *= 2);
	}
	text[len] = '\0';
	return text;
}

static char *ask_exchange(int fd, const char *method, const char *target)
{
	char request[ASK_REQUEST_MAX];
	int len = snprintf(request, sizeof request, "%s %s HTTP/1.0\r\n\r\n", method, target);
	return send(fd, request, (size_t)len, MSG_NOSIGNAL) == len ? ask_read(fd) : NULL;
}

static const char *ask_why(int error)
{
	return error == EAGAIN ? "it does not answer" : strerror(error);
}

char *glance_ask(
	const char *socket, const char *method, const char *target, int *ret_code, char ret_error[GLANCE_ASK_ERROR_BYTES])
{
	int fd = ask_connect(socket);
	if (fd < 0) {
		bool is_absent = fd == -ENOENT || fd == -ECONNREFUSED;
		snprintf(ret_error, GLANCE_ASK_ERROR_BYTES, is_absent ? "no qbus-proxy listens at %s" : "cannot ask at %s: %s",
			socket, ask_why(-fd));
		return NULL;
	}
	char *answer = ask_exchange(fd, method, target);
	int error = errno;
	close(fd);
	char *end = answer ? strstr(answer, "\r\n\r\n") : NULL;
	if (end && sscanf(answer, "HTTP/1.1 %3d ", ret_code) == 1) {
		char *body = alloc_string(end + 4, strlen(end + 4));
		free(answer);
		return body;
	}
	if (answer)
		snprintf(ret_error, GLANCE_ASK_ERROR_BYTES, "what listens at %s is no qbus-proxy of this version", socket);
	else
		snprintf(ret_error, GLANCE_ASK_ERROR_BYTES, "cannot ask at %s: %s", socket, ask_why(error));
	free(answer);
	return NULL;
}
