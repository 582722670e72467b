/* SPDX-License-Identifier: MIT */
/* What operators may do to a running process, as actions of the admin socket. Each takes its arguments from the query
 * and answers with what was done, or with why it was not. Loop thread only. */
#ifndef QBUS_HOST_GLANCE_ACT_H
#define QBUS_HOST_GLANCE_ACT_H

#include "admin/http.h"

/* ctx: a struct glance_origin. Arguments: pipeline; and source, partition, offset; id; pool (none: every pool). */
http_write glance_pause, glance_resume, glance_skip, glance_cancel, glance_reset;

#endif
