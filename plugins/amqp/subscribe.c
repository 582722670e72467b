/* SPDX-License-Identifier: MIT */
/* Declare, consume, cancel, count. */
#include "subscribe.h"

#include <stdio.h>
#include <stdlib.h>

static amqp_table_entry_t *entries_new(const struct qb_value *map)
{
	amqp_table_entry_t *entries = calloc(map->n_items + 1, sizeof(*entries));

	if (!entries)
		abort();
	return entries;
}

enum qb_result subscribe_declare(struct consumer *consumer)
{
	const struct options *options = consumer->options;
	amqp_table_entry_t *entries = entries_new(options->declare_arguments);

	amqp_queue_declare(consumer->connection.state, CONNECTION_CHANNEL, amqp_cstring_bytes(options->queue), 0,
		options->durable, options->exclusive, options->auto_delete, options_table(options->declare_arguments, entries));
	free(entries);
	return connection_judge(&consumer->connection, "declaring the queue at", NULL);
}

/* A tag that was used before wedges quorum queues, so each consumer has a new one. */
enum qb_result subscribe_begin(struct consumer *consumer, int prefetch, uint16_t *ret_code)
{
	const struct options *options = consumer->options;
	struct connection *connection = &consumer->connection;
	enum qb_result result;

	amqp_basic_qos(connection->state, CONNECTION_CHANNEL, 0, (uint16_t)prefetch, 0);
	result = connection_judge(connection, "prefetch at", ret_code);
	if (result != QB_OK)
		return result;

	amqp_table_entry_t *entries = entries_new(options->arguments);

	snprintf(consumer->tag, sizeof(consumer->tag), "qbus-%u", ++consumer->n_tags);
	amqp_basic_consume(connection->state, CONNECTION_CHANNEL, amqp_cstring_bytes(options->queue),
		amqp_cstring_bytes(consumer->tag), 0, 0, 0, options_table(options->arguments, entries));
	result = connection_judge(connection, "consuming from", ret_code);
	free(entries);
	if (result != QB_OK)
		consumer->tag[0] = '\0';
	consumer->prefetch = prefetch;
	consumer->before = consumer->assemble.last_tag;
	return result;
}

enum qb_result subscribe_end(struct consumer *consumer, const char *tag, uint16_t *ret_code)
{
	amqp_basic_cancel(consumer->connection.state, CONNECTION_CHANNEL, amqp_cstring_bytes(tag));
	return connection_judge(&consumer->connection, "cancelling at", ret_code);
}

enum qb_result subscribe_count(struct consumer *consumer, uint32_t *ret_n, uint16_t *ret_code)
{
	const amqp_queue_declare_ok_t *ok = amqp_queue_declare(consumer->connection.state, CONNECTION_CHANNEL,
		amqp_cstring_bytes(consumer->options->queue), 1, 0, 0, 0, amqp_empty_table);
	enum qb_result result = connection_judge(&consumer->connection, "asking the queue at", ret_code);

	if (result == QB_OK)
		*ret_n = ok->message_count;
	return result;
}
