/* SPDX-License-Identifier: MIT */
/* What most tests of sessions begin and end with: one stand and the connection of one worker. */
#ifndef QBUS_TESTS_WIRE_FIXTURE_H
#define QBUS_TESTS_WIRE_FIXTURE_H

#include "stand.h"

extern struct stand stand;
extern struct client client;

int fixture_open(size_t n_messages, size_t body_bytes); /* 0 */

/* Setups and the teardown, as cmocka wants them. */
int without_messages(void **state);
int with_messages(void **state);     /* 1000 of 200 bytes */
int with_big_messages(void **state); /* 60 of 300000 bytes */
int fixture_close(void **state);

/* ERROR with this code and text, then the session is gone. */
void ends_with(const char *code, const char *sentence);

#define WITH(messages, test) cmocka_unit_test_setup_teardown(test, messages, fixture_close)

#endif
