/* SPDX-License-Identifier: MIT */
/* The bodies lie in slots that are filled with dots once; only the head of a slot is written for each message. */
#include "generator.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 32u /* "partition:receipt" is never longer */
#define BATCH_BYTES (1u << 20)

void generator_init(struct generator *generator, size_t body_bytes, int64_t n_keys, size_t n_headers)
{
	memset(generator, 0, sizeof(*generator));
	generator->body_bytes = body_bytes;
	generator->slot_bytes = body_bytes > HEAD_BYTES ? body_bytes : HEAD_BYTES;
	generator->n_max = BATCH_BYTES / generator->slot_bytes;
	if (generator->n_max < 1)
		generator->n_max = 1;
	if (generator->n_max > GENERATOR_BATCH_MAX)
		generator->n_max = GENERATOR_BATCH_MAX;
	generator->bodies = malloc(generator->n_max * generator->slot_bytes);
	if (!generator->bodies)
		abort();
	memset(generator->bodies, '.', generator->n_max * generator->slot_bytes);
	generator->n_keys = n_keys;
	generator->n_headers = n_headers;
	for (size_t i = 0; i < n_headers; i++) {
		size_t len = (size_t)snprintf(generator->header_names[i], sizeof(*generator->header_names), "x-header-%zu", i);

		generator->headers[i].name = (struct qb_bytes){.data = generator->header_names[i], .len = len};
		generator->headers[i].value = (struct qb_bytes){.data = "value", .len = 5};
	}
}

void generator_done(struct generator *generator)
{
	free(generator->bodies);
	generator->bodies = NULL;
}

void generator_clear(struct generator *generator)
{
	generator->n = 0;
	generator->n_bytes = 0;
}

static struct qb_bytes generator_body(struct generator *generator, int partition, int64_t receipt)
{
	char *body = generator->bodies + generator->n * generator->slot_bytes;
	char head[HEAD_BYTES + 1];
	size_t len = (size_t)snprintf(head, sizeof(head), "%d:%" PRId64, partition, receipt);

	memset(body, '.', HEAD_BYTES);
	memcpy(body, head, len);
	return (struct qb_bytes){.data = body, .len = len > generator->body_bytes ? len : generator->body_bytes};
}

static struct qb_bytes generator_key(struct generator *generator, int partition, int64_t receipt)
{
	char *key = generator->keys[generator->n];

	if (!generator->n_keys)
		return (struct qb_bytes){0};

	int len = snprintf(key, sizeof(*generator->keys), "%d/%" PRId64, partition, receipt % generator->n_keys);

	return (struct qb_bytes){.data = key, .len = (size_t)len};
}

void generator_add(
	struct generator *generator, uint64_t lane, int partition, int64_t receipt, const char *source, int64_t now_ms)
{
	assert(generator->n < generator->n_max);

	struct qb_message *message = &generator->batch[generator->n];

	*message = (struct qb_message){
		.lane = lane,
		.receipt = receipt,
		.timestamp_ms = now_ms,
		.partition = partition,
		.source = {.data = source, .len = strlen(source)},
		.key = generator_key(generator, partition, receipt),
		.body = generator_body(generator, partition, receipt),
		.headers = generator->headers,
		.n_headers = generator->n_headers,
	};
	generator->n_bytes += message->body.len;
	generator->n++;
}
