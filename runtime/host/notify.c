/* SPDX-License-Identifier: MIT */
/* Sends datagrams to the service manager. */
#include "host/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const notify_variables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};

/* A path, or a name without one, which begins with '@'. */
static void notify_connect(struct notify *notify, const char *name)
{
	size_t len = strlen(name);
	if ((*name != '/' && *name != '@') || len >= sizeof notify->address.sun_path)
		return;
	notify->address.sun_family = AF_UNIX;
	memcpy(notify->address.sun_path, name, len);
	if (*name == '@')
		notify->address.sun_path[0] = '\0';
	notify->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int64_t notify_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	if (!usec || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	long long watchdog_us = strtoll(usec, NULL, 10);
	return watchdog_us > 0 ? watchdog_us : 0;
}

void notify_open(struct notify *notify)
{
	const char *name = getenv("NOTIFY_SOCKET");
	*notify = (struct notify){.fd = -1};
	if (name)
		notify_connect(notify, name);
	if (notify->fd >= 0)
		notify->watchdog_us = notify_watchdog();
	for (size_t i = 0; i < sizeof notify_variables / sizeof *notify_variables; i++)
		unsetenv(notify_variables[i]);
}

void notify_close(struct notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}

void notify_say(const struct notify *notify, const char *state)
{
	const struct sockaddr *address = (const struct sockaddr *)&notify->address;
	if (notify->fd >= 0)
		sendto(notify->fd, state, strlen(state), MSG_NOSIGNAL, address, notify->address_len);
}

void notify_reloading(const struct notify *notify, int64_t now_us)
{
	char state[64];
	snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, now_us);
	notify_say(notify, state);
}
