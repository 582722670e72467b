/* SPDX-License-Identifier: MIT */
/* What is done to workers whose time is over while they live: they are told by a signal, and calls that they hang in
 * are broken (pool/unblock.h). Loop thread only; time is an argument.
 *
 * Workers of a pool were started by us. One that came from outside is touched only as long as it holds the other end of
 * its session's socket and its uid permits it, and signalled only when its client has a handler for that. */
#ifndef QBUS_HOST_BREAKING_H
#define QBUS_HOST_BREAKING_H

#include "host/conf.h"
#include "pool/unblock.h"
#include "wire/session.h"

struct breaking;

/* Finds out, and logs, what the kernel permits with each pool's user and with our own: some milliseconds for each.
 * For the start, before there are other threads. conf must outlive it. */
struct breaking *breaking_new(const struct conf *conf);
void breaking_free(struct breaking *breaking); /* every begin has had its end; takes NULL */

/* What is possible with workers of this pool; NULL: with those from outside whose user is ours. */
const struct unblock_stages *breaking_stages(const struct breaking *breaking, const char *pool);

/* Does its pool renew a worker in which so many calls were broken? */
bool breaking_is_worn(const struct breaking *breaking, const struct session_info *info);

/* A worker has come: what is possible with one from outside is logged. */
void breaking_greet(const struct breaking *breaking, const struct session *session);
void breaking_tell(const struct breaking *breaking, const struct session *session);
/* Between the two calls that the worker hangs in are broken, by breaking_step. */
void breaking_begin(struct breaking *breaking, struct session *session, int64_t now_us);
void breaking_end(struct breaking *breaking, const struct session *session);
/* Looks at each worker whose turn it is and tells its session what was broken; call it before the loop reads again.
 * Returns when it wants to be called next, or CLOCK_NEVER. */
int64_t breaking_step(struct breaking *breaking, int64_t now_us);

#endif
