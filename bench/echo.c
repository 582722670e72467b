/* SPDX-License-Identifier: MIT */
/* `qbus-bench echo`: the other end of a bare PHP loop. Sends a frame over a Unix socket, waits for the answer, sends
 * the next: what one message at a time could be at best. */
#include "echo.h"

#include "child.h"
#include "command.h"
#include "number.h"
#include "order.h"
#include "run.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char usage[] =
	"Usage: qbus-bench echo SOCKET FILE BYTES [NAME=VALUE]...\n"
	"\n"
	"Listens at SOCKET, starts the PHP program FILE with it (and these settings of php.ini) and sends frames of\n"
	"that many bytes, one at a time, until SIGTERM. `qbus-bench compare --generated` starts it.\n";

static volatile sig_atomic_t is_over;

static void on_signal(int number)
{
	(void)number;
	is_over = 1;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, path, strlen(path));
	unlink(path);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0)
		return fd;
	perror(path);
	return -1;
}

/* False: the other end is gone, or it is over. */
static bool exchange(int fd, const char *frame, size_t size)
{
	char answer[ECHO_ANSWER];
	size_t n_sent = 0;

	while (n_sent < size && !is_over) {
		ssize_t n = send(fd, frame + n_sent, size - n_sent, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		n_sent += (size_t)n;
	}
	return !is_over && recv(fd, answer, sizeof(answer), MSG_WAITALL) == sizeof(answer);
}

/* php [-d NAME=VALUE]... FILE SOCKET BYTES; options ends with NULL */
static int start_php(const char *socket, const char *file, size_t size, char *const *options, struct child *child)
{
	char number[24];
	const char *argv[2 * RUN_MAX_OPTIONS + 5] = {"php"};
	size_t n = 1;

	for (; *options && n < 2 * RUN_MAX_OPTIONS; options++) {
		argv[n++] = "-d";
		argv[n++] = *options;
	}
	snprintf(number, sizeof(number), "%zu", size);
	argv[n++] = file;
	argv[n++] = socket;
	argv[n++] = number;
	return child_start(child, argv, "/dev/stderr");
}

static int serve(int listener, const char *socket, const char *file, size_t size, char *const *options)
{
	struct child child;
	char *frame = malloc(size);

	if (!frame || start_php(socket, file, size, options, &child))
		return -1;
	memset(frame, '.', size);

	int fd = accept(listener, NULL, NULL);

	while (fd >= 0 && exchange(fd, frame, size))
		;
	if (fd >= 0)
		close(fd);
	child_stop(&child);
	free(frame);
	return is_over ? 0 : -1;
}

int echo_command(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART: it ends what waits */
	uint64_t size;

	if (argc < 4 || !number_read(argv[3], 1, ORDER_MAX_SIZE, &size)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);

	int listener = listen_at(argv[1]);
	int err = listener < 0 ? -1 : serve(listener, argv[1], argv[2], size + ECHO_FRAMING, argv + 4);

	if (listener >= 0)
		close(listener);
	return err ? EXIT_ERROR : EXIT_CLEAN;
}
