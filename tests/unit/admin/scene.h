/* SPDX-License-Identifier: MIT */
/* A snapshot made by hand: two pipelines, one of them in trouble, a pool with two workers and one worker from outside.
 */
#ifndef QBUS_TESTS_SCENE_H
#define QBUS_TESTS_SCENE_H

#include "admin/snapshot.h"

#include <stdio.h>

enum { SCENE_GOOD, SCENE_BAD, SCENE_PIPELINES };

struct scene {
	struct snapshot snapshot;
	struct snapshot_pipeline pipelines[SCENE_PIPELINES];
	struct pipeline_conf confs[SCENE_PIPELINES];
	struct pipeline_times times[SCENE_PIPELINES];
	struct lane lanes[3];
	const struct lane *lane_lists[SCENE_PIPELINES][3];
	struct snapshot_worker workers[3];
	struct snapshot_pool pools[2];
	const char *names[1];
};

void scene_set(struct scene *scene);

/* What write(out, snapshot) writes, to be freed. */
char *scene_text(const struct scene *scene, void (*write)(FILE *out, const struct snapshot *snapshot));

#endif
