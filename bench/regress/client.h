/* SPDX-License-Identifier: MIT */
/* A worker that holds what it is given and acks it in its order, when it is told to. Its own instructions are not
 * counted. */
#ifndef QBUS_REGRESS_CLIENT_H
#define QBUS_REGRESS_CLIENT_H

#include <stddef.h>
#include <stdint.h>

struct client {
	int fd;
	uint64_t next_id, end_id; /* held: from, and one behind the last */
	uint8_t *bytes;           /* read and not understood yet */
	size_t len, size;
};

/* Owns fd. Says HELLO with this credit. */
void client_init(struct client *client, int fd, uint32_t credit);
void client_done(struct client *client);
void client_read(struct client *client); /* all that is there now */
/* Acks at most n of those it holds, the oldest first; returns how many. */
size_t client_ack(struct client *client, size_t n);

#endif
