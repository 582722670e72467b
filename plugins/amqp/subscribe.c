/* SPDX-License-Identifier: MIT */
/* Declare, consume, cancel, count. */
#include "subscribe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- streams ---- */

enum qb_result subscribe_refuse(struct consumer *consumer)
{
	snprintf(consumer->connection.reason, REASON_MAX,
		"queue %.255s is a stream: it hands nothing out again, so what is open at a stop or a crash would be lost; "
		"consume a classic or a quorum queue",
		consumer->options->queue);
	return QB_FATAL;
}

/* Only streams refuse a priority that is a number, and 0 is what a consumer has without. */
static amqp_table_t arguments_of(const struct options *options, amqp_table_entry_t *entries)
{
	amqp_table_t table = options_table(options->arguments, entries);

	if (!options_find(options->arguments, "x-priority"))
		entries[table.num_entries++] = (amqp_table_entry_t){
			.key = amqp_cstring_bytes("x-priority"), .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 0}};
	return table;
}

/* The broker cuts its sentence where the name is long, so the type at its end may be missing. */
static bool is_stream(const struct consumer *consumer)
{
	const struct qb_pair *priority = options_find(consumer->options->arguments, "x-priority");

	return (!priority || priority->kind == QB_INT) && strstr(consumer->connection.reason, "invalid arg 'x-priority'");
}

/* 3.9, the first with streams, looks at no argument. */
static bool is_silent_about_streams(const struct connection *connection)
{
	return connection->server_major == 3 && connection->server_minor == 9;
}

/* ---- the consumer ---- */

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
		amqp_cstring_bytes(consumer->tag), 0, 0, 0, arguments_of(options, entries));
	result = connection_judge(connection, "consuming from", ret_code);
	free(entries);
	if (result != QB_OK)
		consumer->tag[0] = '\0';
	if (result != QB_OK && is_stream(consumer)) {
		if (ret_code)
			*ret_code = 0;
		return subscribe_refuse(consumer);
	}
	consumer->assemble.is_wary = is_silent_about_streams(connection);
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
