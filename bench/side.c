/* SPDX-License-Identifier: MIT */
/* The table of sides. */
#include "side.h"

#include <stddef.h>

#define HAS_EXTENSION(name) "exit(extension_loaded('" name "') ? 0 : 1);"
#define HAS_AMQPLIB                                                                                                    \
	"exit(is_readable(getenv('QBUS_BENCH_AMQPLIB') ?: '/usr/share/php/PhpAmqpLib/autoload.php') ? 0 : 1);"

#define WIDE_AMQP "prefetch 1000, one ack for 100 messages"

/* Each peer as its users find it, for AMQP with the proxy's prefetch and an ack for each message as well, and at its
 * best: with the plain consumer's prefetch of 1000 and one ack for 100 messages. For librdkafka the best is a queue
 * which it never fills: its default stops fetching for a second whenever the queue is full. */
static const struct side sides[N_SIDES] = {
	[SIDE_PROXY] = {"qbus-proxy", NULL, true, true, true, NULL, NULL, {NULL}},
	[SIDE_PLAIN] = {"plain C", NULL, true, true, false, NULL, NULL, {NULL}},
	[SIDE_EXT_AMQP] = {"ext-amqp", NULL, false, true, false, "ext-amqp.php", HAS_EXTENSION("amqp"), {"0", "1"}},
	[SIDE_EXT_AMQP_AHEAD] = {"ext-amqp, prefetch 1000", NULL, false, true, false, "ext-amqp.php", HAS_EXTENSION("amqp"),
		{"1000", "1"}},
	[SIDE_EXT_AMQP_WIDE] = {"ext-amqp at its best", WIDE_AMQP, false, true, false, "ext-amqp.php",
		HAS_EXTENSION("amqp"), {"1000", "100"}},
	[SIDE_AMQPLIB] = {"php-amqplib", NULL, false, true, false, "php-amqplib.php", HAS_AMQPLIB, {"0", "1"}},
	[SIDE_AMQPLIB_AHEAD] = {"php-amqplib, prefetch 1000", NULL, false, true, false, "php-amqplib.php", HAS_AMQPLIB,
		{"1000", "1"}},
	[SIDE_AMQPLIB_WIDE] = {"php-amqplib at its best", WIDE_AMQP, false, true, false, "php-amqplib.php", HAS_AMQPLIB,
		{"1000", "100"}},
	[SIDE_RDKAFKA] = {"php-rdkafka", NULL, true, false, false, "php-rdkafka.php", HAS_EXTENSION("rdkafka"), {NULL}},
	[SIDE_RDKAFKA_WIDE] = {"php-rdkafka at its best", "a queue of 2 GB", true, false, false, "php-rdkafka.php",
		HAS_EXTENSION("rdkafka"), {"queued.min.messages=10000000", "queued.max.messages.kbytes=2000000"}},
	[SIDE_ECHO] = {"bare PHP echo loop", "as many bytes and frames as one message at a time has", false, false, true,
		"echo.php", HAS_EXTENSION("sockets"), {NULL}},
};

const struct side *side_at(enum side_id id)
{
	return &sides[id];
}
