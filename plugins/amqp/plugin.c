/* SPDX-License-Identifier: MIT */
/* The AMQP 0-9-1 plugin for RabbitMQ: its options and the contract's functions. One source is one consuming connection
 * and, where an exchange for dead letters is named or something is published, one for that. Everything runs on the
 * source's thread but `wake`. That thread needs a stack of 16 MiB: the library decodes tables inside tables by
 * recursion, as deep as a frame is long. */
#include "clock.h"
#include "consumer.h"
#include "graveyard.h"
#include "publisher.h"
#include "target.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SECOND INT64_C(1000000)

static const struct qb_option option_table[N_OPTIONS] = {
	[OPT_URL] = {"url", QB_LIST, QB_BROKER, true, NULL, 0, 0, NULL,
		"amqp://user@host:port/vhost or amqps:// for TLS; several are tried in turn."},
	[OPT_USERNAME] = {"username", QB_STRING, QB_BROKER, false, NULL, 0, 0, NULL,
		"Goes before the user in the url; guest when neither says one."},
	[OPT_PASSWORD] = {"password", QB_SECRET, QB_BROKER, false, NULL, 0, 0, NULL,
		"Goes before the password in the url."},
	[OPT_HEARTBEAT] = {"heartbeat", QB_DURATION, QB_BROKER, false, "10s", SECOND, 600 * SECOND, NULL,
		"A peer that is silent for two heartbeats is lost; whole seconds."},
	[OPT_CONNECT_TIMEOUT] = {"connect_timeout", QB_DURATION, QB_BROKER, false, "3s", SECOND / 10, 60 * SECOND, NULL,
		"Bounds connecting, and after that logging in."},
	[OPT_RPC_TIMEOUT] = {"rpc_timeout", QB_DURATION, QB_BROKER, false, "5s", SECOND / 10, 60 * SECOND, NULL,
		"Bounds the wait for the broker's answer to a command."},
	[OPT_CONFIRM_TIMEOUT] = {"confirm_timeout", QB_DURATION, QB_BROKER, false, "30s", SECOND, 3600 * SECOND, NULL,
		"A publication that is not confirmed by then has failed."},
	[OPT_CONNECTION_NAME] = {"connection_name", QB_STRING, QB_BROKER, false, NULL, 0, 0, NULL,
		"How the broker's log and management name the connection; by default qbus-proxy and the pipeline."},
	[OPT_CA_FILE] = {"ca_file", QB_FILE, QB_BROKER, false, NULL, 0, 0, NULL,
		"Certificates that may vouch for the broker; by default those of the system."},
	[OPT_CERTIFICATE_FILE] = {"certificate_file", QB_FILE, QB_BROKER, false, NULL, 0, 0, NULL,
		"The certificate shown to the broker."},
	[OPT_KEY_FILE] = {"key_file", QB_FILE, QB_BROKER, false, NULL, 0, 0, NULL, "The key of that certificate."},
	[OPT_VERIFY_PEER] = {"verify_peer", QB_BOOL, QB_BROKER, false, "true", 0, 0, NULL,
		"Whether the broker's certificate must be vouched for."},
	[OPT_VERIFY_HOSTNAME] = {"verify_hostname", QB_BOOL, QB_BROKER, false, "true", 0, 0, NULL,
		"Whether the broker's certificate must bear its host name."},
	[OPT_QUEUE] = {"queue", QB_STRING, QB_SOURCE, true, NULL, 0, 0, NULL,
		"The queue to consume, a classic or a quorum queue; a stream is refused."},
	[OPT_PREFETCH] = {"prefetch", QB_INT, QB_SOURCE, false, "100", 1, 65535, NULL,
		"How many messages the broker hands out ahead of their acks; fewer when they are large."},
	[OPT_START_PREFETCH] = {"start_prefetch", QB_INT, QB_SOURCE, false, "16", 1, 65535, NULL,
		"The prefetch after a connect until the first acks, so that a crash loop returns few messages."},
	[OPT_ARGUMENTS] = {"arguments", QB_MAP, QB_SOURCE, false, NULL, 0, 0, NULL,
		"Arguments of basic.consume, such as x-priority."},
	[OPT_DECLARE_DURABLE] = {"declare.durable", QB_BOOL, QB_SOURCE, false, "true", 0, 0, NULL,
		"With any key under declare the queue is declared before it is consumed; durable outlives the broker."},
	[OPT_DECLARE_EXCLUSIVE] = {"declare.exclusive", QB_BOOL, QB_SOURCE, false, "false", 0, 0, NULL,
		"The queue belongs to this connection and goes with it."},
	[OPT_DECLARE_AUTO_DELETE] = {"declare.auto_delete", QB_BOOL, QB_SOURCE, false, "false", 0, 0, NULL,
		"The queue goes with its last consumer."},
	[OPT_DECLARE_ARGUMENTS] = {"declare.arguments", QB_MAP, QB_SOURCE, false, NULL, 0, 0, NULL,
		"Arguments of the queue, such as x-queue-type; numbers stay numbers."},
};

struct source {
	const struct qb_host *host;
	struct options options;
	struct consumer consumer;
	struct publisher publisher;
	struct target target;
	int wake_fd;
	bool has_more; /* the last turn left something to read */
};

static const char *plugin_library(void)
{
	static char name[64] = "rabbitmq-c ";

	if (!name[11])
		strncat(name, amqp_version(), sizeof(name) - 12);
	return name;
}

/* RabbitMQ 4 drops a message of a quorum queue at its 21st return, without a word, where no dead-letter exchange is. */
static void returns_warn(const struct source *source)
{
	const struct qb_host *host = source->host;
	const struct options *options = &source->options;
	const struct qb_pair *type = options_find(options->declare_arguments, "x-queue-type");
	const struct qb_pair *limit = options_find(options->declare_arguments, "x-delivery-limit");
	bool is_unlimited = limit && limit->kind == QB_INT && limit->number < 0;
	int major = source->consumer.connection.server_major;

	if (!options->has_declare && major >= 4)
		host->log(host->self, QB_INFO,
			"a quorum queue of RabbitMQ 4 needs a dead-letter exchange or it drops what was returned 20 times "
			"queue=%s",
			options->queue);
	if (!type || strcmp(type->text, "quorum"))
		return;
	if (major >= 4 && !is_unlimited && !options_find(options->declare_arguments, "x-dead-letter-exchange"))
		host->log(host->self, QB_WARN,
			"the broker drops messages that were returned too often, give the queue a dead-letter exchange or "
			"x-delivery-limit -1 queue=%s server=\"%s\"",
			options->queue, source->consumer.connection.server);
	if (major && major < 4 && is_unlimited)
		host->log(host->self, QB_WARN,
			"before RabbitMQ 4 a delivery limit of -1 drops messages at their first return queue=%s server=\"%s\"",
			options->queue, source->consumer.connection.server);
}

static void disconnected(const struct source *source, const char *reason)
{
	source->host->condition(source->host->self, QB_CONNECTED, 0, false, reason);
}

static void source_free(struct source *source)
{
	options_done(&source->options);
	if (source->wake_fd >= 0)
		close(source->wake_fd);
	free(source);
}

static enum qb_result plugin_open(const struct qb_host *host, const struct qb_source_conf *conf, void **ret_source)
{
	struct source *source = calloc(1, sizeof(*source));
	enum qb_result result;

	if (!source)
		abort();
	source->host = host;
	source->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (source->wake_fd < 0 || options_init(&source->options, conf) < 0) {
		disconnected(source, source->wake_fd < 0 ? "no descriptor is left" : "an url of the broker is not one");
		result = source->wake_fd < 0 ? QB_LOST : QB_FATAL;
		source_free(source);
		return result;
	}
	publisher_init(&source->publisher, host, &source->options);
	result = consumer_open(&source->consumer, host, &source->options, clock_now_us());
	if (result != QB_OK) {
		disconnected(source, source->consumer.connection.reason);
		source_free(source);
		return result;
	}
	host->log(host->self, QB_INFO, "broker is connected peer=%s server=\"%s\" heartbeat=%ds queue=%s",
		source->consumer.connection.peer, source->consumer.connection.server, source->consumer.connection.heartbeat_s,
		source->options.queue);
	returns_warn(source);
	host->condition(host->self, QB_CONNECTED, 0, true, NULL);
	*ret_source = source;
	return QB_OK;
}

/* ---- poll ---- */

/* The connections must be served twice a heartbeat, however long the runtime would wait. */
static int wait_ms(const struct source *source, int timeout_ms)
{
	int64_t now_us = clock_now_us();
	int64_t due_us = consumer_due_us(&source->consumer), confirm_us = publisher_due_us(&source->publisher);
	int heartbeat_s = source->consumer.connection.heartbeat_s;
	int64_t limit_ms = heartbeat_s ? heartbeat_s * INT64_C(1000) / 2 : timeout_ms;

	if (source->publisher.connection.state && source->publisher.connection.heartbeat_s * 500 < limit_ms)
		limit_ms = source->publisher.connection.heartbeat_s * 500;
	if (confirm_us < due_us)
		due_us = confirm_us;
	if (!source->consumer.is_draining && target_due_us(&source->target) < due_us)
		due_us = target_due_us(&source->target);
	if (due_us <= now_us)
		return 0;
	if (due_us != INT64_MAX && (due_us - now_us) / 1000 + 1 < limit_ms)
		limit_ms = (due_us - now_us) / 1000 + 1;
	return limit_ms < timeout_ms ? (int)limit_ms : timeout_ms;
}

static void source_wait(struct source *source, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = source->wake_fd, .events = POLLIN},
		{.fd = source->consumer.connection.fd, .events = POLLIN},
		{.fd = source->publisher.connection.fd, .events = POLLIN},
	};
	uint64_t count;

	if (poll(fds, sizeof(fds) / sizeof(*fds), wait_ms(source, timeout_ms)) > 0 && fds[0].revents &&
		read(source->wake_fd, &count, sizeof(count)) < 0)
		return; /* somebody read it before: nothing is lost, the caller looks again anyway */
}

/* Reads, then delivers. *ret_idle: nothing is left that could be done without waiting. */
static enum qb_result source_turn(struct source *source, const struct qb_budget *budget, bool *ret_idle)
{
	int64_t now_us = clock_now_us();
	bool more;
	enum qb_result result = consumer_turn(&source->consumer, now_us, &more);

	if (result != QB_OK) {
		disconnected(source, source->consumer.connection.reason);
		return result;
	}
	publisher_turn(&source->publisher, now_us);
	if (!source->consumer.is_draining)
		target_turn(&source->target, &source->publisher, now_us);
	source->has_more = more;
	*ret_idle = !consumer_deliver(&source->consumer, budget) && !more;
	if (!more)
		consumer_rest(&source->consumer);
	return QB_OK;
}

static enum qb_result plugin_poll(void *self, int timeout_ms, const struct qb_budget *budget)
{
	struct source *source = self;
	bool idle;
	enum qb_result result = source_turn(source, budget, &idle);

	/* Read first: what the library holds in its buffer makes no descriptor readable. */
	if (result != QB_OK || !idle)
		return result;
	source_wait(source, timeout_ms);
	return source_turn(source, budget, &idle);
}

/* ---- the rest of the contract ---- */

static void plugin_settle(void *self, const struct qb_settlement *settlements, size_t n)
{
	struct source *source = self;

	consumer_settle(&source->consumer, settlements, n, clock_now_us());
}

static void plugin_drain(void *self)
{
	struct source *source = self;

	consumer_drain(&source->consumer, clock_now_us());
}

static void plugin_publish(void *self, const struct qb_outgoing *message, uint64_t token)
{
	struct source *source = self;

	publisher_publish(&source->publisher, message, token, clock_now_us());
}

static void plugin_aim(void *self, const char *target)
{
	struct source *source = self;

	target_init(&source->target, target);
}

/* A farewell longer than rpc_timeout helps nobody. */
static int64_t farewell_us(const struct source *source, int64_t end_us)
{
	int64_t left_us = end_us - clock_now_us();

	if (left_us > source->options.rpc_timeout_us)
		return source->options.rpc_timeout_us;
	return left_us > 0 ? left_us : 0;
}

static void plugin_close(void *self, int timeout_ms)
{
	struct source *source = self;
	int64_t end_us = clock_now_us() + (int64_t)timeout_ms * 1000;

	/* Acks first: what they settle would be handled twice, a publication is merely published twice. */
	consumer_close(&source->consumer, farewell_us(source, end_us));
	publisher_close(&source->publisher, farewell_us(source, end_us), clock_now_us());
	source_free(source);
}

static void plugin_wake(void *self)
{
	const struct source *source = self;
	const uint64_t one = 1;

	if (write(source->wake_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: a wake-up is pending anyway */
}

/* The end of a connection lies behind everything that came before it. */
static bool plugin_is_current(void *self)
{
	const struct source *source = self;

	return !source->has_more;
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
	.name = "amqp",
	.traits = QB_SETTLE_EACH | QB_FINISH_BUFFERED,
	.options = option_table,
	.n_options = N_OPTIONS,
	.library = plugin_library,
	.check = options_check,
	.open = plugin_open,
	.poll = plugin_poll,
	.settle = plugin_settle,
	.drain = plugin_drain,
	.publish = plugin_publish,
	.close = plugin_close,
	.wake = plugin_wake,
	.is_current = plugin_is_current,
	.graveyard = &graveyard,
	.aim = plugin_aim,
};
