/* SPDX-License-Identifier: MIT */
/* Makes the messages of the memory broker: a batch of them at a time, each body telling its own place. */
#ifndef QBUS_MEMORY_GENERATOR_H
#define QBUS_MEMORY_GENERATOR_H

#include <qbus/plugin.h>

#define GENERATOR_BATCH_MAX 256u
#define GENERATOR_HEADERS_MAX 16

struct generator {
	struct qb_message batch[GENERATOR_BATCH_MAX];
	char keys[GENERATOR_BATCH_MAX][32];
	struct qb_header headers[GENERATOR_HEADERS_MAX];
	char header_names[GENERATOR_HEADERS_MAX][16];
	char *bodies;
	size_t body_bytes;
	size_t slot_bytes; /* a body's share of `bodies` */
	size_t n_max;      /* messages that fit a batch */
	size_t n;          /* messages in the batch */
	size_t n_bytes;    /* their bodies together */
	int64_t n_keys;
	size_t n_headers;
};

/* keys: distinct keys a lane, 0: messages have none. */
void generator_init(struct generator *generator, size_t body_bytes, int64_t n_keys, size_t n_headers);
void generator_done(struct generator *generator);

/* Empties the batch. */
void generator_clear(struct generator *generator);

/* Appends the message (partition, receipt) of that lane; the body reads "partition:receipt", filled up with dots. The
 * batch must have room: n < n_max. `source` must outlive the batch. */
void generator_add(
	struct generator *generator, uint64_t lane, int partition, int64_t receipt, const char *source, int64_t now_ms);

#endif
