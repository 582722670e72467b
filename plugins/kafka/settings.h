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

/* What librdkafka has against the settings of a consumer as a whole, certificates among them. Connects to nothing. To
 * be asked before rd_kafka_new where the settings have interceptors: when that refuses, it frees them, and
 * rd_kafka_conf_destroy frees them once more. 0, or -EINVAL with its sentence. */
int settings_try(const rd_kafka_conf_t *settings, char *ret_error, size_t size);

/* NULL: free to be set under `properties`. Else what to say instead. */
const char *settings_owner(const char *property);

/* The numeric value of a property; -1: unknown. */
int64_t settings_number(const rd_kafka_conf_t *settings, const char *property);

/* Milliseconds of a duration option, with what an embedded cluster needs where the file says nothing. */
int64_t settings_session_ms(const struct qb_source_conf *conf);

#endif
