/* SPDX-License-Identifier: MIT */
/* What becomes of a message that failed. A part of the dispatcher's board; loop thread only. */
#ifndef QBUS_CORE_VERDICT_H
#define QBUS_CORE_VERDICT_H

#include "core/board.h"

/* Why an attempt failed. error: a sentence of the handler or of ours; exit: how the worker's process ended. Both may be
 * NULL. */
struct verdict_cause {
	enum pipeline_reason reason;
	const char *error, *exit;
};

/* The attempt failed: waits for the next one, or is buried. delay_us -1: by the backoff. Takes orphans too. */
void verdict_failed(struct pipeline *pipeline, struct entry *entry, const struct verdict_cause *cause, int64_t delay_us,
	int64_t now_us);
void verdict_bury(struct pipeline *pipeline, struct entry *entry, const struct verdict_cause *cause);
bool verdict_is_refused(const struct pipeline *pipeline); /* does it stand still for letters that were refused? */
void verdict_republish(struct pipeline *pipeline);        /* letters that were refused and whose moment has come */
void verdict_hurry(struct pipeline *pipeline);            /* that moment has come for all of them */
void verdict_published(struct pipeline *pipeline, uint64_t token, int status, const char *error, int64_t now_us);

#endif
