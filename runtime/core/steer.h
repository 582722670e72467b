/* SPDX-License-Identifier: MIT */
/* What an operator may do to what the dispatcher holds: hold a pipeline back, pass over what cannot be read, call a
 * delivery off. Loop thread only; each says in the log what was done. */
#ifndef QBUS_CORE_STEER_H
#define QBUS_CORE_STEER_H

#include "core/dispatcher.h"

/* on: nothing of the pipeline is delivered any more and its lanes are shut; what workers hold they may finish. Said
 * twice it changes nothing. 0; -ENOENT: there is no such pipeline. */
int steer_hold(struct dispatcher *dispatcher, const char *pipeline, bool on);

/* A wedged lane goes on behind `receipt`: what it could not read, up to there, is given up, and the broker will be told
 * that it is settled. 0: the source is asked to, the log tells the outcome; -ENOENT: there is no such pipeline;
 * -ENODEV: it has no such lane; -ENOTSUP: its plugin cannot; -EBUSY: the lane is not wedged; -ERANGE: the receipt lies
 * before what cannot be read. */
int steer_skip(
	struct dispatcher *dispatcher, const char *pipeline, const char *source, int32_t partition, int64_t receipt);

/* The delivery with this id is past its deadline now; what follows is what follows any deadline. 0; -ENOENT: no worker
 * holds it; -EAGAIN: its handler has not begun, *ret_before is the id that its worker is at; -EALREADY: its handler is
 * past its deadline as it is. */
int steer_cancel(struct dispatcher *dispatcher, uint64_t id, int64_t now_us, uint64_t *ret_before);

#endif
