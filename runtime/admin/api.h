/* SPDX-License-Identifier: MIT */
/* A snapshot as JSON: for the command line, and for whoever wants to know whether the proxy is ready. */
#ifndef QBUS_ADMIN_API_H
#define QBUS_ADMIN_API_H

#include "admin/snapshot.h"

#include <stdio.h>

#define API_TYPE "application/json"

/* Everything but single deliveries: process, pipelines with their lanes, workers, pools. */
void api_write_status(FILE *out, const struct snapshot *snapshot);
/* Deliveries that workers hold. */
void api_write_inflight(FILE *out, const struct snapshot *snapshot);
/* {"ok": bool, "message": sentence}: what came of an action. */
void api_write_outcome(FILE *out, bool is_ok, const char *sentence);
/* {"ready": bool, "reasons": [{"reason": ..., what it is about}]}. Returns whether it is ready. */
bool api_write_ready(FILE *out, const struct snapshot *snapshot);

#endif
