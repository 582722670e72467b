/* SPDX-License-Identifier: MIT */
/* Reads urls and values. A user or password of its own option goes before the one in the url. */
#include "options.h"

#include "tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -EINVAL: not an AMQP url. */
static int endpoint_init(struct endpoint *endpoint, const char *url)
{
	struct amqp_connection_info info;

	endpoint->url = strdup(url);
	if (!endpoint->url)
		abort();
	if (amqp_parse_url(endpoint->url, &info) != AMQP_STATUS_OK || !info.host || !*info.host || info.port < 1) {
		free(endpoint->url);
		return -EINVAL;
	}
	endpoint->host = info.host;
	endpoint->user = info.user;
	endpoint->password = info.password;
	endpoint->vhost = info.vhost && *info.vhost ? info.vhost : "/";
	endpoint->port = info.port;
	endpoint->is_tls = info.ssl;
	return 0;
}

static int endpoints_init(struct options *options, const struct qb_value *values)
{
	const struct qb_value *urls = &values[OPT_URL];

	options->endpoints = calloc(urls->n_items + 1, sizeof(*options->endpoints));
	if (!options->endpoints)
		abort();
	for (size_t i = 0; i < urls->n_items; i++) {
		struct endpoint *endpoint = &options->endpoints[i];

		if (endpoint_init(endpoint, urls->items[i].text) < 0) {
			options_done(options);
			return -EINVAL;
		}
		options->n_endpoints++;
		if (values[OPT_USERNAME].text)
			endpoint->user = values[OPT_USERNAME].text;
		if (values[OPT_PASSWORD].text)
			endpoint->password = values[OPT_PASSWORD].text;
	}
	return 0;
}

int options_init(struct options *options, const struct qb_source_conf *conf)
{
	const struct qb_value *values = conf->values;

	*options = (struct options){
		.heartbeat_s = (int)((values[OPT_HEARTBEAT].number + 999999) / 1000000),
		.connect_timeout_us = values[OPT_CONNECT_TIMEOUT].number,
		.rpc_timeout_us = values[OPT_RPC_TIMEOUT].number,
		.confirm_timeout_us = values[OPT_CONFIRM_TIMEOUT].number,
		.connection_name = values[OPT_CONNECTION_NAME].text,
		.pipeline = conf->pipeline,
		.ca_file = values[OPT_CA_FILE].text,
		.certificate_file = values[OPT_CERTIFICATE_FILE].text,
		.key_file = values[OPT_KEY_FILE].text,
		.verify_peer = values[OPT_VERIFY_PEER].number,
		.verify_hostname = values[OPT_VERIFY_HOSTNAME].number,
		.queue = values[OPT_QUEUE].text,
		.prefetch = (int)values[OPT_PREFETCH].number,
		.start_prefetch = (int)values[OPT_START_PREFETCH].number,
		.arguments = &values[OPT_ARGUMENTS],
		.durable = values[OPT_DECLARE_DURABLE].number,
		.exclusive = values[OPT_DECLARE_EXCLUSIVE].number,
		.auto_delete = values[OPT_DECLARE_AUTO_DELETE].number,
		.declare_arguments = &values[OPT_DECLARE_ARGUMENTS],
		.max_message_bytes = conf->max_message_bytes,
		.max_outstanding_bytes = conf->max_outstanding_bytes,
	};
	for (int i = OPT_DECLARE_DURABLE; i <= OPT_DECLARE_ARGUMENTS; i++)
		options->has_declare |= values[i].is_set;
	return endpoints_init(options, values);
}

void options_done(struct options *options)
{
	for (size_t i = 0; i < options->n_endpoints; i++)
		free(options->endpoints[i].url);
	free(options->endpoints);
	options->endpoints = NULL;
	options->n_endpoints = 0;
}

static bool url_has_password(const char *url)
{
	const char *authority = strstr(url, "://");
	const char *at = authority ? strchr(authority + 3, '@') : NULL;
	const char *colon = authority ? strchr(authority + 3, ':') : NULL;

	return at && colon && colon < at;
}

/* The port behind the host, -1: none is given. */
static long url_port(const char *url)
{
	const char *authority = strstr(url, "://");
	const char *host = authority ? authority + 3 : url;
	const char *end = host + strcspn(host, "/");
	const char *at = memrchr(host, '@', (size_t)(end - host));
	const char *colon = memrchr(at ? at : host, ':', (size_t)(end - (at ? at : host)));

	return colon && colon + 1 < end && colon + 1 + strspn(colon + 1, "0123456789") == end ? strtol(colon + 1, NULL, 10)
	                                                                                      : -1;
}

static void url_complain(const char *url, qb_complain *complain, void *ctx)
{
	char sentence[128];
	long port = url_port(url);

	if (port == 0 || port > 65535) {
		snprintf(sentence, sizeof(sentence), "the port %ld of an url must be between 1 and 65535", port);
		complain(ctx, OPT_URL, true, sentence);
	} else {
		complain(ctx, OPT_URL, true, "an url reads amqp://user@host:port/vhost, or amqps:// for TLS");
	}
}

/* Returns how many of the urls ask for TLS. */
static size_t urls_check(const struct qb_value *urls, qb_complain *complain, void *ctx)
{
	size_t n_tls = 0;

	for (size_t i = 0; i < urls->n_items; i++) {
		struct endpoint endpoint;

		if (endpoint_init(&endpoint, urls->items[i].text) < 0) {
			url_complain(urls->items[i].text, complain, ctx);
			continue;
		}
		n_tls += endpoint.is_tls;
		free(endpoint.url);
		if (url_has_password(urls->items[i].text))
			complain(ctx, OPT_URL, false, "the password stands in the url; password_file keeps it out of this file");
	}
	return n_tls;
}

/* They may be there and hold something else. */
static void files_check(const struct qb_value *values, qb_complain *complain, void *ctx)
{
	static const char *const sentences[] = {
		[TLS_LIBRARY] = "the library for TLS cannot be used",
		[TLS_CA] = "ca_file holds no certificate",
		[TLS_CERTIFICATE] = "certificate_file and key_file hold no certificate and its key",
	};
	const struct tls_files files = {
		values[OPT_CA_FILE].text, values[OPT_CERTIFICATE_FILE].text, values[OPT_KEY_FILE].text};
	enum tls_part bad = tls_judge(&files);

	if (bad != TLS_NONE)
		complain(ctx, bad == TLS_CERTIFICATE ? OPT_CERTIFICATE_FILE : OPT_CA_FILE, true, sentences[bad]);
}

void options_check(const struct qb_source_conf *conf, qb_complain *complain, void *ctx)
{
	const struct qb_value *values = conf->values;
	const struct qb_pair *type = options_find(&values[OPT_DECLARE_ARGUMENTS], "x-queue-type");
	size_t n_tls = urls_check(&values[OPT_URL], complain, ctx);

	if (type && !strcmp(type->text, "stream"))
		complain(ctx, OPT_DECLARE_ARGUMENTS, true,
			"a stream hands nothing out again, so a stop could lose messages; consume a classic or a quorum queue");
	if (!values[OPT_CERTIFICATE_FILE].text != !values[OPT_KEY_FILE].text)
		complain(ctx, OPT_CERTIFICATE_FILE, true, "certificate_file and key_file go together");
	else if (n_tls)
		files_check(values, complain, ctx);
	if (!n_tls && (values[OPT_CA_FILE].text || values[OPT_CERTIFICATE_FILE].text))
		complain(ctx, OPT_URL, false, "no url begins with amqps://, so the certificates are not used");
	if (n_tls && !values[OPT_VERIFY_PEER].number)
		complain(ctx, OPT_VERIFY_PEER, false, "anybody on the way can read and change the messages");
}

amqp_table_t options_table(const struct qb_value *map, amqp_table_entry_t *entries)
{
	amqp_table_t table = {.num_entries = (int)map->n_items, .entries = entries};

	for (size_t i = 0; i < map->n_items; i++) {
		const struct qb_pair *pair = &map->items[i];
		amqp_field_value_t *value = &entries[i].value;

		entries[i].key = amqp_cstring_bytes(pair->name);
		if (pair->kind == QB_INT) {
			value->kind = AMQP_FIELD_KIND_I64;
			value->value.i64 = pair->number;
		} else if (pair->kind == QB_BOOL) {
			value->kind = AMQP_FIELD_KIND_BOOLEAN;
			value->value.boolean = pair->number != 0;
		} else {
			value->kind = AMQP_FIELD_KIND_UTF8;
			value->value.bytes = amqp_cstring_bytes(pair->text);
		}
	}
	return table;
}

const struct qb_pair *options_find(const struct qb_value *map, const char *name)
{
	for (size_t i = 0; i < map->n_items; i++)
		if (!strcmp(map->items[i].name, name))
			return &map->items[i];
	return NULL;
}
