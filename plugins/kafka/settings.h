/* SPDX-License-Identifier: MIT */
/* Turns options into properties of librdkafka. */
#ifndef KAFKA_SETTINGS_H
#define KAFKA_SETTINGS_H

#include <librdkafka/rdkafka.h>
#include <qbus/plugin.h>

#include "options.h"

/* Sets everything that a consumer (or producer) needs, bootstrap.servers apart where the cluster is embedded. What
 * librdkafka refuses is complained of in its own words; complain may be NULL. Returns the number of refusals. */
size_t settings_consumer(
	rd_kafka_conf_t *settings, const struct qb_source_conf *conf, qb_complain *complain, void *ctx);
size_t settings_producer(
	rd_kafka_conf_t *settings, const struct qb_source_conf *conf, qb_complain *complain, void *ctx);

/* NULL: free to be set under `properties`. Else what to say instead. */
const char *settings_owner(const char *property);

/* The numeric value of a property; -1: unknown. */
int64_t settings_number(const rd_kafka_conf_t *settings, const char *property);

/* Milliseconds of a duration option, with what an embedded cluster needs where the file says nothing. */
int64_t settings_session_ms(const struct qb_source_conf *conf);

#endif
