/* SPDX-License-Identifier: MIT */
/* The metrics of a snapshot, in Prometheus' text format 0.0.4. docs/metrics.md says what each means. */
#ifndef QBUS_ADMIN_METRICS_H
#define QBUS_ADMIN_METRICS_H

#include "admin/snapshot.h"

#include <stdio.h>

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_write(FILE *out, const struct snapshot *snapshot);

#endif
