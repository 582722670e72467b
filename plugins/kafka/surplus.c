/* SPDX-License-Identifier: MIT */
/* What was taken from a lane's queue and did not fit into the batch. */
#include "surplus.h"

#include <stdlib.h>
#include <string.h>

static size_t bytes_of(rd_kafka_message_t *const *messages, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += messages[i]->len + messages[i]->key_len;
	return bytes;
}

size_t surplus_take(struct surplus *surplus, rd_kafka_message_t **ret_messages, size_t max)
{
	size_t left = surplus->n - surplus->at, n = left < max ? left : max;

	memcpy(ret_messages, surplus->messages + surplus->at, n * sizeof(*ret_messages));
	surplus->at += n;
	surplus->bytes -= bytes_of(ret_messages, n);
	return n;
}

void surplus_put(struct surplus *surplus, rd_kafka_message_t *const *messages, size_t n)
{
	size_t left = surplus->n - surplus->at;
	rd_kafka_message_t **all = malloc((n + left) * sizeof(rd_kafka_message_t *));

	if (!all)
		abort();
	memcpy(all, messages, n * sizeof(*all));
	if (left)
		memcpy(all + n, surplus->messages + surplus->at, left * sizeof(*all));
	free(surplus->messages);
	*surplus = (struct surplus){.messages = all, .n = n + left, .bytes = surplus->bytes + bytes_of(messages, n)};
}

void surplus_drop(struct surplus *surplus)
{
	for (; surplus->at < surplus->n; surplus->at++)
		rd_kafka_message_destroy(surplus->messages[surplus->at]);
	free(surplus->messages);
	*surplus = (struct surplus){0};
}
