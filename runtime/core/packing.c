/* SPDX-License-Identifier: MIT */
/* Packs what a plugin delivers into a batch. */
#include "core/packing.h"

#include <string.h>

/* A batch while it is filled: rows from the front, exchanges behind where the last row can end. */
struct packing {
	struct msg_batch *batch;
	uint32_t n_rows, rows_end;
	uint32_t exchange, exchanges_end; /* of the message at hand */
};

/* Most messages of a queue come from one exchange, which is written down once. */
static size_t packing_exchange_len(const struct qb_message *messages, size_t i)
{
	const struct qb_bytes *exchange = &messages[i].exchange, *before = i ? &messages[i - 1].exchange : NULL;
	bool is_known = before && before->len == exchange->len &&
	                (!exchange->len || memcmp(before->data, exchange->data, exchange->len) == 0);
	return is_known ? 0 : exchange->len;
}

static void packing_exchange(struct packing *packing, const struct qb_message *messages, size_t i)
{
	size_t len = packing_exchange_len(messages, i);
	if (!len)
		return;
	memcpy(packing->batch->rows + packing->exchanges_end, messages[i].exchange.data, len);
	packing->exchange = packing->exchanges_end;
	packing->exchanges_end += (uint32_t)len;
}

static void packing_row(
	const struct source *source, const struct qb_message *message, struct lane *lane, struct packing *packing)
{
	struct qb_bytes key = msg_order_key(message, source->ordering_header);
	struct msg_item *item = &packing->batch->items[packing->n_rows++];
	*item = (struct msg_item){
		.lane = lane,
		.receipt = message->receipt,
		.timestamp_ms = message->timestamp_ms,
		.key_hash = msg_key_hash(key),
		.row_offset = packing->rows_end,
		.body_len = (uint32_t)message->body.len,
		.deliveries = message->deliveries,
		.exchange_offset = packing->exchange,
		.exchange_len = (uint32_t)message->exchange.len,
	};
	item->row_len = (uint32_t)source->codec->row_write(message, packing->batch->rows + packing->rows_end);
	packing->rows_end += item->row_len;
}

/* How many of the messages fill one batch, at least one, and how many bytes their rows and their exchanges can take. */
static size_t packing_measure(const struct source *source, const struct qb_message *messages, size_t n,
	size_t *ret_rows_len, size_t *ret_exchanges_len)
{
	size_t count = 0, rows_len = 0, exchanges_len = 0;
	while (count < n) {
		size_t row_len = source->codec->row_bound(&messages[count]);
		size_t exchange_len = packing_exchange_len(messages, count);
		size_t whole = (count + 1) * sizeof(struct msg_item) + rows_len + row_len + exchanges_len + exchange_len;
		if (count && whole > MSG_BATCH_BYTES)
			break;
		rows_len += row_len;
		exchanges_len += exchange_len;
		count++;
	}
	*ret_rows_len = rows_len;
	*ret_exchanges_len = exchanges_len;
	return count;
}

size_t packing_fill(struct source *source, const struct qb_message *messages, size_t n, struct msg_batch **ret)
{
	size_t rows_len, exchanges_len, count = packing_measure(source, messages, n, &rows_len, &exchanges_len);
	struct packing packing = {
		.batch = msg_batch_new(count, rows_len + exchanges_len), .exchanges_end = (uint32_t)rows_len};
	struct source_lane known = {0};
	for (size_t i = 0; i < count; i++) {
		packing_exchange(&packing, messages, i);
		if (known.number != messages[i].lane) {
			struct source_lane *found = source_find_lane(source, messages[i].lane);
			known = found ? *found : (struct source_lane){0};
		}
		if (known.lane) /* else of a lane that the plugin has closed itself */
			packing_row(source, &messages[i], known.lane, &packing);
	}
	packing.batch->n_items = packing.n_rows;
	*ret = packing.batch;
	return count;
}
