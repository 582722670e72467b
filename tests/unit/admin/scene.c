/* SPDX-License-Identifier: MIT */
/* The scene. */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

static char orders[] = "orders", zz[] = "zz";

static struct lane scene_lane(char *source, int partition, int64_t lag)
{
	return (struct lane){
		.source = source, .partition = partition, .position = 40, .kept = 38, .newest = 49, .n_entries = 9, .lag = lag};
}

static void scene_set_pipelines(struct scene *scene)
{
	scene->confs[SCENE_GOOD] = (struct pipeline_conf){.name = "orders", .broker = "events", .pool = "php"};
	scene->confs[SCENE_BAD] = (struct pipeline_conf){.name = "ma\"i\\l\ns\xff", .broker = "jobs"};
	for (int i = 0; i < SCENE_PIPELINES; i++) {
		scene->pipelines[i].conf = &scene->confs[i];
		scene->pipelines[i].kind = "memory";
		scene->pipelines[i].look.times = &scene->times[i];
		scene->pipelines[i].look.source_state = SOURCE_OPEN;
		scene->pipelines[i].look.n_workers = 1;
		scene->pipelines[i].counts.is_connected = true;
		scene->pipelines[i].lanes = scene->lane_lists[i];
	}
	scene->lanes[0] = scene_lane(orders, 0, 7);
	scene->lanes[1] = scene_lane(orders, 1, 5);
	scene->lanes[2] = scene_lane(zz, 0, -1);
	scene->pipelines[SCENE_GOOD].n_lanes = 3;
	for (int i = 0; i < 3; i++)
		scene->lane_lists[SCENE_GOOD][i] = &scene->lanes[i];
}

void scene_set(struct scene *scene)
{
	memset(scene, 0, sizeof *scene);
	scene_set_pipelines(scene);
	scene->names[0] = "orders";
	for (int i = 0; i < 3; i++)
		scene->workers[i] = (struct snapshot_worker){.number = (uint32_t)i + 1,
			.pid = 100 + i,
			.pool = i < 2 ? "php" : NULL,
			.place = i < 2 ? (uint32_t)i + 1 : 0,
			.client = "c\x80lient",
			.state = SNAPSHOT_BUSY,
			.pipelines = scene->names,
			.n_pipelines = 1,
			.n_held = 2,
			.credit = 4,
			.rss_bytes = 1000,
			.age_us = 1500000};
	scene->pools[0] = (struct snapshot_pool){
		.name = "php", .n_wanted = 2, .n_alive = 2, .n_ready = 2, .n_starts = 3, .n_in = {[SNAPSHOT_BUSY] = 2}};
	scene->pools[1] = (struct snapshot_pool){.name = "", .n_in = {[SNAPSHOT_BUSY] = 1}};
	scene->snapshot = (struct snapshot){.version = "1.2.3",
		.step = "serving",
		.is_listening = true,
		.memory_used = 5,
		.memory_max = 10,
		.pipelines = scene->pipelines,
		.n_pipelines = SCENE_PIPELINES,
		.workers = scene->workers,
		.n_workers = 3,
		.pools = scene->pools,
		.n_pools = 2};
}

char *scene_text(const struct scene *scene, void (*write)(FILE *out, const struct snapshot *snapshot))
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	write(out, &scene->snapshot);
	fclose(out);
	return text;
}
