/* SPDX-License-Identifier: MIT */
/* A list, and a store of used messages so that small ones cost no allocation. */
#include "inbox.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 64u
#define BLANKS_MAX 256u
#define BLANK_BYTES_MAX (64u * 1024) /* a message that grew beyond this is freed, not kept */

void inbox_init(struct inbox *inbox)
{
	*inbox = (struct inbox){.end = &inbox->first};
}

static void message_free(struct message *message)
{
	headers_done(&message->headers);
	text_done(&message->text);
	free(message);
}

void inbox_done(struct inbox *inbox)
{
	inbox_clear(inbox);
	while (inbox->blanks) {
		struct message *message = inbox->blanks;

		inbox->blanks = message->next;
		message_free(message);
	}
	free(inbox->lent);
	inbox_init(inbox);
}

struct message *inbox_blank_take(struct inbox *inbox)
{
	struct message *message = inbox->blanks;

	if (!message) {
		message = calloc(1, sizeof(*message));
		if (!message)
			abort();
		return message;
	}
	inbox->blanks = message->next;
	inbox->n_blanks--;
	message->next = NULL;
	return message;
}

void inbox_give(struct inbox *inbox, struct message *message)
{
	message->next = NULL;
	*inbox->end = message;
	inbox->end = &message->next;
	inbox->n++;
	inbox->n_bytes += message->text.len;
}

struct message *inbox_take(struct inbox *inbox)
{
	struct message *message = inbox->first;

	if (!message)
		return NULL;
	inbox->first = message->next;
	if (!inbox->first)
		inbox->end = &inbox->first;
	inbox->n--;
	inbox->n_bytes -= message->text.len;
	return message;
}

void inbox_drop(struct inbox *inbox, struct message *message)
{
	if (!message)
		return;
	if (inbox->n_blanks == BLANKS_MAX || message->text.capacity > BLANK_BYTES_MAX) {
		message_free(message);
		return;
	}
	message->text.len = 0;
	message->headers.n = 0;
	message->next = inbox->blanks;
	inbox->blanks = message;
	inbox->n_blanks++;
}

void inbox_clear(struct inbox *inbox)
{
	for (struct message *message; (message = inbox_take(inbox));)
		inbox_drop(inbox, message);
}

static struct qb_bytes range_lend(const struct message *message, struct range range)
{
	return (struct qb_bytes){.data = message->text.data ? message->text.data + range.at : "", .len = range.len};
}

static struct qb_message message_lend(
	const struct message *message, uint64_t lane, const char *queue, struct qb_header *rows)
{
	headers_lend(&message->headers, &message->text, rows);
	return (struct qb_message){
		.lane = lane,
		.receipt = (int64_t)message->tag,
		.timestamp_ms = message->timestamp_ms,
		.partition = -1,
		.deliveries = message->deliveries,
		.source = {.data = queue, .len = strlen(queue)},
		.exchange = range_lend(message, message->exchange),
		.routing_key = range_lend(message, message->routing_key),
		.body = range_lend(message, message->body),
		.headers = rows,
		.n_headers = message->headers.n,
	};
}

/* Takes up to BATCH_MAX messages that begin within n and bytes. */
static size_t batch_take(struct inbox *inbox, struct message **messages, size_t n, size_t bytes)
{
	size_t n_taken = 0, n_bytes = 0;

	while (n_taken < BATCH_MAX && n_taken < n && n_bytes < bytes && inbox->n) {
		messages[n_taken] = inbox_take(inbox);
		n_bytes += messages[n_taken++]->body.len;
	}
	return n_taken;
}

static void headers_reserve(struct inbox *inbox, struct message *const *messages, size_t n)
{
	size_t n_rows = 0;

	for (size_t i = 0; i < n; i++)
		n_rows += messages[i]->headers.n;
	if (n_rows <= inbox->n_lent)
		return;
	inbox->n_lent = n_rows * 2;
	inbox->lent = realloc(inbox->lent, inbox->n_lent * sizeof(*inbox->lent));
	if (!inbox->lent)
		abort();
}

size_t inbox_deliver(
	struct inbox *inbox, const struct qb_host *host, uint64_t lane, const char *queue, const struct qb_budget *budget)
{
	struct message *messages[BATCH_MAX];
	struct qb_message batch[BATCH_MAX];
	size_t n, n_all = 0, n_bytes = 0, n_rows;

	while (n_bytes < budget->bytes &&
		   (n = batch_take(inbox, messages, budget->messages - n_all, budget->bytes - n_bytes))) {
		headers_reserve(inbox, messages, n);
		n_rows = 0;
		for (size_t i = 0; i < n; i++) {
			batch[i] = message_lend(messages[i], lane, queue, inbox->lent + n_rows);
			n_rows += messages[i]->headers.n;
			n_bytes += messages[i]->body.len;
		}
		host->deliver(host->self, batch, n);
		for (size_t i = 0; i < n; i++)
			inbox_drop(inbox, messages[i]);
		n_all += n;
	}
	return n_all;
}
