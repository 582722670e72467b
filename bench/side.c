/* SPDX-License-Identifier: MIT */
/* The table of sides. */
#include "side.h"

#include <stddef.h>

#define HAS_EXTENSION(name) "exit(extension_loaded('" name "') ? 0 : 1);"
#define HAS_AMQPLIB                                                                                                    \
	"exit(is_readable(getenv('QBUS_BENCH_AMQPLIB') ?: '/usr/share/php/PhpAmqpLib/autoload.php') ? 0 : 1);"

/* Each peer as its users find it, and with a prefetch as wide as the plain consumer's. For librdkafka that is a queue
 * which it never fills: its default stops fetching for a second whenever the queue is full. */
static const struct side sides[N_SIDES] = {
	[SIDE_PROXY] = {"qbus-proxy", true, true, NULL, NULL, {NULL}},
	[SIDE_PLAIN] = {"plain C", true, true, NULL, NULL, {NULL}},
	[SIDE_EXT_AMQP] = {"ext-amqp", false, true, "ext-amqp.php", HAS_EXTENSION("amqp"), {"0"}},
	[SIDE_EXT_AMQP_WIDE] = {"ext-amqp, prefetch 1000", false, true, "ext-amqp.php", HAS_EXTENSION("amqp"), {"1000"}},
	[SIDE_AMQPLIB] = {"php-amqplib", false, true, "php-amqplib.php", HAS_AMQPLIB, {"0"}},
	[SIDE_AMQPLIB_WIDE] = {"php-amqplib, prefetch 1000", false, true, "php-amqplib.php", HAS_AMQPLIB, {"1000"}},
	[SIDE_RDKAFKA] = {"php-rdkafka", true, false, "php-rdkafka.php", HAS_EXTENSION("rdkafka"), {NULL}},
	[SIDE_RDKAFKA_WIDE] = {"php-rdkafka, 2 GB queue", true, false, "php-rdkafka.php", HAS_EXTENSION("rdkafka"),
		{"queued.min.messages=10000000", "queued.max.messages.kbytes=2000000"}},
};

const struct side *side_at(enum side_id id)
{
	return &sides[id];
}
