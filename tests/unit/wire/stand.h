/* SPDX-License-Identifier: MIT */
/* A proxy without brokers and without processes: the real dispatcher with a plugin that makes messages, sessions over
 * socket pairs, and a clock that tests turn. One stand at a time. */
#ifndef QBUS_TESTS_WIRE_STAND_H
#define QBUS_TESTS_WIRE_STAND_H

#include "wire/frame.h"
#include "wire/proto.h"
#include "wire/session.h"

#include <stdatomic.h>

enum { STAND_PIPELINES = 2 }; /* "orders", which has the messages, and "mails", which has none */

struct stand {
	struct event_base *base;
	struct dispatcher *dispatcher;
	struct session_set *set;
	struct session_host host;
	struct pipeline_conf confs[STAND_PIPELINES];
	struct qb_source_conf sources[STAND_PIPELINES];
	struct event *news[STAND_PIPELINES];
	int64_t turned_us; /* how far the clock was turned forward */
	bool has_changed;
	struct session *being_broken; /* between break_begin and break_end; NULL: none */
	size_t n_begun;
	size_t n_closed, n_told;
	struct session_info closed; /* of the last session that closed; its strings are gone but these */
	char closed_reason[256];
};

/* What the plugin makes, and what it was told. Set before stand_open. */
extern size_t stand_n_messages, stand_body_bytes;
extern atomic_long stand_settled;     /* highest receipt that may be committed; -1: none */
extern atomic_bool stand_lane_closes; /* the lane of "orders" closes without warning */
uint8_t stand_body_byte(size_t at);   /* what stands there in every body */

void stand_open(struct stand *stand);
void stand_close(struct stand *stand); /* also proves that nothing is left behind */
/* One turn of the loop; waits at most a few milliseconds. */
void stand_turn(struct stand *stand);
void stand_until_closed(struct stand *stand, size_t n_closed);
struct pipeline_counts stand_counts(const struct stand *stand); /* of "orders" */

/* A worker's end of a connection. */
struct client {
	int fd;
	uint8_t *bytes; /* heard and not yet taken */
	size_t len;
	bool may_be_closed; /* the proxy may hang up before it is told anything */
};

struct heard {
	uint8_t word;
	size_t len;
	uint8_t *payload; /* NULL: the proxy closed the connection */
};

void client_open(struct stand *stand, struct client *client);
void client_close(struct client *client);
void client_send(struct client *client, const void *bytes, size_t len);
void client_say(struct client *client, uint8_t word, const void *payload, size_t len);
void client_hello(struct client *client, const char *pipeline, int credit);
void client_hello_streams(struct client *client, const char *pipeline); /* it reads streamed bodies; credit 1 */
void client_ack(struct client *client, uint64_t first_id, uint64_t count);
/* Turns the loop until the next frame is whole. The payload is valid until the next call for this client. */
struct heard client_hear(struct stand *stand, struct client *client);
/* The next frame is this word and its payload contains the text. */
void client_hears(struct stand *stand, struct client *client, uint8_t word, const char *text);

/* A DELIVER taken apart. */
struct delivered {
	uint32_t pipeline, attempt, n_rows;
	uint64_t first_id;
	int64_t remaining_ms, first_receipt, last_receipt;
	size_t body_bytes;
};
struct delivered delivered_of(const struct heard *heard);
struct delivered client_hears_delivered(struct stand *stand, struct client *client);

void client_attach(
	struct stand *stand, struct client *client, const char *pipeline, int credit); /* HELLO and WELCOME */
/* ERROR with this code and text, after any DELIVER, then the connection is closed. */
void client_hears_end(struct stand *stand, struct client *client, const char *code, const char *sentence);

#endif
