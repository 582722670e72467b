/* SPDX-License-Identifier: MIT */
/* Dead letters, as the contract wants to look at them (qbus/graveyard.h). */
#ifndef QBUS_AMQP_GRAVEYARD_H
#define QBUS_AMQP_GRAVEYARD_H

#include <qbus/graveyard.h>

int graveyard_open(const struct qb_grave_conf *conf, void **ret_yard, char ret_error[QB_GRAVE_ERROR]);
int graveyard_next(void *yard, struct qb_message *ret_letter, char ret_error[QB_GRAVE_ERROR]);
int graveyard_again(void *yard, const struct qb_outgoing *copy, const char *origin, char ret_error[QB_GRAVE_ERROR]);
int graveyard_remove(void *yard, char ret_error[QB_GRAVE_ERROR]);
int graveyard_close(void *yard, char ret_error[QB_GRAVE_ERROR]);

#endif
