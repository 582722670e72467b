/* SPDX-License-Identifier: MIT */
/* A connection with one channel to RabbitMQ, for those parts of the bench that read or prepare a queue. */
#ifndef QBUS_BENCH_AMQP_LINK_H
#define QBUS_BENCH_AMQP_LINK_H

#include <amqp.h>

enum { AMQP_LINK_CHANNEL = 1 };

/* NULL after a sentence on stderr. */
amqp_connection_state_t amqp_link_open(const char *url);
void amqp_link_close(amqp_connection_state_t conn);
/* The outcome of the last call. 0, or -1 after a sentence on stderr that begins with what. */
int amqp_link_check(const char *what, amqp_rpc_reply_t reply);

#endif
