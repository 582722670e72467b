/* SPDX-License-Identifier: MIT */
/* Packs what a plugin delivers into batches: each message is copied once, into the row in which it leaves for a worker.
 * Source's thread. */
#ifndef QBUS_CORE_PACKING_H
#define QBUS_CORE_PACKING_H

#include "core/source_thread.h"

/* Makes a batch of the first messages, at least one; returns of how many. Those of a lane that the plugin has closed
 * itself are left out. */
size_t packing_fill(struct source *source, const struct qb_message *messages, size_t n, struct msg_batch **ret_batch);

#endif
