/* SPDX-License-Identifier: MIT */
/* What a plugin is told of the largest body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "conf_fake.h"
#include "host/conf.h"

#define PIPELINE                                                                                                       \
	"brokers: { k: { type: kafka, bootstrap_servers: a:1 } }\npipelines:\n  p:\n    source: { broker: k, topics: t }\n"

static void a_body_that_is_streamed_may_fill_the_buffer(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t mib;
	} table[] = {
		{"    oversize: reject\n", 32},
		{"    oversize: stream\n", 64},
		{"    oversize: stream\n    max_message_bytes: 100MiB\n", 100},
		{"    oversize: stream\n    max_outstanding_bytes: 500GiB\n", 1024},
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		char text[500];
		int len = snprintf(text, sizeof text, "%s%s", PIPELINE, table[i].text);
		struct conf *conf = conf_parse("f", text, (size_t)len, conf_fake_find, NULL);
		assert_int_equal(conf->n_errors, 0);
		assert_int_equal(conf->pipelines[0].source.max_message_bytes, table[i].mib << 20);
		conf_free(conf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_body_that_is_streamed_may_fill_the_buffer)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
