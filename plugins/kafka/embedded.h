/* SPDX-License-Identifier: MIT */
/* A small Kafka cluster inside this process, for demonstrations and tests: one for each broker name, shared by its
 * sources. Its data lives in memory, 5 MiB a partition at most, and ends with the last user. Any thread. */
#ifndef KAFKA_EMBEDDED_H
#define KAFKA_EMBEDDED_H

#include <qbus/plugin.h>

struct embedded;

/* Starts the cluster of that broker or shares the one that runs. NULL: it cannot be started; the reason is in
 * ret_error. */
struct embedded *embedded_ref(
	const struct qb_host *host, const struct qb_source_conf *conf, char *ret_error, size_t size);
void embedded_unref(struct embedded *embedded);
const char *embedded_servers(const struct embedded *embedded);

/* Reads name:partitions. */
bool embedded_topic_read(const char *text, char *ret_name, size_t size, int *ret_n_partitions);

#endif
