/* SPDX-License-Identifier: MIT */
/* Two plugins that only have options. */
#include "conf_fake.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct qb_option kafka_options[] = {
	{"bootstrap_servers", QB_STRING, QB_BROKER, true, NULL, 0, 0, "brokers", "Where to begin."},
	{"security.protocol", QB_STRING, QB_BROKER, false, "plaintext", 0, 0, NULL, "How to talk."},
	{"security.password", QB_SECRET, QB_BROKER, false, NULL, 0, 0, NULL, "The password."},
	{"security.ca_file", QB_FILE, QB_BROKER, false, NULL, 0, 0, NULL, "Whom to trust."},
	{"properties", QB_MAP, QB_BROKER, false, NULL, 0, 0, NULL, "Anything else."},
	{"topics", QB_LIST, QB_SOURCE, true, NULL, 0, 0, NULL, "What to read."},
	{"group_id", QB_STRING, QB_SOURCE, false, "qbus", 0, 0, NULL, "Who reads."},
	{"static", QB_BOOL, QB_SOURCE, false, "false", 0, 0, NULL, "Whether to come back as the same member."},
	{"max_bytes", QB_SIZE, QB_FETCH, false, "8MiB", 1024, 1 << 30, "maxFetchSize", "How much at most."},
	{"min_bytes", QB_SIZE, QB_FETCH, false, "1", 1, 0, NULL, "How much at least."},
	{"max_wait", QB_DURATION, QB_FETCH, false, "100ms", 1000, 60000000, NULL, "How long to wait for that."},
	{"queue_bytes", QB_SIZE, QB_FETCH, false, "4MiB", 1024, 1 << 30, NULL, "How much to keep of a partition."},
	{"max_partition_bytes", QB_SIZE, QB_FETCH, false, "1MiB", 1024, 1 << 30, NULL, "How much of one at most."},
};
enum { KAFKA_GROUP_ID = 6, KAFKA_STATIC = 7, KAFKA_MAX_BYTES = 8, KAFKA_MIN_BYTES = 9 };

static void kafka_check(const struct qb_source_conf *conf, qb_complain *complain, void *ctx)
{
	if (conf->values[KAFKA_MIN_BYTES].number > conf->values[KAFKA_MAX_BYTES].number)
		complain(ctx, KAFKA_MIN_BYTES, true, "min_bytes is above max_bytes");
	if (conf->values[KAFKA_STATIC].number && !conf->values[KAFKA_GROUP_ID].is_set)
		complain(ctx, KAFKA_GROUP_ID, false, "a static member of a group without a name of its own");
	if (strcmp(conf->values[0].text, "nowhere") == 0)
		complain(ctx, -1, true, "nowhere is no place");
}

static void publish(void *source, const struct qb_outgoing *message, uint64_t token)
{
	(void)source, (void)message, (void)token;
}

static const struct qb_option amqp_options[] = {
	{"url", QB_LIST, QB_BROKER, false, "amqp://guest@localhost", 0, 0, NULL, "Where to connect."},
	{"queue", QB_STRING, QB_SOURCE, true, NULL, 0, 0, NULL, "What to read."},
	{"prefetch", QB_INT, QB_SOURCE, false, "100", 1, 65535, NULL, "How many at once."},
	{"declare.arguments", QB_MAP, QB_SOURCE, false, "{ x-queue-type: quorum, x-delivery-limit: 20 }", 0, 0, NULL,
		"How it is made."},
};

static const struct qb_plugin plugins[] = {
	{.abi = QB_ABI,
		.size = sizeof(struct qb_plugin),
		.name = "kafka",
		.traits = QB_SETTLE_PREFIX,
		.options = kafka_options,
		.n_options = COUNT(kafka_options),
		.check = kafka_check,
		.publish = publish},
	{.abi = QB_ABI,
		.size = sizeof(struct qb_plugin),
		.name = "amqp",
		.traits = QB_SETTLE_EACH,
		.options = amqp_options,
		.n_options = COUNT(amqp_options)},
};

const struct qb_plugin *conf_fake_find(void *ctx, const char *type, const char **ret_reason)
{
	(void)ctx;
	for (size_t i = 0; i < COUNT(plugins); i++)
		if (strcmp(plugins[i].name, type) == 0)
			return &plugins[i];
	*ret_reason = "there is no such plugin here";
	return NULL;
}
