/* SPDX-License-Identifier: MIT */
/* The listener: the Unix socket at which workers attach. It decides who may, and hands each connection to the session
 * set.
 *
 * The path is guarded as wire/guard.h says. Loop thread only. */
#ifndef QBUS_WIRE_LISTENER_H
#define QBUS_WIRE_LISTENER_H

#include "wire/guard.h"
#include "wire/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct event_base;
struct listener;

struct listener_conf {
	const char *path;
	mode_t mode; /* permission bits; connecting needs write permission */
	uid_t owner; /* GUARD_UNCHANGED: that of the process */
	gid_t group;
	const uid_t *allow_uids; /* both lists empty: whom the mode lets in. The process's own uid may always. */
	size_t n_allow_uids;
	const gid_t *allow_gids; /* of which the worker is a member, by its primary or a supplementary group */
	size_t n_allow_gids;
	size_t max_sessions; /* more are refused with ERROR; 0: no limit */
};

struct listener_counts {
	uint64_t accepted, forbidden, over_limit, no_descriptor;
};

enum { LISTENER_ERROR_BYTES = GUARD_ERROR_BYTES };

/* Binds and listens. The lists and the path are copied. Returns 0, or -errno with one sentence in ret_error. */
int listener_open(struct event_base *base, const struct listener_conf *conf, struct session_set *set,
	struct listener **ret_listener, char ret_error[LISTENER_ERROR_BYTES]);
/* Nobody can attach any more; sessions live on. The socket is removed when it is still ours. NULL is allowed. */
void listener_close(struct listener *listener);
void listener_count(const struct listener *listener, struct listener_counts *ret_counts);

#endif
