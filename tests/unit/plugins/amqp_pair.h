/* SPDX-License-Identifier: MIT */
/* What an AMQP test works with: a client of its own and a rig with the plugin, both on the broker whose url is in
 * QBUS_TEST_AMQP_URL. Where there is none, every test is skipped. */
#ifndef AMQP_PAIR_H
#define AMQP_PAIR_H

#include "amqp_broker.h"
#include "rig.h"

#define PATIENCE_MS 20000

struct pair {
	struct broker *broker; /* NULL: there is none */
	struct rig *rig;       /* the test's; freed after it where it is set */
};

int pair_setup(void **state);
int pair_teardown(void **state);
#define PAIR_TEST(function) cmocka_unit_test_setup_teardown(function, pair_setup, pair_teardown)

/* Begins a test: declares the broker's queue with that type, where one is given, or skips. */
struct pair *pair_begin(void **state, const char *type);

/* Opens a source on the broker's queue with more options, which must go well. */
#define PAIR_OPEN(pair, ...)                                                                                           \
	pair_open(                                                                                                         \
		pair, rig_new(rig_load(QBUS_TEST_PLUGIN), "url", broker_url(), "queue", (pair)->broker->queue, __VA_ARGS__))
struct rig *pair_open(struct pair *pair, struct rig *rig);

/* The value of the first header of that name, NULL: none. */
const char *pair_header(const struct rig_message *message, const char *name);

/* Says how many tests are going to be skipped, when there is no broker. */
void pair_skips(size_t n);

#endif
