/* SPDX-License-Identifier: MIT */
/* Counts answers to deliveries, and asks. */
#include "proof.h"

#include "consumer.h"

#define ASK_US 5000000

static uint64_t n_sent(const struct consumer *consumer)
{
	return consumer->proof.n_answered - consumer->tags.n_settled;
}

/* Not while there is no consumer: to ask for a queue that is deleted closes the channel. */
void proof_turn(struct consumer *consumer, int64_t now_us)
{
	struct proof *proof = &consumer->proof;
	amqp_queue_declare_t question = {
		.queue = amqp_cstring_bytes(consumer->options->queue),
		.passive = 1,
		.arguments = amqp_empty_table,
	};

	if (now_us < proof->ask_us || proof->is_asked || consumer->quiet.is_on || !consumer->tag[0])
		return;
	proof->ask_us = now_us + ASK_US;
	proof->n_asked = n_sent(consumer);
	proof->is_asked = connection_sent(&consumer->connection, "asking the queue at",
		amqp_send_method(consumer->connection.state, CONNECTION_CHANNEL, AMQP_QUEUE_DECLARE_METHOD, &question));
}

void proof_answer(struct consumer *consumer, const amqp_queue_declare_ok_t *ok)
{
	struct proof *proof = &consumer->proof;

	if (!proof->is_asked)
		return;
	proof->is_asked = false;
	if (proof->n_asked > proof->n_proven) /* an answer to the cancel, which was asked later, may have come before */
		proof->n_proven = proof->n_asked;
	consumer->host->measure(consumer->host->self, QB_LAG, consumer->lane, ok->message_count);
}

void proof_all(struct consumer *consumer)
{
	consumer->proof.n_proven = n_sent(consumer);
}

void proof_end(struct consumer *consumer)
{
	struct proof *proof = &consumer->proof;
	int64_t n_open = (int64_t)(proof->n_answered - proof->n_proven);

	if (n_open)
		consumer->host->measure(consumer->host->self, QB_UNPROVEN, 0, n_open);
	*proof = (struct proof){.ask_us = proof->ask_us};
}
