/* SPDX-License-Identifier: MIT */
/* The partitions that this member owns. */
#include "lanes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SWEEP_US 1000000

int lanes_init(struct lanes *lanes)
{
	int ends[2];

	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
		return -errno;
	lanes->pipe_read = ends[0];
	lanes->pipe_write = ends[1];
	TAILQ_INIT(&lanes->ready);
	return 0;
}

void lanes_done(struct lanes *lanes)
{
	while (lanes->n)
		lanes_remove(lanes, lanes->sorted[lanes->n - 1]);
	free(lanes->slots);
	free(lanes->sorted);
	close(lanes->pipe_read);
	close(lanes->pipe_write);
}

static void ready_set(struct lanes *lanes, struct lane *lane, bool is_ready)
{
	is_ready = is_ready && !lane->is_shut && !lane->wedge.is_held && lane->state == LANE_OPEN;
	if (is_ready == lane->is_ready)
		return;
	if (is_ready)
		TAILQ_INSERT_TAIL(&lanes->ready, lane, ready);
	else
		TAILQ_REMOVE(&lanes->ready, lane, ready);
	lane->is_ready = is_ready;
}

static uint32_t slot_take(struct lanes *lanes)
{
	size_t slot, n = lanes->n_slots;

	for (slot = 0; slot < n && lanes->slots[slot]; slot++)
		;
	if (slot == n) {
		lanes->n_slots = n ? 2 * n : 16;
		lanes->slots = realloc(lanes->slots, lanes->n_slots * sizeof(struct lane *));
		lanes->sorted = realloc(lanes->sorted, lanes->n_slots * sizeof(struct lane *));
		if (!lanes->slots || !lanes->sorted)
			abort();
		memset(&lanes->slots[n], 0, (lanes->n_slots - n) * sizeof(struct lane *));
	}
	return (uint32_t)slot;
}

struct lane *lanes_add(struct lanes *lanes, rd_kafka_t *rk, const char *topic, int32_t partition)
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane || !(lane->topic = strdup(topic)))
		abort();
	lane->topic_len = strlen(topic);
	lane->partition = partition;
	lane->next = -1;
	lane->largest = SIZE_MAX; /* the first one comes alone */
	lane->commit.position = -1;
	lane->commit.committed = -1;
	lane->slot = slot_take(lanes);
	lanes->slots[lane->slot] = lane;
	lane->queue = rd_kafka_queue_get_partition(rk, topic, partition);
	rd_kafka_queue_forward(lane->queue, NULL);
	rd_kafka_queue_io_event_enable(lane->queue, lanes->pipe_write, &lane->slot, sizeof(lane->slot));
	return lane;
}

void lanes_number(struct lanes *lanes, struct lane *lane, uint64_t id)
{
	size_t at = lanes->n++;

	lane->id = id;
	for (; at > 0 && lanes->sorted[at - 1]->id > id; at--)
		lanes->sorted[at] = lanes->sorted[at - 1];
	lanes->sorted[at] = lane;
	ready_set(lanes, lane, true); /* what came before the queue had its pipe has woken nobody */
}

static size_t index_find(const struct lanes *lanes, uint64_t id)
{
	size_t low = 0, high = lanes->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (lanes->sorted[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct lane *lanes_find(const struct lanes *lanes, uint64_t id)
{
	size_t at = index_find(lanes, id);

	return at < lanes->n && lanes->sorted[at]->id == id ? lanes->sorted[at] : NULL;
}

struct lane *lanes_find_partition(const struct lanes *lanes, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < lanes->n; i++) {
		struct lane *lane = lanes->sorted[i];

		if (lane->partition == partition && !strcmp(lane->topic, topic))
			return lane;
	}
	return NULL;
}

void lanes_remove(struct lanes *lanes, struct lane *lane)
{
	size_t at = index_find(lanes, lane->id);

	ready_set(lanes, lane, false);
	memmove(&lanes->sorted[at], &lanes->sorted[at + 1], (lanes->n - at - 1) * sizeof(struct lane *));
	lanes->n--;
	lanes->slots[lane->slot] = NULL;
	rd_kafka_queue_io_event_enable(lane->queue, -1, NULL, 0);
	surplus_drop(&lane->surplus);
	rd_kafka_queue_destroy(lane->queue);
	free(lane->commit.memo);
	free(lane->commit.receipts);
	free(lane->wedge.reason);
	free(lane->wedge.suspicion);
	free(lane->topic);
	free(lane);
}

void lanes_flow(struct lanes *lanes, struct lane *lane, bool open)
{
	lane->is_shut = !open;
	ready_set(lanes, lane, true);
}

void lanes_state(struct lanes *lanes, struct lane *lane, enum lane_state state)
{
	lane->state = state;
	ready_set(lanes, lane, true);
}

void lanes_hold(struct lanes *lanes, struct lane *lane, bool is_held)
{
	lane->wedge.is_held = is_held;
	if (is_held)
		surplus_drop(&lane->surplus);
	ready_set(lanes, lane, true);
}

void lanes_wake(struct lanes *lanes, int64_t now_us)
{
	uint32_t numbers[256];
	ssize_t size;

	/* Writes of four bytes are whole, so reads are too. */
	do {
		size = read(lanes->pipe_read, numbers, sizeof(numbers));
		for (ssize_t i = 0; i < size / (ssize_t)sizeof(*numbers); i++)
			if (numbers[i] < lanes->n_slots && lanes->slots[numbers[i]])
				ready_set(lanes, lanes->slots[numbers[i]], true);
	} while (size == (ssize_t)sizeof(numbers));
	if (now_us < lanes->swept_us + SWEEP_US)
		return;
	lanes->swept_us = now_us;
	for (size_t i = 0; i < lanes->n; i++)
		ready_set(lanes, lanes->sorted[i], true);
}

void lanes_rest(struct lanes *lanes, struct lane *lane)
{
	ready_set(lanes, lane, false);
}

void lanes_rotate(struct lanes *lanes, struct lane *lane)
{
	TAILQ_REMOVE(&lanes->ready, lane, ready);
	TAILQ_INSERT_TAIL(&lanes->ready, lane, ready);
}
