/* SPDX-License-Identifier: MIT */
/* The part of the contract that opens a pipeline's dead letters to an operator. No source runs where it is used: the
 * command line opens a graveyard in a process of its own, on one thread, and every call may block for some seconds.
 *
 * Each function that can fail returns a negative errno and leaves one sentence in ret_error. A letter is what `next`
 * showed last, until `next` is called again. A letter that is not removed is there as before when the graveyard is
 * closed, also when the process dies; how often it was looked at may be counted. */
#ifndef QBUS_GRAVEYARD_H
#define QBUS_GRAVEYARD_H

#include <qbus/plugin.h>

enum { QB_GRAVE_ERROR = 512 };

struct qb_grave_conf {
	const struct qb_source_conf *source; /* of the pipeline */
	const char *target;                  /* of its dead letters: topic or exchange; NULL: none */
	const char *queue;                   /* where the operator says they are; NULL: nowhere */
};

struct qb_graveyard {
	uint32_t size; /* sizeof(struct qb_graveyard) */
	/* Letters that come later are not shown. On 0 close will be called. */
	int (*open)(const struct qb_grave_conf *conf, void **ret_yard, char ret_error[QB_GRAVE_ERROR]);
	/* The next letter, part by part, oldest first in each; its headers include the runtime's, `receipt` tells its place
	 * and `partition` in which part. `deliveries`: how often it was looked at before, as far as the broker counts.
	 * 1; 0: that were all. */
	int (*next)(void *yard, struct qb_message *ret_letter, char ret_error[QB_GRAVE_ERROR]);
	/* Publishes a copy of the letter to where it came from and waits for the confirmation. origin: what x-qbus-origin
	 * says, ended with '\0'; NULL: nothing. target and routing_key of the copy are not used. */
	int (*again)(void *yard, const struct qb_outgoing *copy, const char *origin, char ret_error[QB_GRAVE_ERROR]);
	/* The letter goes, at close at the latest. */
	int (*remove)(void *yard, char ret_error[QB_GRAVE_ERROR]);
	/* How many letters had to stay although they were to be removed: older ones that stay stand before them. */
	int (*close)(void *yard, char ret_error[QB_GRAVE_ERROR]);
};

#endif
