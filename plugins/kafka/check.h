/* SPDX-License-Identifier: MIT */
/* Judges the configuration of a source without touching the network. */
#ifndef KAFKA_CHECK_H
#define KAFKA_CHECK_H

#include <qbus/plugin.h>

/* As `check` of the contract. */
void check_run(const struct qb_source_conf *conf, qb_complain *complain, void *ctx);

#endif
