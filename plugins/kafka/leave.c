/* SPDX-License-Identifier: MIT */
/* Ends a client of the library without ever waiting for longer than wanted. */
#include "leave.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"

/* The library gives a LeaveGroup up after 5 s. */
#define LEAVE_US 6000000

struct leave {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned n_refs; /* the waiter and the thread */
	bool has_ended;
	rd_kafka_t *rk;
	rd_kafka_queue_t *events;
	struct gate *gate;
	bool is_destroyable;
};

static void leave_unref(struct leave *leave)
{
	bool is_last;

	pthread_mutex_lock(&leave->lock);
	is_last = --leave->n_refs == 0;
	pthread_mutex_unlock(&leave->lock);
	if (!is_last)
		return;
	pthread_cond_destroy(&leave->ended);
	pthread_mutex_destroy(&leave->lock);
	free(leave);
}

/* Nothing is ours any more: whatever is given is refused, whatever is asked for is given back. */
static void rebalance_answer(rd_kafka_t *rk, rd_kafka_event_t *event)
{
	bool is_assign = rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
	rd_kafka_error_t *error = NULL;

	if (strcmp(rd_kafka_rebalance_protocol(rk), "COOPERATIVE")) {
		rd_kafka_assign(rk, NULL);
	} else if (is_assign) {
		rd_kafka_topic_partition_list_t *nothing = rd_kafka_topic_partition_list_new(0);

		error = rd_kafka_incremental_assign(rk, nothing);
		rd_kafka_topic_partition_list_destroy(nothing);
	} else {
		error = rd_kafka_incremental_unassign(rk, rd_kafka_event_topic_partition_list(event));
	}
	rd_kafka_error_destroy(error);
}

static bool group_leave(rd_kafka_t *rk, rd_kafka_queue_t *events)
{
	int64_t end_us = clock_now_us() + LEAVE_US;
	rd_kafka_error_t *error = rd_kafka_consumer_close_queue(rk, events);

	if (error) {
		rd_kafka_error_destroy(error);
		return false;
	}
	while (!rd_kafka_consumer_closed(rk) && clock_now_us() < end_us) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(events, 20);

		if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE && !rd_kafka_consumer_closed(rk))
			rebalance_answer(rk, event);
		if (event)
			rd_kafka_event_destroy(event);
	}
	return rd_kafka_consumer_closed(rk);
}

static void *leave_main(void *arg)
{
	struct leave *leave = arg;
	bool has_left = !leave->gate || group_leave(leave->rk, leave->events);

	if (leave->is_destroyable) {
		rd_kafka_queue_destroy(leave->events);
		rd_kafka_destroy_flags(leave->rk, has_left ? 0 : RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
		gate_free(leave->gate);
	}
	pthread_mutex_lock(&leave->lock);
	leave->has_ended = true;
	pthread_cond_signal(&leave->ended);
	pthread_mutex_unlock(&leave->lock);
	leave_unref(leave);
	return NULL;
}

struct leave *leave_start(rd_kafka_t *rk, rd_kafka_queue_t *events, struct gate *gate, bool is_destroyable)
{
	struct leave *leave = calloc(1, sizeof(*leave));
	pthread_condattr_t clock;
	sigset_t all, before;
	pthread_t thread;

	if (!leave)
		abort();
	leave->rk = rk;
	leave->events = events;
	leave->gate = gate;
	leave->is_destroyable = is_destroyable;
	leave->n_refs = 2;
	pthread_mutex_init(&leave->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&leave->ended, &clock);
	pthread_condattr_destroy(&clock);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, leave_main, leave)) {
		leave_main(leave);
	} else {
		pthread_detach(thread);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return leave;
}

bool leave_wait(struct leave *leave, int timeout_ms)
{
	struct timespec until;
	bool has_ended;

	if (!leave)
		return true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&leave->lock);
	while (!leave->has_ended && pthread_cond_timedwait(&leave->ended, &leave->lock, &until) == 0)
		;
	has_ended = leave->has_ended;
	pthread_mutex_unlock(&leave->lock);
	leave_unref(leave);
	return has_ended;
}
