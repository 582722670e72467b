/* SPDX-License-Identifier: MIT */
/* Puts a message together from the frames of one channel: deliver, header, bodies. Sizes are judged at the header
 * frame, before a byte of the body is kept. */
#ifndef QBUS_AMQP_ASSEMBLE_H
#define QBUS_AMQP_ASSEMBLE_H

#include "inbox.h"

enum assemble_state { ASSEMBLE_IDLE, ASSEMBLE_HEADER, ASSEMBLE_BODY, ASSEMBLE_SKIP };

struct assemble {
	struct inbox *inbox;
	int64_t max_body;
	enum assemble_state state;
	struct message *message; /* NULL in IDLE */
	uint64_t last_tag;       /* tags of a channel ascend */
	bool is_redelivered;
	bool is_wary;      /* set by the owner: is the next message a stream's? */
	uint64_t n_wanted; /* body bytes that are still to come */
	uint64_t size;     /* of the body */
};

enum assemble_result {
	ASSEMBLE_MORE,     /* go on */
	ASSEMBLE_READY,    /* *ret_message is whole and the caller's */
	ASSEMBLE_OVERSIZE, /* *ret_message is the caller's: it has a tag and no body, the body was skipped */
	ASSEMBLE_PROTOCOL, /* the frames come in an order that cannot be; drop the connection */
	ASSEMBLE_MEMORY,   /* no memory for the body; drop the connection */
	ASSEMBLE_STREAM,   /* a stream sends this; drop the connection */
};

void assemble_init(struct assemble *assemble, struct inbox *inbox, int64_t max_body);

/* Forgets a message that is half there; the channel begins anew. */
void assemble_clear(struct assemble *assemble);

/* The tag of the message under way, 0: none is. */
uint64_t assemble_tag(const struct assemble *assemble);

/* Takes one frame: a basic.deliver, a header or a body. All that is needed is copied. */
enum assemble_result assemble_frame(struct assemble *assemble, const amqp_frame_t *frame, struct message **ret_message);

#endif
