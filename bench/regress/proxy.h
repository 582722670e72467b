/* SPDX-License-Identifier: MIT */
/* The part of the proxy whose instructions are counted: a dispatcher with one pipeline and real sessions, without
 * source threads and broker libraries. One thread, and the same calls each time. */
#ifndef QBUS_REGRESS_PROXY_H
#define QBUS_REGRESS_PROXY_H

#include "core/pipeline_conf.h"

#include <stddef.h>
#include <stdint.h>

enum { PROXY_BODY_BYTES = 200 };

struct proxy;

struct proxy *proxy_new(enum pipeline_ordering ordering, size_t n_lanes);
void proxy_free(struct proxy *proxy); /* its clients have closed */

/* Returns the worker's end of a new session's socket. */
int proxy_attach(struct proxy *proxy);

/* ---- what is counted: callgrind collects inside of these two functions only ---- */

/* n messages come in, spread over all lanes, packed as a source's thread packs them. */
void proxy_receive(struct proxy *proxy, size_t n);
/* One turn of the loop, as the host makes it. */
void proxy_turn(struct proxy *proxy);

/* ---- */

void proxy_drop_orders(struct proxy *proxy); /* what was told to the broker is forgotten */
uint64_t proxy_n_acked(const struct proxy *proxy);
size_t proxy_n_in_flight(const struct proxy *proxy);

#endif
