/* SPDX-License-Identifier: MIT */
/* librdkafka's mock cluster, one broker. */
#include "embedded.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>

struct embedded {
	rd_kafka_t *rk; /* the cluster lives in its threads */
	rd_kafka_mock_cluster_t *cluster;
};

struct embedded *embedded_open(const char *topic, uint64_t n_partitions)
{
	struct embedded *embedded = calloc(1, sizeof(*embedded));
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char error[256] = "no memory";

	rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
	if (embedded)
		embedded->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
	if (!embedded || !embedded->rk)
		rd_kafka_conf_destroy(conf);
	else
		embedded->cluster = rd_kafka_mock_cluster_new(embedded->rk, 1);
	if (embedded && embedded->cluster && !rd_kafka_mock_topic_create(embedded->cluster, topic, (int)n_partitions, 1))
		return embedded;
	fprintf(stderr, "qbus-bench: the embedded cluster does not start: %s\n", error);
	embedded_close(embedded);
	return NULL;
}

const char *embedded_address(const struct embedded *embedded)
{
	return rd_kafka_mock_cluster_bootstraps(embedded->cluster);
}

void embedded_close(struct embedded *embedded)
{
	if (!embedded)
		return;
	if (embedded->cluster)
		rd_kafka_mock_cluster_destroy(embedded->cluster);
	if (embedded->rk)
		rd_kafka_destroy(embedded->rk);
	free(embedded);
}
