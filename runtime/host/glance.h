/* SPDX-License-Identifier: MIT */
/* What operators may look at while the process serves: opens the doors that the configuration names, and fills a
 * snapshot from the dispatcher, the sessions and the pools whenever a page is asked for. Loop thread only. */
#ifndef QBUS_HOST_GLANCE_H
#define QBUS_HOST_GLANCE_H

struct glance;
struct runtime;

/* 0, or -errno after a line in the log. *ret_glance is NULL when the configuration names no door. */
int glance_open(struct runtime *runtime, struct glance **ret_glance);
/* The admin socket is removed. Before sessions, pools and the dispatcher go. Takes NULL. */
void glance_close(struct glance *glance);

#endif
