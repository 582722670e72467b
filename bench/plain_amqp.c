/* SPDX-License-Identifier: MIT */
/* Reads a queue with rabbitmq-c as fast as it goes: a window of PREFETCH, one ack for every ACK_EVERY messages. */
#include "amqp_link.h"
#include "plain.h"

#include <stdio.h>
#include <sys/time.h>

enum { PREFETCH = 1000, ACK_EVERY = 100 };

static int subscribe(amqp_connection_state_t conn, const char *queue)
{
	amqp_basic_qos(conn, AMQP_LINK_CHANNEL, 0, PREFETCH, 0);
	if (amqp_link_check("set the prefetch", amqp_get_rpc_reply(conn)))
		return -1;
	amqp_basic_consume(conn, AMQP_LINK_CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
	return amqp_link_check("consume", amqp_get_rpc_reply(conn));
}

/* 0, or -1 after a sentence. *tag is the last one received, *n_open how many are not acked. */
static int consume(amqp_connection_state_t conn, struct tally *tally, uint64_t *tag, unsigned *n_open)
{
	struct timeval timeout = {.tv_usec = 100000};
	amqp_envelope_t envelope;

	amqp_maybe_release_buffers(conn);

	amqp_rpc_reply_t reply = amqp_consume_message(conn, &envelope, &timeout, 0);
	bool is_idle = reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && reply.library_error == AMQP_STATUS_TIMEOUT;

	if (!is_idle && amqp_link_check("consume", reply))
		return -1;
	if (!is_idle) {
		*tag = envelope.delivery_tag;
		(*n_open)++;
		if (tally->is_live)
			tally_add_live(tally, envelope.message.body.bytes, envelope.message.body.len);
		else
			tally_add(tally, 1);
		amqp_destroy_envelope(&envelope);
	}
	if (*n_open == 0 || (*n_open < ACK_EVERY && !is_idle))
		return 0;
	*n_open = 0;
	return amqp_basic_ack(conn, AMQP_LINK_CHANNEL, *tag, 1) == AMQP_STATUS_OK ? 0 : -1;
}

int plain_amqp(const struct plain_conf *conf, struct tally *tally)
{
	amqp_connection_state_t conn = amqp_link_open(conf->url);
	uint64_t tag = 0;
	unsigned n_open = 0;

	if (!conn)
		return -1;

	int err = subscribe(conn, conf->queue);

	while (!err && !plain_is_over())
		err = consume(conn, tally, &tag, &n_open);
	amqp_link_close(conn);
	return err;
}
