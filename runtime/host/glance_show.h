/* SPDX-License-Identifier: MIT */
/* Prints what the admin socket tells, as tables. */
#ifndef QBUS_HOST_GLANCE_SHOW_H
#define QBUS_HOST_GLANCE_SHOW_H

#include <stdbool.h>
#include <stdio.h>

struct glance_view;

/* "status", "pipelines", "workers", "inflight"; NULL: there is no such view. */
const struct glance_view *glance_view_find(const char *name);
/* The page that the view is made of. */
const char *glance_view_page(const struct glance_view *view);
/* Returns false when the text is not what the page shows. */
bool glance_view_show(const struct glance_view *view, const char *text, FILE *out);

#endif
