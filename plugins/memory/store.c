/* SPDX-License-Identifier: MIT */
/* The table of stores. The lock guards the list only: sources of different pipelines open at the same time. */
#include "store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct store *newest;

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static struct store *store_find(const char *pipeline)
{
	for (struct store *store = newest; store; store = store->older)
		if (!strcmp(store->pipeline, pipeline))
			return store;

	struct store *store = must(calloc(1, sizeof(*store)));

	store->pipeline = must(strdup(pipeline));
	store->older = newest;
	newest = store;
	return store;
}

struct store *store_open(const char *pipeline, int n_lanes, int64_t first)
{
	pthread_mutex_lock(&lock);

	struct store *store = store_find(pipeline);

	if (n_lanes > store->n_lanes) {
		store->lanes = must(realloc(store->lanes, (size_t)n_lanes * sizeof(*store->lanes)));
		for (int i = store->n_lanes; i < n_lanes; i++)
			store_settle(&store->lanes[i], first, NULL, 0);
		store->n_lanes = n_lanes;
	}
	pthread_mutex_unlock(&lock);
	return store;
}

void store_settle(struct store_lane *lane, int64_t next, const void *memo, size_t memo_len)
{
	lane->next = next;
	lane->memo_len = memo_len < STORE_MEMO_MAX ? memo_len : STORE_MEMO_MAX;
	if (lane->memo_len)
		memcpy(lane->memo, memo, lane->memo_len);
}

/* Runs when the plugin is unloaded. */
__attribute__((destructor)) static void store_free_all(void)
{
	while (newest) {
		struct store *store = newest;

		newest = store->older;
		free(store->pipeline);
		free(store->lanes);
		free(store);
	}
}
