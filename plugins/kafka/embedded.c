/* SPDX-License-Identifier: MIT */
/* A small Kafka cluster inside this process. */
#include "embedded.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

struct embedded {
	struct embedded *next;
	char *name;
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	unsigned n_refs;
};

/* Sources of different threads meet here, and only here. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct embedded *running;

bool embedded_topic_read(const char *text, char *ret_name, size_t size, int *ret_n_partitions)
{
	const char *colon = strrchr(text, ':');
	char *end;
	long n;

	if (!colon || colon == text || (size_t)(colon - text) >= size)
		return false;
	n = strtol(colon + 1, &end, 10);
	if (end == colon + 1 || *end || n < 1 || n > 1000)
		return false;
	snprintf(ret_name, size, "%.*s", (int)(colon - text), text);
	*ret_n_partitions = (int)n;
	return true;
}

/* A topic that exists already stays as it is. */
static void topics_create(struct embedded *embedded, const struct qb_source_conf *conf)
{
	const struct qb_value *topics = options_value(conf, OPTION_EMBEDDED_TOPICS);
	char name[256];
	int n_partitions;

	for (size_t i = 0; i < topics->n_items; i++)
		if (embedded_topic_read(topics->items[i].text, name, sizeof(name), &n_partitions))
			rd_kafka_mock_topic_create(embedded->cluster, name, n_partitions, 1);
}

static void embedded_free(struct embedded *embedded)
{
	if (embedded->cluster)
		rd_kafka_mock_cluster_destroy(embedded->cluster);
	if (embedded->rk)
		rd_kafka_destroy(embedded->rk);
	free(embedded->name);
	free(embedded);
}

static struct embedded *embedded_new(const char *name, char *ret_error, size_t size)
{
	struct embedded *embedded = calloc(1, sizeof(*embedded));
	rd_kafka_conf_t *settings = rd_kafka_conf_new();

	if (!embedded || !(embedded->name = strdup(name)))
		abort();
	rd_kafka_conf_set(settings, "log_level", "0", NULL, 0);
	embedded->rk = rd_kafka_new(RD_KAFKA_PRODUCER, settings, ret_error, size);
	if (!embedded->rk) {
		rd_kafka_conf_destroy(settings);
		embedded_free(embedded);
		return NULL;
	}
	embedded->cluster = rd_kafka_mock_cluster_new(embedded->rk, 1);
	if (!embedded->cluster) {
		snprintf(ret_error, size, "the embedded cluster does not start");
		embedded_free(embedded);
		return NULL;
	}
	return embedded;
}

struct embedded *embedded_ref(
	const struct qb_host *host, const struct qb_source_conf *conf, char *ret_error, size_t size)
{
	struct embedded *embedded;

	pthread_mutex_lock(&lock);
	for (embedded = running; embedded && strcmp(embedded->name, conf->broker); embedded = embedded->next)
		;
	if (!embedded && (embedded = embedded_new(conf->broker, ret_error, size))) {
		embedded->next = running;
		running = embedded;
		host->log(host->self, QB_INFO, "embedded cluster listens bootstrap_servers=%s", embedded_servers(embedded));
	}
	if (embedded) {
		embedded->n_refs++;
		topics_create(embedded, conf);
	}
	pthread_mutex_unlock(&lock);
	return embedded;
}

void embedded_unref(struct embedded *embedded)
{
	struct embedded **at = &running;

	if (!embedded)
		return;
	pthread_mutex_lock(&lock);
	if (--embedded->n_refs == 0) {
		while (*at != embedded)
			at = &(*at)->next;
		*at = embedded->next;
	} else {
		embedded = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (embedded)
		embedded_free(embedded);
}

const char *embedded_servers(const struct embedded *embedded)
{
	return rd_kafka_mock_cluster_bootstraps(embedded->cluster);
}
