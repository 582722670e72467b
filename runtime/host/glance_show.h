/* SPDX-License-Identifier: MIT */
/* Prints what the admin socket tells, as tables. */
#ifndef QBUS_HOST_GLANCE_SHOW_H
#define QBUS_HOST_GLANCE_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct glance_view;

/* "status", "pipelines", "workers", "leaks", "inflight"; NULL: there is no such view. */
const struct glance_view *glance_view_find(const char *name);
/* The page that the view is made of. */
const char *glance_view_page(const struct glance_view *view);
/* Returns false when the text is not what the page shows. */
bool glance_view_show(const struct glance_view *view, const char *text, FILE *out);

/* The sentence of an answer that tells what came of an action. 0, or -EINVAL: it is no such answer. */
int glance_outcome_read(const char *text, char *ret_sentence, size_t size);
/* Of the status of one pipeline: one of its numbers; the newest receipt of one of its lanes. -1: there is none. */
int64_t glance_pipeline_number(const char *text, const char *key);
int64_t glance_lane_newest(const char *text, const char *source, int64_t partition);

#endif
