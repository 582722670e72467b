/* SPDX-License-Identifier: MIT */
/* The option values of a source in the units that the other files want. */
#ifndef QBUS_AMQP_OPTIONS_H
#define QBUS_AMQP_OPTIONS_H

#include <amqp.h>
#include <qbus/plugin.h>

/* Index of an option in the plugin's table. */
enum option {
	OPT_URL,
	OPT_USERNAME,
	OPT_PASSWORD,
	OPT_HEARTBEAT,
	OPT_CONNECT_TIMEOUT,
	OPT_RPC_TIMEOUT,
	OPT_CONFIRM_TIMEOUT,
	OPT_CONNECTION_NAME,
	OPT_CA_FILE,
	OPT_CERTIFICATE_FILE,
	OPT_KEY_FILE,
	OPT_VERIFY_PEER,
	OPT_VERIFY_HOSTNAME,
	OPT_QUEUE,
	OPT_PREFETCH,
	OPT_START_PREFETCH,
	OPT_ARGUMENTS,
	OPT_DECLARE_DURABLE,
	OPT_DECLARE_EXCLUSIVE,
	OPT_DECLARE_AUTO_DELETE,
	OPT_DECLARE_ARGUMENTS,
	N_OPTIONS,
};

struct endpoint {
	char *url; /* the words below point into it */
	const char *host, *user, *password, *vhost;
	int port;
	bool is_tls;
};

/* Borrows from the source's conf, which outlives it. */
struct options {
	struct endpoint *endpoints;
	size_t n_endpoints;
	int heartbeat_s;
	int64_t connect_timeout_us, rpc_timeout_us, confirm_timeout_us;
	const char *connection_name; /* NULL: made from the pipeline's name */
	const char *pipeline;
	const char *ca_file, *certificate_file, *key_file;
	bool verify_peer, verify_hostname;
	const char *queue;
	int prefetch, start_prefetch;
	const struct qb_value *arguments; /* of basic.consume */
	bool has_declare, durable, exclusive, auto_delete;
	const struct qb_value *declare_arguments;
	int64_t max_message_bytes, max_outstanding_bytes;
};

/* -EINVAL: one of the urls is none. Nothing is left behind then. */
int options_init(struct options *options, const struct qb_source_conf *conf);
void options_done(struct options *options);

/* The `check` of the plugin. */
void options_check(const struct qb_source_conf *conf, qb_complain *complain, void *ctx);

/* The entries of a map as AMQP fields; entries has room for map->n_items. Borrows. */
amqp_table_t options_table(const struct qb_value *map, amqp_table_entry_t *entries);

/* The entry of that name, NULL: none. */
const struct qb_pair *options_find(const struct qb_value *map, const char *name);

#endif
