/* SPDX-License-Identifier: MIT */
/* What the service manager is told (sd_notify's datagrams): that we serve, that we stop, that we live. Main thread.
 *
 * Without NOTIFY_SOCKET everything here does nothing. */
#ifndef QBUS_HOST_NOTIFY_H
#define QBUS_HOST_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
	int fd; /* -1: nobody listens */
	struct sockaddr_un address;
	socklen_t address_len;
	int64_t watchdog_us; /* WATCHDOG=1 is expected this often; 0: it is not */
};

/* Reads the variables of the service manager and removes them: they are not for children. */
void notify_open(struct notify *notify);
void notify_close(struct notify *notify);
/* "READY=1" and so on. Never waits; what cannot be sent is lost. */
void notify_say(const struct notify *notify, const char *state);
/* "RELOADING=1", to be followed by "READY=1"; now_us is of the monotonic clock. */
void notify_reloading(const struct notify *notify, int64_t now_us);

#endif
