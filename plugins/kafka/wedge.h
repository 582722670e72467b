/* SPDX-License-Identifier: MIT */
/* Lanes that cannot be read: told at once and once a minute, never passed over. The client library goes on behind a
 * batch that it cannot read, so such a lane is held: nothing is taken from it, and now and then it is read again where
 * the trouble is. */
#ifndef KAFKA_WEDGE_H
#define KAFKA_WEDGE_H

#include <librdkafka/rdkafka.h>
#include <qbus/plugin.h>

#include "lanes.h"

struct consumer;

/* The lane's queue holds this error where its next message should be. */
void wedge_lane(
	struct consumer *consumer, struct lane *lane, rd_kafka_resp_err_t error, const char *text, int64_t now_us);
/* A broker's answer was not taken for its size, so none of the lanes gets anything that waits there. Told of a lane
 * when all that had come for it before has been taken. */
void wedge_source(struct consumer *consumer, const char *text, int64_t now_us);
/* The lane can be read again. Allowed for one that always could. */
void wedge_end(struct consumer *consumer, struct lane *lane);
/* Says what is still so, reads again what is due. */
void wedge_turn(struct consumer *consumer, int64_t now_us);

#endif
