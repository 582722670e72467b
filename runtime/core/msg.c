/* SPDX-License-Identifier: MIT */
/* Batches of messages. */
#include "core/msg.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct msg_batch *msg_batch_new(size_t n_items, size_t n_bytes)
{
	size_t items_at = sizeof(struct msg_batch);
	size_t rows_at = items_at + n_items * sizeof(struct msg_item);
	struct msg_batch *batch = alloc_new(rows_at + n_bytes);
	*batch = (struct msg_batch){.n_refs = 1, .n_items = (uint32_t)n_items, .size = rows_at + n_bytes};
	batch->items = (struct msg_item *)(void *)((uint8_t *)batch + items_at);
	batch->rows = (uint8_t *)batch + rows_at;
	return batch;
}

void msg_batch_ref(struct msg_batch *batch)
{
	batch->n_refs++;
}

void msg_batch_unref(struct msg_batch *batch)
{
	assert(batch->n_refs > 0);
	if (--batch->n_refs)
		return;
	if (batch->released)
		*batch->released += batch->size;
	free(batch);
}

static const struct msg_item *msg_item_of(const struct msg_batch *batch, const uint8_t *row)
{
	size_t low = 0, high = batch->n_items, offset = (size_t)(row - batch->rows);
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		if (batch->items[middle].row_offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return &batch->items[low];
}

struct qb_bytes msg_exchange(const struct msg_batch *batch, const uint8_t *row)
{
	const struct msg_item *item = msg_item_of(batch, row);
	return (struct qb_bytes){batch->rows + item->exchange_offset, item->exchange_len};
}

struct msg_batch *msg_batch_of_one(const struct msg_batch *batch, const uint8_t *row)
{
	const struct msg_item *item = msg_item_of(batch, row);
	struct msg_batch *own = msg_batch_new(1, item->row_len + item->exchange_len);
	own->items[0] = *item;
	own->items[0].row_offset = 0;
	own->items[0].exchange_offset = item->row_len;
	own->released = batch->released;
	memcpy(own->rows, row, item->row_len);
	memcpy(own->rows + item->row_len, batch->rows + item->exchange_offset, item->exchange_len);
	return own;
}

struct qb_bytes msg_order_key(const struct qb_message *message, const char *header)
{
	size_t len = header ? strlen(header) : 0;
	for (size_t i = 0; header && i < message->n_headers; i++) {
		const struct qb_header *one = &message->headers[i];
		if (one->name.len == len && memcmp(one->name.data, header, len) == 0 && one->value.data)
			return one->value;
	}
	return message->key.data ? message->key : message->routing_key;
}

/* FNV-1a with a final mix (Fowler, Noll, Vo; the mix is the last step of MurmurHash3). Keys come from the broker's own
 * producers; a collision only makes two keys wait for each other. */
uint64_t msg_key_hash(struct qb_bytes key)
{
	if (!key.data)
		return 0;
	const uint8_t *bytes = key.data;
	uint64_t hash = 0xcbf29ce484222325u;
	for (size_t i = 0; i < key.len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdu;
	hash ^= hash >> 33;
	return hash ? hash : 1;
}
