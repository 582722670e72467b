/* SPDX-License-Identifier: MIT */
/* Messages as they cross from a source's thread to the loop: a batch is one allocation that holds many.
 *
 * The source's thread copies each message once, in the form in which it will leave for a worker (its *row*; the codec
 * makes it). From then on nothing is copied: entries of the ledger and the sockets point into the batch, and the batch
 * goes when the last of them lets go. Batches are small (about 64 KiB), so that a message held for long pins little. */
#ifndef QBUS_CORE_MSG_H
#define QBUS_CORE_MSG_H

#include <qbus/plugin.h>

#include <stdint.h>

struct lane;

/* How a message becomes a row and back; handed down by the host, so that the core knows no wire format. Both are pure
 * and may run on any thread. */
struct msg_codec {
	size_t (*row_bound)(const struct qb_message *message);                   /* no row of it is longer */
	size_t (*row_write)(const struct qb_message *message, uint8_t *ret_row); /* its length */
	/* Finds the parts of a row again; they point into it. ret->headers holds at most *n_headers, which is set. Returns
	 * 0 or -EBADMSG. Fills source, routing_key, partition, receipt, timestamp_ms, key, body, headers. */
	int (*row_read)(
		const uint8_t *row, size_t len, struct qb_message *ret, struct qb_header *headers, size_t *n_headers);
};

struct msg_item {
	struct lane *lane;
	int64_t receipt;
	int64_t timestamp_ms;
	uint64_t key_hash; /* of the key, or of the routing key; 0: the message has neither */
	uint32_t row_offset, row_len;
	uint32_t body_len;
	uint32_t deliveries;
	uint32_t exchange_offset, exchange_len; /* behind the rows: a worker is not told of it, a dead letter is */
};

struct msg_batch {
	uint32_t n_refs; /* loop thread only */
	uint32_t n_items;
	size_t size; /* of the whole allocation */
	struct msg_item *items;
	uint8_t *rows;
	size_t *released; /* where the size is added when the batch goes */
};

enum { MSG_BATCH_BYTES = 64 * 1024 };

/* One reference, for the caller. n_bytes: of rows and exchanges. */
struct msg_batch *msg_batch_new(size_t n_items, size_t n_bytes);
void msg_batch_ref(struct msg_batch *batch);
void msg_batch_unref(struct msg_batch *batch);

/* A copy of the one message whose row this is, in a batch of its own with one reference. */
struct msg_batch *msg_batch_of_one(const struct msg_batch *batch, const uint8_t *row);

/* The exchange of the message whose row this is; of the batch's bytes. O(log n). */
struct qb_bytes msg_exchange(const struct msg_batch *batch, const uint8_t *row);

/* What a message is ordered by: the value of that header (may be NULL), else its key, else its routing key. */
struct qb_bytes msg_order_key(const struct qb_message *message, const char *header);
uint64_t msg_key_hash(struct qb_bytes key); /* never 0 for a key that exists */

#endif
