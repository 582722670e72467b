/* SPDX-License-Identifier: MIT */
/* Both ends of an AMQP test. */
#include "amqp_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int pair_setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	if (broker_url())
		pair->broker = broker_open();
	*state = pair;
	return 0;
}

int pair_teardown(void **state)
{
	struct pair *pair = *state;

	rig_free(pair->rig);
	if (pair->broker)
		broker_close(pair->broker);
	free(pair);
	return 0;
}

struct pair *pair_begin(void **state, const char *type)
{
	struct pair *pair = *state;

	if (!pair->broker)
		skip();
	if (type)
		broker_declare(pair->broker, pair->broker->queue, type, NULL);
	return pair;
}

struct rig *pair_open(struct pair *pair, struct rig *rig)
{
	pair->rig = rig;
	assert_int_equal(rig_check(rig), 0);
	assert_int_equal(rig_open(rig), QB_OK);
	assert_true(rig_condition_find(rig, QB_CONNECTED, 0)->on);
	return rig;
}

const char *pair_header(const struct rig_message *message, const char *name)
{
	for (size_t i = 0; i < message->n_headers; i++)
		if (!strcmp(message->headers[2 * i], name))
			return message->headers[2 * i + 1];
	return NULL;
}

void pair_skips(size_t n)
{
	if (!broker_url())
		print_message("SKIP %zu tests: QBUS_TEST_AMQP_URL is not set\n", n);
}
