/* SPDX-License-Identifier: MIT */
/* What brokers that keep positions are to be told, and what became of it. */
#ifndef QBUS_CORE_COMMIT_H
#define QBUS_CORE_COMMIT_H

#include <stddef.h>
#include <stdint.h>

struct lane;
struct pipeline;

/* So often a longer memo is tried than one that was refused. */
enum { COMMIT_AGAIN_US = 600000000 };

/* The next commit tells the broker of that lane. */
void commit_dirty(struct pipeline *pipeline, struct lane *lane);
/* The outcome of a settlement, as in qb_host. */
void commit_kept(struct pipeline *pipeline, struct lane *lane, int64_t receipt, int status);
/* The longest memo that is to be tried of the lane; to be asked once for each that goes out. */
size_t commit_memo_max(struct pipeline *pipeline, const struct lane *lane);

#endif
