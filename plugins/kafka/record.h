/* SPDX-License-Identifier: MIT */
/* What can be seen of a message where the client library left it, in the batch as it came from the broker. */
#ifndef KAFKA_RECORD_H
#define KAFKA_RECORD_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

/* Whether the message has no headers, for sure; when this does not know, it says false. The library allocates and frees
 * a parser for each message to tell the same, which is a tenth of all that a small message costs. */
bool record_is_bare(const rd_kafka_message_t *message);

#endif
