/* SPDX-License-Identifier: MIT */
/* Counts what this consumer has handled and tells the bench. */
#include "tally.h"

#include "order.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int64_t tally_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int tally_open(struct tally *tally)
{
	const char *path = getenv(TALLY_SOCKET), *every = getenv(TALLY_EVERY), *live = getenv(TALLY_LIVE);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*tally = (struct tally){.fd = -1, .every = every ? strtoull(every, NULL, 10) : 0};
	tally->is_live = live && *live;
	if (tally->every == 0)
		tally->every = 1000;
	if (path && strlen(path) < sizeof(address.sun_path)) {
		memcpy(address.sun_path, path, strlen(path));
		tally->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	}
	if (tally->fd >= 0 && connect(tally->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	fprintf(stderr, "qbus-bench: nobody counts at %s\n", path ? path : TALLY_SOCKET);
	tally_close(tally);
	return -1;
}

void tally_close(struct tally *tally)
{
	if (tally->fd >= 0)
		close(tally->fd);
	tally->fd = -1;
}

static void tally_tell(struct tally *tally, int64_t now_ns)
{
	char text[TALLY_TEXT + 96];
	int len = snprintf(text, sizeof(text), "%d %" PRIu64 " %" PRId64 "%.*s", (int)getpid(), tally->count, now_ns,
		(int)tally->len, tally->samples);

	tally->n_samples = tally->len = 0;
	tally->told_ns = now_ns;
	if (send(tally->fd, text, (size_t)len, 0) < 0)
		raise(SIGTERM); /* the bench has what it wants, or is gone: leave in good order */
}

void tally_add(struct tally *tally, uint64_t n_messages)
{
	uint64_t before = tally->count;

	tally->count += n_messages;
	if (n_messages == 0)
		return;

	int64_t now_ns = tally_now_ns();

	if (before == 0 || before / tally->every != tally->count / tally->every ||
		now_ns - tally->told_ns >= TALLY_STEP_MS * 1000000)
		tally_tell(tally, now_ns);
}

void tally_add_live(struct tally *tally, const char *body, size_t size)
{
	int64_t due_ns = order_due_ns(body, size), now_ns = tally_now_ns();

	tally->count++;
	if (due_ns) {
		tally->n_samples++;
		tally->len += (size_t)snprintf(
			tally->samples + tally->len, TALLY_TEXT - tally->len, " %" PRId64, (now_ns - due_ns) / 1000);
	}
	if (tally->n_samples == TALLY_MAX_SAMPLES || now_ns - tally->told_ns >= TALLY_STEP_MS * 1000000)
		tally_tell(tally, now_ns);
}
