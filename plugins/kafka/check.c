/* SPDX-License-Identifier: MIT */
/* Judges the configuration of a source: each rule is a function of the table at the end. */
#include "check.h"

#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "embedded.h"
#include "settings.h"

/* A revoke must end, its commit included, before the group stops waiting for us. */
#define REVOKE_MARGIN_US INT64_C(5000000)

struct judge {
	const struct qb_source_conf *conf;
	const rd_kafka_conf_t *settings;
	qb_complain *complain;
	void *ctx;
	size_t *n_errors; /* complained of till now */
};

static void __attribute__((format(printf, 4, 5)))
say(const struct judge *judge, enum option option, bool is_error, const char *format, ...)
{
	char sentence[512];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	*judge->n_errors += is_error;
	judge->complain(judge->ctx, (int)option, is_error, sentence);
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

static void judge_words(const struct judge *judge)
{
	static const char *const starts[] = {"earliest", "latest", "error", NULL};
	static const char *const assignments[] = {"range", "roundrobin", "cooperative-sticky", NULL};

	if (!is_one_of(options_text(judge->conf, OPTION_START), starts))
		say(judge, OPTION_START, true, "start is earliest, latest or error");
	if (!is_one_of(options_text(judge->conf, OPTION_ASSIGNMENT), assignments))
		say(judge, OPTION_ASSIGNMENT, true, "assignment is range, roundrobin or cooperative-sticky");
}

/* The library takes it for a part of a name, and then looks for that host for ever. */
static void judge_bootstrap(const struct judge *judge)
{
	if (strchr(options_text(judge->conf, OPTION_BOOTSTRAP_SERVERS), ';'))
		say(judge, OPTION_BOOTSTRAP_SERVERS, true, "bootstrap_servers reads host:port,host:port");
}

static void judge_topics(const struct judge *judge)
{
	const struct qb_value *topics = options_value(judge->conf, OPTION_TOPICS);
	char error[128];
	regex_t regex;
	int status;

	for (size_t i = 0; i < topics->n_items; i++) {
		const char *topic = topics->items[i].text;

		if (!*topic)
			say(judge, OPTION_TOPICS, true, "a topic has no name");
		if (*topic != '^')
			continue;
		status = regcomp(&regex, topic, REG_EXTENDED | REG_NOSUB);
		if (status) {
			regerror(status, &regex, error, sizeof(error));
			say(judge, OPTION_TOPICS, true, "%s is not a regular expression: %s", topic, error);
		} else {
			regfree(&regex);
		}
	}
}

static void judge_embedded(const struct judge *judge)
{
	const struct qb_value *topics = options_value(judge->conf, OPTION_EMBEDDED_TOPICS);
	char name[256];
	int n_partitions;

	if (topics->n_items && !options_is_embedded(judge->conf))
		say(judge, OPTION_EMBEDDED_TOPICS, false, "embedded.topics means nothing without bootstrap_servers: embedded");
	for (size_t i = 0; i < topics->n_items; i++)
		if (!embedded_topic_read(topics->items[i].text, name, sizeof(name), &n_partitions))
			say(judge, OPTION_EMBEDDED_TOPICS, true, "%s is not name:partitions with 1 to 1000 partitions",
				topics->items[i].text);
}

static void judge_group(const struct judge *judge)
{
	const struct qb_source_conf *conf = judge->conf;
	int64_t max_poll = options_number(conf, OPTION_MAX_POLL_INTERVAL);

	if (!*options_text(conf, OPTION_GROUP_ID))
		say(judge, OPTION_GROUP_ID, true, "group_id must not be empty");
	if (conf->revoke_timeout_us + REVOKE_MARGIN_US >= max_poll)
		say(judge, OPTION_MAX_POLL_INTERVAL, true,
			"max_poll_interval must be more than revoke_timeout and 5s for the last commit, or the group gives "
			"partitions "
			"away while their messages are still handled");
	if (settings_session_ms(conf) * 1000 > max_poll)
		say(judge, OPTION_SESSION_TIMEOUT, true, "session_timeout must not be longer than max_poll_interval");
	if (options_is_cooperative(conf) && rd_kafka_version() < 0x020a0000)
		say(judge, OPTION_ASSIGNMENT, false,
			"cooperative-sticky before librdkafka 2.10 loses partitions when it commits in a rebalance; commits are "
			"held "
			"back then, which works, but range is the safer choice with %s",
			rd_kafka_version_str());
}

static void judge_fetch(const struct judge *judge)
{
	const struct qb_source_conf *conf = judge->conf;
	int64_t bytes = options_number(conf, OPTION_MAX_BYTES);
	int64_t partition = options_number(conf, OPTION_MAX_PARTITION_BYTES);
	int64_t receive = settings_number(judge->settings, "receive.message.max.bytes");

	if (options_number(conf, OPTION_MIN_BYTES) > bytes)
		say(judge, OPTION_MIN_BYTES, true, "min_bytes above max_bytes makes every fetch wait for max_wait");
	if (partition > bytes)
		say(judge, OPTION_MAX_PARTITION_BYTES, false, "max_partition_bytes above max_bytes has no effect");
	if (options_number(conf, OPTION_MAX_WAIT) >= 1000000)
		say(judge, OPTION_MAX_WAIT, false,
			"commits may wait behind a fetch for as long as max_wait; below 1s is better");
	if (receive >= 0 && receive < bytes + 512)
		say(judge, OPTION_PROPERTIES, true,
			"receive.message.max.bytes must be at least max_bytes and 512 more, or answers of the broker cannot be "
			"read");
	if (receive >= 0 && receive < conf->max_message_bytes)
		say(judge, OPTION_PROPERTIES, false,
			"receive.message.max.bytes is below max_message_bytes: a message that big would block every partition of "
			"its "
			"broker");
}

static void judge_security(const struct judge *judge)
{
	const struct qb_source_conf *conf = judge->conf;
	const char *protocol = options_text(conf, OPTION_PROTOCOL), *mechanism = options_text(conf, OPTION_MECHANISM);
	bool is_sasl = !strncasecmp(protocol, "sasl_", 5), is_ssl = !!strcasestr(protocol, "ssl");
	bool has_password = !strcasecmp(mechanism, "PLAIN") || !strncasecmp(mechanism, "SCRAM", 5);

	if (is_sasl && !*mechanism)
		say(judge, OPTION_MECHANISM, true, "security.protocol %s needs security.mechanism", protocol);
	if (is_sasl && has_password && (!*options_text(conf, OPTION_USERNAME) || !*options_text(conf, OPTION_PASSWORD)))
		say(judge, OPTION_USERNAME, true, "security.mechanism %s needs a username and a password", mechanism);
	if (!is_sasl && (*mechanism || *options_text(conf, OPTION_USERNAME)))
		say(judge, OPTION_PROTOCOL, true,
			"a mechanism or a username needs security.protocol sasl_ssl or sasl_plaintext");
	if (is_sasl && !is_ssl && !strcasecmp(mechanism, "PLAIN"))
		say(judge, OPTION_PROTOCOL, false, "the password goes over the network unencrypted; use sasl_ssl");
	if (is_ssl && options_number(conf, OPTION_INSECURE))
		say(judge, OPTION_INSECURE, false, "the broker's certificate is not verified");
	if (!is_ssl && *options_text(conf, OPTION_CA_FILE))
		say(judge, OPTION_PROTOCOL, false, "a ca_file means nothing without security.protocol ssl or sasl_ssl");
	if (!strncasecmp(mechanism, "SCRAM", 5) && rd_kafka_version() < 0x020601ff)
		say(judge, OPTION_MECHANISM, false, "SCRAM to Kafka 4.0 and newer needs librdkafka 2.6.1; this is %s",
			rd_kafka_version_str());
}

static void judge_properties(const struct judge *judge)
{
	const struct qb_value *properties = options_value(judge->conf, OPTION_PROPERTIES);

	for (size_t i = 0; i < properties->n_items; i++) {
		const char *instead = settings_owner(properties->items[i].name);

		if (instead)
			say(judge, OPTION_PROPERTIES, true, "%s cannot be set here: %s", properties->items[i].name, instead);
	}
}

/* The last: what it says of a mistake that has been found is said worse. Kerberos and bearer tokens would ask somebody
 * already now. */
static void judge_whole(const struct judge *judge)
{
	static const char *const asking[] = {"GSSAPI", "OAUTHBEARER", NULL};
	char error[256];

	if (!*judge->n_errors && !is_one_of(options_text(judge->conf, OPTION_MECHANISM), asking) &&
		settings_try(judge->settings, error, sizeof(error)))
		say(judge, OPTION_PROTOCOL, true, "%s", error);
}

void check_run(const struct qb_source_conf *conf, qb_complain *complain, void *ctx)
{
	static void (*const rules[])(const struct judge *judge) = {
		judge_words,
		judge_bootstrap,
		judge_topics,
		judge_embedded,
		judge_group,
		judge_fetch,
		judge_security,
		judge_properties,
		judge_whole,
	};
	rd_kafka_conf_t *settings = rd_kafka_conf_new();
	size_t n_errors = settings_consumer(settings, conf, complain, ctx);
	struct judge judge = {.conf = conf, .settings = settings, .complain = complain, .ctx = ctx, .n_errors = &n_errors};

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		rules[i](&judge);
	rd_kafka_conf_destroy(settings);
}
