/* SPDX-License-Identifier: MIT */
/* One scenario: brings a proxy into the state that the scenario names, then lets messages run through it. Under
 * callgrind the instructions of proxy_receive and proxy_turn are counted from then on. */
#include "client.h"
#include "proxy.h"

#include "base/alloc.h"
#include "base/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#endif

/* What each worker is given and acks in a turn. */
enum { PER_TURN = 100 };

struct scenario {
	const char *name;
	enum pipeline_ordering ordering;
	size_t n_lanes, n_workers, n_in_flight, n_messages;
};

static const struct scenario scenarios[] = {
	{"plain", ORDERING_NONE, 12, 1, 400, 100000},
	{"partition", ORDERING_PARTITION, 1000, 1, 400, 50000},
	{"key", ORDERING_KEY, 12, 1, 400, 100000},
	{"lanes-1", ORDERING_NONE, 1, 1, 400, 100000},
	{"lanes-1000", ORDERING_NONE, 1000, 1, 400, 100000},
	{"workers-1", ORDERING_NONE, 12, 1, 200, 100000},
	{"workers-256", ORDERING_NONE, 12, 256, 256 * 200, 256000},
	{"in-flight-100", ORDERING_NONE, 12, 1, 100, 100000},
	{"in-flight-1000000", ORDERING_NONE, 12, 16, 1000000, 160000},
};

struct stage {
	const struct scenario *scenario;
	struct proxy *proxy;
	struct client *clients;
};

/* Everybody reads what there is and acks at most n; then as many come in as were acked. */
static void stage_step(struct stage *stage, size_t n_each)
{
	size_t n = 0;
	for (size_t i = 0; i < stage->scenario->n_workers; i++) {
		client_read(&stage->clients[i]);
		n += client_ack(&stage->clients[i], n_each);
	}
	proxy_receive(stage->proxy, n);
	proxy_turn(stage->proxy);
	proxy_drop_orders(stage->proxy);
}

/* In pieces, because a socket holds only so much. */
static void stage_fill(struct stage *stage)
{
	const struct scenario *scenario = stage->scenario;
	for (size_t left = scenario->n_in_flight, n; left; left -= n) {
		n = PER_TURN * scenario->n_workers;
		n = n < left ? n : left;
		proxy_receive(stage->proxy, n);
		stage_step(stage, 0);
	}
	for (size_t turns = 0; proxy_n_in_flight(stage->proxy) < scenario->n_in_flight && turns < 1000; turns++)
		stage_step(stage, 0);
}

static const struct scenario *scenario_find(const char *name)
{
	for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	return NULL;
}

static void stage_run(const struct scenario *scenario)
{
	struct stage stage = {.scenario = scenario, .proxy = proxy_new(scenario->ordering, scenario->n_lanes)};
	stage.clients = alloc_zero(scenario->n_workers * sizeof *stage.clients);
	for (size_t i = 0; i < scenario->n_workers; i++)
		client_init(&stage.clients[i], proxy_attach(stage.proxy), 65536);
	proxy_turn(stage.proxy);
	stage_fill(&stage);
	CALLGRIND_START_INSTRUMENTATION;
	uint64_t before = proxy_n_acked(stage.proxy);
	while (proxy_n_acked(stage.proxy) - before < scenario->n_messages)
		stage_step(&stage, PER_TURN);
	printf("%s messages=%llu in_flight=%zu\n", scenario->name,
		(unsigned long long)(proxy_n_acked(stage.proxy) - before), proxy_n_in_flight(stage.proxy));
	for (size_t i = 0; i < scenario->n_workers; i++)
		client_done(&stage.clients[i]);
	free(stage.clients);
	proxy_free(stage.proxy);
}

int main(int argc, char **argv)
{
	const struct scenario *scenario = argc == 2 ? scenario_find(argv[1]) : NULL;
	if (!scenario) {
		for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
			puts(scenarios[i].name);
		return argc == 1 ? 0 : 64;
	}
	log_configure(LOG_ERROR, false);
	stage_run(scenario);
	return 0;
}
