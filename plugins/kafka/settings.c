/* SPDX-License-Identifier: MIT */
/* Turns options into properties of librdkafka. */
#include "settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sink {
	rd_kafka_conf_t *settings;
	qb_complain *complain;
	void *ctx;
	size_t n_refused;
};

/* Rows of options that become one property. divisor 0: a text. */
struct row {
	enum option option;
	const char *property;
	int64_t divisor;
};

static const struct row rows_broker[] = {
	{OPTION_PROTOCOL, "security.protocol", 0},
	{OPTION_MECHANISM, "sasl.mechanism", 0},
	{OPTION_USERNAME, "sasl.username", 0},
	{OPTION_PASSWORD, "sasl.password", 0},
	{OPTION_CA_FILE, "ssl.ca.location", 0},
	{OPTION_CERTIFICATE_FILE, "ssl.certificate.location", 0},
	{OPTION_KEY_FILE, "ssl.key.location", 0},
	{OPTION_KEY_PASSWORD, "ssl.key.password", 0},
};

static const struct row rows_consumer[] = {
	{OPTION_GROUP_ID, "group.id", 0},
	{OPTION_GROUP_INSTANCE_ID, "group.instance.id", 0},
	{OPTION_ASSIGNMENT, "partition.assignment.strategy", 0},
	{OPTION_MAX_POLL_INTERVAL, "max.poll.interval.ms", 1000},
	{OPTION_MAX_PARTITION_BYTES, "max.partition.fetch.bytes", 1},
	{OPTION_MIN_BYTES, "fetch.min.bytes", 1},
	{OPTION_QUEUE_MESSAGES, "queued.min.messages", 1},
};

/* The same for every source. The reconnect pause is short because it decides how soon messages flow after a broker is
 * back. */
struct fixed {
	const char *property;
	const char *value;
};

static const struct fixed fixed_both[] = {
	{"log.queue", "true"},
	{"log.connection.close", "false"},
	{"socket.keepalive.enable", "true"},
	{"reconnect.backoff.ms", "100"},
	{"reconnect.backoff.max.ms", "1000"},
};

static const struct fixed fixed_consumer[] = {
	{"enable.auto.commit", "false"},
	{"enable.auto.offset.store", "false"},
	{"auto.offset.reset", "error"},
	{"enable.partition.eof", "true"},                /* tells of what stands there and is no message */
	{"topic.metadata.refresh.interval.ms", "10000"}, /* so soon topics that come, go or grow are noticed */
	{"check.crcs", "true"},                          /* else a damaged batch is delivered as if it were good */
	{"statistics.interval.ms", "1000"},
};

static const struct fixed fixed_producer[] = {
	{"enable.idempotence", "true"}, {"message.timeout.ms", "30000"},
	{"topic.metadata.propagation.max.ms", "2000"}, /* so long a topic that is not there counts as about to be */
	{"batch.num.messages",
		"1"}, /* a batch that is too large for the topic fails whole, and the wrong letters with it */
};

static const struct owned {
	const char *property;
	const char *instead;
} owned[] = {
	{"bootstrap.servers", "use bootstrap_servers"},
	{"metadata.broker.list", "use bootstrap_servers"},
	{"security.protocol", "use security.protocol of the broker entry"},
	{"sasl.mechanism", "use security.mechanism"},
	{"sasl.mechanisms", "use security.mechanism"},
	{"sasl.username", "use security.username"},
	{"sasl.password", "use security.password"},
	{"ssl.ca.location", "use security.ca_file"},
	{"ssl.certificate.location", "use security.certificate_file"},
	{"ssl.key.location", "use security.key_file"},
	{"ssl.key.password", "use security.key_password"},
	{"enable.ssl.certificate.verification", "use security.insecure"},
	{"group.id", "use group_id of the source"},
	{"group.instance.id", "use group_instance_id of the source"},
	{"group.protocol", "only the classic group protocol is supported"},
	{"partition.assignment.strategy", "use assignment of the source"},
	{"session.timeout.ms", "use session_timeout of the source"},
	{"max.poll.interval.ms", "use max_poll_interval of the source"},
	{"auto.offset.reset", "use start of the source; an offset out of range is always an alarm"},
	{"enable.auto.commit", "offsets are committed when handlers have acked, never by the library"},
	{"auto.commit.enable", "offsets are committed when handlers have acked, never by the library"},
	{"enable.auto.offset.store", "offsets are committed when handlers have acked, never by the library"},
	{"enable.partition.eof", "the end of a partition is always asked for"},
	{"check.crcs", "what is damaged is never delivered"},
	{"fetch.max.bytes", "use fetch.max_bytes of the pipeline"},
	{"fetch.message.max.bytes", "use fetch.max_partition_bytes of the pipeline"},
	{"max.partition.fetch.bytes", "use fetch.max_partition_bytes of the pipeline"},
	{"fetch.min.bytes", "use fetch.min_bytes of the pipeline"},
	{"fetch.wait.max.ms", "use fetch.max_wait of the pipeline"},
	{"queued.max.messages.kbytes", "use fetch.queue_bytes of the pipeline"},
	{"queued.min.messages", "use fetch.queue_messages of the pipeline"},
	{"fetch.queue.backoff.ms", "it is always 10 where the library has it"},
	{"enable.idempotence", "dead letters are always produced idempotently"},
	{"acks", "dead letters are always confirmed by all replicas"},
	{"request.required.acks", "dead letters are always confirmed by all replicas"},
	{"transactional.id", "transactions are not used"},
	{"log.queue", "logs are served with everything else"},
	{"plugin.library.paths", "libraries are not loaded from the configuration"},
	{"test.mock.num.brokers", "use bootstrap_servers: embedded"},
};

const char *settings_owner(const char *property)
{
	for (size_t i = 0; i < sizeof(owned) / sizeof(*owned); i++)
		if (!strcmp(owned[i].property, property))
			return owned[i].instead;
	return NULL;
}

static void set(struct sink *sink, int option, const char *property, const char *value)
{
	char error[512];

	if (rd_kafka_conf_set(sink->settings, property, value, error, sizeof(error)) == RD_KAFKA_CONF_OK)
		return;
	sink->n_refused++;
	if (sink->complain)
		sink->complain(sink->ctx, option, true, error);
}

static void set_number(struct sink *sink, int option, const char *property, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	set(sink, option, property, text);
}

/* Where only newer libraries have the property. */
static void set_if_known(struct sink *sink, const char *property, const char *value)
{
	char error[512];

	rd_kafka_conf_set(sink->settings, property, value, error, sizeof(error));
}

static void set_rows(struct sink *sink, const struct qb_source_conf *conf, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *text = options_text(conf, rows[i].option);

		if (rows[i].divisor)
			set_number(
				sink, (int)rows[i].option, rows[i].property, options_number(conf, rows[i].option) / rows[i].divisor);
		else if (*text)
			set(sink, (int)rows[i].option, rows[i].property, text);
	}
}

static void set_fixed(struct sink *sink, const struct fixed *fixed, size_t n)
{
	for (size_t i = 0; i < n; i++)
		set(sink, -1, fixed[i].property, fixed[i].value);
}

#define SET_ROWS(sink, conf, rows) set_rows(sink, conf, rows, sizeof(rows) / sizeof(*(rows)))
#define SET_FIXED(sink, fixed) set_fixed(sink, fixed, sizeof(fixed) / sizeof(*(fixed)))

static void set_properties(struct sink *sink, const struct qb_source_conf *conf)
{
	const struct qb_value *properties = options_value(conf, OPTION_PROPERTIES);

	for (size_t i = 0; i < properties->n_items; i++)
		if (!settings_owner(properties->items[i].name))
			set(sink, OPTION_PROPERTIES, properties->items[i].name, properties->items[i].text);
}

static void set_broker(struct sink *sink, const struct qb_source_conf *conf)
{
	char name[256];

	snprintf(name, sizeof(name), "qbus-%s", conf->pipeline);
	set(sink, -1, "client.id", name);
	set_if_known(sink, "enable.metrics.push", "false");
	SET_FIXED(sink, fixed_both);
	SET_ROWS(sink, conf, rows_broker);
	if (options_number(conf, OPTION_INSECURE))
		set(sink, OPTION_INSECURE, "enable.ssl.certificate.verification", "false");
	if (!options_is_embedded(conf))
		set(sink, OPTION_BOOTSTRAP_SERVERS, "bootstrap.servers", options_text(conf, OPTION_BOOTSTRAP_SERVERS));
}

int64_t settings_session_ms(const struct qb_source_conf *conf)
{
	if (options_is_embedded(conf) && !options_value(conf, OPTION_SESSION_TIMEOUT)->is_set)
		return 6000; /* each rebalance of the embedded cluster takes a session less a second */
	return options_number(conf, OPTION_SESSION_TIMEOUT) / 1000;
}

static int64_t wait_ms(const struct qb_source_conf *conf)
{
	if (options_is_embedded(conf) && !options_value(conf, OPTION_MAX_WAIT)->is_set)
		return 10; /* the embedded cluster always waits to the end */
	return options_number(conf, OPTION_MAX_WAIT) / 1000;
}

/* librdkafka wants message.max.bytes <= fetch.max.bytes < receive.message.max.bytes. The last is no buffer but the size
 * of an answer at which it hangs up for good, so it leaves room for the biggest message that is allowed here. */
static void set_sizes(struct sink *sink, const struct qb_source_conf *conf)
{
	int64_t fetch = options_number(conf, OPTION_MAX_BYTES);
	int64_t receive = 100000000;
	int64_t queue = options_number(conf, OPTION_QUEUE_BYTES) / 1000;

	if (receive < fetch + 1024 * 1024)
		receive = fetch + 1024 * 1024;
	if (receive < conf->max_message_bytes + 1024 * 1024)
		receive = conf->max_message_bytes + 1024 * 1024;
	set_number(sink, -1, "message.max.bytes", fetch < 1000000 ? fetch : 1000000);
	set_number(sink, OPTION_MAX_BYTES, "fetch.max.bytes", fetch);
	set_number(sink, -1, "receive.message.max.bytes", receive < INT32_MAX ? receive : INT32_MAX);
	set_number(sink, OPTION_QUEUE_BYTES, "queued.max.messages.kbytes", queue ? queue : 1);
}

size_t settings_consumer(rd_kafka_conf_t *settings, const struct qb_source_conf *conf, qb_complain *complain, void *ctx)
{
	struct sink sink = {.settings = settings, .complain = complain, .ctx = ctx};

	set_broker(&sink, conf);
	SET_FIXED(&sink, fixed_consumer);
	SET_ROWS(&sink, conf, rows_consumer);
	set_number(&sink, OPTION_SESSION_TIMEOUT, "session.timeout.ms", settings_session_ms(conf));
	set_number(&sink, OPTION_MAX_WAIT, "fetch.wait.max.ms", wait_ms(conf));
	set_sizes(&sink, conf);
	set_if_known(&sink, "fetch.queue.backoff.ms", "10");
	if (options_is_embedded(conf))
		set(&sink, -1, "allow.auto.create.topics", "true");
	set_properties(&sink, conf);
	return sink.n_refused;
}

size_t settings_producer(rd_kafka_conf_t *settings, const struct qb_source_conf *conf, qb_complain *complain, void *ctx)
{
	struct sink sink = {.settings = settings, .complain = complain, .ctx = ctx};
	int64_t largest = conf->max_message_bytes + 1024 * 1024; /* a dead letter has some headers more */

	set_broker(&sink, conf);
	SET_FIXED(&sink, fixed_producer);
	set_number(&sink, -1, "message.max.bytes", largest < 1000000000 ? largest : 1000000000);
	set_properties(&sink, conf);
	return sink.n_refused;
}

int64_t settings_number(const rd_kafka_conf_t *settings, const char *property)
{
	char text[64];
	size_t size = sizeof(text);

	if (rd_kafka_conf_get(settings, property, text, &size) != RD_KAFKA_CONF_OK)
		return -1;
	return strtoll(text, NULL, 10);
}

int settings_try(const rd_kafka_conf_t *settings, char *ret_error, size_t size)
{
	rd_kafka_conf_t *trial = rd_kafka_conf_dup(settings); /* which leaves interceptors behind */
	rd_kafka_t *rk;

	rd_kafka_conf_set_log_cb(trial, NULL);
	rd_kafka_conf_set(trial, "log.queue", "false", NULL, 0);
	rd_kafka_conf_set(trial, "bootstrap.servers", NULL, NULL, 0);
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, trial, ret_error, size);
	if (!rk) {
		rd_kafka_conf_destroy(trial);
		return -EINVAL;
	}
	rd_kafka_destroy(rk);
	return 0;
}
