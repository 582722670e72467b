/* SPDX-License-Identifier: MIT */
/* One stand, one worker. */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct stand stand;
struct client client;

int fixture_open(size_t n_messages, size_t body_bytes)
{
	stand_n_messages = n_messages;
	stand_body_bytes = body_bytes;
	stand_open(&stand);
	client_open(&stand, &client);
	return 0;
}

int without_messages(void **state)
{
	(void)state;
	return fixture_open(0, 0);
}

int with_messages(void **state)
{
	(void)state;
	return fixture_open(1000, 200);
}

int with_big_messages(void **state)
{
	(void)state;
	return fixture_open(60, 300000);
}

int fixture_close(void **state)
{
	(void)state;
	if (client.fd >= 0)
		client_close(&client);
	stand_close(&stand);
	return 0;
}

void ends_with(const char *code, const char *sentence)
{
	client_hears_end(&stand, &client, code, sentence);
	stand_until_closed(&stand, 1);
	assert_int_equal(session_set_count(stand.set), 0);
}
