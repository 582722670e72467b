/* SPDX-License-Identifier: MIT */
/* One batch of messages on their way out: views into the client library's messages, which live until batch_release.
 * Nothing is allocated for a message. */
#ifndef KAFKA_BATCH_H
#define KAFKA_BATCH_H

#include "lanes.h"

#define BATCH_MESSAGES 512
#define BATCH_BYTES (256 * 1024)

struct batch {
	size_t n;
	struct qb_message messages[BATCH_MESSAGES];
	size_t first_header[BATCH_MESSAGES];
	rd_kafka_message_t *taken[BATCH_MESSAGES];
	struct qb_header *headers; /* of all messages */
	size_t n_headers, n_headers_room;
	/* A lane from which so much was taken may have fetchers asleep behind it; 0: this library's fetchers wake
	 * themselves. */
	size_t wake_bytes, wake_messages;
	bool wants_wake;
	size_t largest; /* of all messages taken since it was read last, with their keys */
	bool has_ends;  /* lanes have told where they end */
};

/* What is no message on the queue of a lane. */
typedef void batch_error(void *ctx, struct lane *lane, rd_kafka_resp_err_t error, const char *text);

/* Fills an empty batch from the ready lanes, the messages of a lane side by side. */
void batch_gather(
	struct batch *batch, struct lanes *lanes, const struct qb_budget *budget, batch_error *error, void *ctx);
void batch_release(struct batch *batch);
void batch_done(struct batch *batch);

#endif
