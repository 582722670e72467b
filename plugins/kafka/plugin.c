/* SPDX-License-Identifier: MIT */
/* Kafka for qbus-proxy: the options and the one symbol that the runtime looks for. */
#include <librdkafka/rdkafka.h>
#include <qbus/plugin.h>
#include <stdio.h>

#include "check.h"
#include "consumer.h"
#include "graveyard.h"
#include "options.h"
#include "skip.h"

#define SECOND INT64_C(1000000)
#define KIB INT64_C(1024)
#define MIB (INT64_C(1024) * KIB)

/* start defaults to earliest because nothing is lost by it: a new group sees everything, and a group that has a
 * committed offset never falls back to `start` at all. */
static const struct qb_option table[N_OPTIONS] = {
	[OPTION_BOOTSTRAP_SERVERS] = {.path = "bootstrap_servers",
		.kind = QB_STRING,
		.scope = QB_BROKER,
		.required = true,
		.help =
			"host:port of some brokers, separated by commas; `embedded` starts a small cluster inside this process, "
			"for demonstrations and tests only."},
	[OPTION_EMBEDDED_TOPICS] = {.path = "embedded.topics",
		.kind = QB_LIST,
		.scope = QB_BROKER,
		.help = "Topics that the embedded cluster starts with, as name:partitions; others appear when used, with 4."},
	[OPTION_PROTOCOL] = {.path = "security.protocol",
		.kind = QB_STRING,
		.scope = QB_BROKER,
		.fallback = "plaintext",
		.help = "plaintext, ssl, sasl_plaintext or sasl_ssl."},
	[OPTION_MECHANISM] = {.path = "security.mechanism",
		.kind = QB_STRING,
		.scope = QB_BROKER,
		.help = "SASL mechanism: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, GSSAPI."},
	[OPTION_USERNAME] = {.path = "security.username", .kind = QB_STRING, .scope = QB_BROKER, .help = "SASL user name."},
	[OPTION_PASSWORD] = {.path = "security.password", .kind = QB_SECRET, .scope = QB_BROKER, .help = "SASL password."},
	[OPTION_CA_FILE] = {.path = "security.ca_file",
		.kind = QB_FILE,
		.scope = QB_BROKER,
		.help =
			"Certificates of the authorities that may sign the brokers' certificates; default: those of the system."},
	[OPTION_CERTIFICATE_FILE] = {.path = "security.certificate_file",
		.kind = QB_FILE,
		.scope = QB_BROKER,
		.help = "Our own certificate, for brokers that ask for one."},
	[OPTION_KEY_FILE] = {.path = "security.key_file",
		.kind = QB_FILE,
		.scope = QB_BROKER,
		.help = "The private key of our own certificate."},
	[OPTION_KEY_PASSWORD] = {.path = "security.key_password",
		.kind = QB_SECRET,
		.scope = QB_BROKER,
		.help = "The pass phrase of the private key."},
	[OPTION_INSECURE] = {.path = "security.insecure",
		.kind = QB_BOOL,
		.scope = QB_BROKER,
		.fallback = "false",
		.help = "Take any certificate of the broker: encryption without knowing with whom."},
	[OPTION_PROPERTIES] = {.path = "properties",
		.kind = QB_MAP,
		.scope = QB_BROKER,
		.help = "Any other property of librdkafka, by its own name; librdkafka checks it."},
	[OPTION_TOPICS] = {.path = "topics",
		.kind = QB_LIST,
		.scope = QB_SOURCE,
		.required = true,
		.alias = "topic",
		.help = "Topics to read; one that begins with ^ is a regular expression over all topics of the cluster."},
	[OPTION_GROUP_ID] = {.path = "group_id",
		.kind = QB_STRING,
		.scope = QB_SOURCE,
		.required = true,
		.help = "Consumer group; its members share the partitions."},
	[OPTION_START] = {.path = "start",
		.kind = QB_STRING,
		.scope = QB_SOURCE,
		.fallback = "earliest",
		.help = "Where to begin in a partition for which the group has no offset: earliest, latest, or error (alarm). "
				"With latest what a partition held before the group saw it is passed over, also in one that is added."},
	[OPTION_GROUP_INSTANCE_ID] = {.path = "group_instance_id",
		.kind = QB_STRING,
		.scope = QB_SOURCE,
		.help =
			"Static membership: a name of this member that outlives a restart, so that a restart moves no partitions."},
	[OPTION_ASSIGNMENT] = {.path = "assignment",
		.kind = QB_STRING,
		.scope = QB_SOURCE,
		.fallback = "range",
		.help =
			"How the group shares partitions: range, roundrobin or cooperative-sticky; all members must say the same."},
	[OPTION_SESSION_TIMEOUT] = {.path = "session_timeout",
		.kind = QB_DURATION,
		.scope = QB_SOURCE,
		.fallback = "45s",
		.min = SECOND,
		.max = 3600 * SECOND,
		.help = "Without a heartbeat for so long, the group takes the partitions away."},
	[OPTION_MAX_POLL_INTERVAL] = {.path = "max_poll_interval",
		.kind = QB_DURATION,
		.scope = QB_SOURCE,
		.fallback = "5m",
		.min = SECOND,
		.max = 24 * 3600 * SECOND,
		.help = "How long the group waits for this member in a rebalance; above revoke_timeout and session_timeout."},
	[OPTION_MAX_BYTES] = {.path = "max_bytes",
		.kind = QB_SIZE,
		.scope = QB_FETCH,
		.fallback = "8MiB",
		.min = KIB,
		.max = 1024 * MIB,
		.alias = "maxFetchSize",
		.help = "At most so much in one answer of a broker; a bigger first batch still comes whole."},
	[OPTION_MAX_PARTITION_BYTES] = {.path = "max_partition_bytes",
		.kind = QB_SIZE,
		.scope = QB_FETCH,
		.fallback = "1MiB",
		.min = KIB,
		.max = 1000 * MIB,
		.help = "At most so much of one partition in one answer; a bigger first batch still comes whole."},
	[OPTION_MIN_BYTES] = {.path = "min_bytes",
		.kind = QB_SIZE,
		.scope = QB_FETCH,
		.fallback = "1",
		.min = 1,
		.max = 95 * MIB,
		.help = "A broker waits until it has so much, but not longer than max_wait."},
	[OPTION_MAX_WAIT] = {.path = "max_wait",
		.kind = QB_DURATION,
		.scope = QB_FETCH,
		.fallback = "100ms",
		.min = 1000,
		.max = 300 * SECOND,
		.help = "How long a broker waits for min_bytes."},
	[OPTION_QUEUE_BYTES] = {.path = "queue_bytes",
		.kind = QB_SIZE,
		.scope = QB_FETCH,
		.fallback = "1MiB",
		.min = KIB,
		.max = 1024 * MIB,
		.help = "The client library fetches more of a partition while it holds fewer bytes of it."},
	[OPTION_QUEUE_MESSAGES] = {.path = "queue_messages",
		.kind = QB_INT,
		.scope = QB_FETCH,
		.fallback = "100000",
		.min = 1,
		.max = 10000000,
		.help =
			"The client library fetches more of a partition while it holds fewer messages of it (each costs about 300 "
			"bytes beside its body)."},
};

static const char *library(void)
{
	static char text[64];

	snprintf(text, sizeof(text), "librdkafka %s", rd_kafka_version_str());
	return text;
}

static const struct qb_graveyard graveyard = {
	.size = sizeof(struct qb_graveyard),
	.open = graveyard_open,
	.next = graveyard_next,
	.again = graveyard_again,
	.remove = graveyard_remove,
	.close = graveyard_close,
};

extern const struct qb_plugin qbus_plugin;

__attribute__((visibility("default"))) const struct qb_plugin qbus_plugin = {
	.abi = QB_ABI,
	.size = sizeof(struct qb_plugin),
	.name = "kafka",
	.traits = QB_SETTLE_PREFIX,
	.options = table,
	.n_options = N_OPTIONS,
	.library = library,
	.check = check_run,
	.open = consumer_open,
	.poll = consumer_poll,
	.settle = consumer_settle,
	.flow = consumer_flow,
	.drain = consumer_drain,
	.lane_drained = consumer_lane_drained,
	.publish = consumer_publish,
	.close = consumer_close,
	.wake = consumer_wake,
	.skip = skip_lane,
	.is_current = consumer_is_current,
	.graveyard = &graveyard,
	.aim = consumer_aim,
};
