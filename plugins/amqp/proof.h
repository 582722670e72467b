/* SPDX-License-Identifier: MIT */
/* What the broker has shown to have. It answers no ack, but it takes what a channel says in its order: an answer to a
 * question shows that the node we are connected to has taken every ack before the question. Now and then the queue is
 * asked for its length, which is worth knowing by itself, without waiting for the answer. The last word is the answer
 * to the cancel, which the queue itself gives behind the acks, a quorum queue by its leader.
 *
 * The length and the end of the connection are answered without the leader of a quorum queue: while that is silent, or
 * lost together with the node, acks that count as proven may still be lost, and their messages come again. That is so
 * between two answers to a cancel, and when there was no consumer any more to cancel, as after a drain. */
#ifndef QBUS_AMQP_PROOF_H
#define QBUS_AMQP_PROOF_H

#include <amqp.h>
#include <amqp_framing.h>
#include <stdbool.h>
#include <stdint.h>

struct consumer;

struct proof {
	uint64_t n_answered; /* deliveries that have their verdict, on this channel */
	uint64_t n_asked;    /* of these, those whose ack went out before the question */
	uint64_t n_proven;   /* never falls while the channel lives */
	bool is_asked;       /* and not answered yet */
	int64_t ask_us;
};

/* Asks the queue for its length when that is due. */
void proof_turn(struct consumer *consumer, int64_t now_us);
/* Its answer. */
void proof_answer(struct consumer *consumer, const amqp_queue_declare_ok_t *ok);
/* The broker has answered a question that nothing was sent behind: the cancel, or else the farewell. */
void proof_all(struct consumer *consumer);
/* The channel is gone: says how many acks are without proof, and begins anew. */
void proof_end(struct consumer *consumer);

#endif
