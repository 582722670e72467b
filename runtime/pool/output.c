/* SPDX-License-Identifier: MIT */
/* Cuts what a process writes into lines and says them to the log. */
#include "pool/output.h"

#include <event2/event.h>
#include <string.h>
#include <unistd.h>

enum {
	CHUNK = 16 * 1024, /* in one turn of the loop: a worker that prints without end starves nobody */
	PIPE_SIZE = 64 * 1024,
};

static void say(struct output *output)
{
	size_t len = output->len;

	for (char *zero; (zero = memchr(output->line, 0, len));)
		*zero = '?';
	if (len > 0 && output->line[len - 1] == '\r')
		len--;
	if (len > 0)
		log_say(output->level, output->who, "%.*s", (int)len, output->line);
	output->len = 0;
}

static void add(struct output *output, const char *text, size_t len)
{
	size_t room = OUTPUT_MAX_LINE - output->len;

	if (len > room)
		len = room;
	memcpy(output->line + output->len, text, len);
	output->len += len;
}

static void split(struct output *output, const char *text, size_t len)
{
	for (const char *end; (end = memchr(text, '\n', len)); text = end + 1) {
		add(output, text, (size_t)(end - text));
		say(output);
		len -= (size_t)(end + 1 - text);
	}
	add(output, text, len);
}

/* Returns what read returned. */
static ssize_t read_some(struct output *output)
{
	char text[CHUNK];
	ssize_t n = read(output->fd, text, sizeof(text));

	if (n > 0)
		split(output, text, (size_t)n);
	return n;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct output *output = ctx;

	(void)fd;
	(void)what;
	if (read_some(output) == 0)
		event_del(output->event); /* nobody writes any more; the rest is said when it is closed */
}

void output_open(struct output *output, struct event_base *base, int fd, enum log_level level, const char *who)
{
	output->fd = fd;
	output->level = level;
	output->who = who;
	output->len = 0;
	output->event = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, output);
	if (output->event)
		event_add(output->event, NULL);
}

void output_close(struct output *output)
{
	if (output->fd < 0)
		return;
	for (size_t len = 0; len < PIPE_SIZE;) { /* a descendant that got away may go on writing */
		ssize_t n = read_some(output);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	say(output);
	if (output->event)
		event_free(output->event);
	close(output->fd);
	output->event = NULL;
	output->fd = -1;
}
