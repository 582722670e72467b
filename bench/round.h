/* SPDX-License-Identifier: MIT */
/* One round: one consumer reads the messages from the beginning and is measured. 0, or -1 after a sentence on
 * stderr. */
#ifndef QBUS_BENCH_ROUND_H
#define QBUS_BENCH_ROUND_H

#include "run.h"

/* Before the first round: finds the programs, makes the private directory, lets SIGINT and SIGTERM end the
 * measuring. */
int round_prepare(struct run_conf *conf);
/* After the last. keep_log: something failed, what the processes wrote stays. */
void round_clean_up(const struct run_conf *conf, bool keep_log);

/* An AMQP queue is filled before; a topic must have been (run_load). round: a number not used before with this side. */
int round_measure(const struct run_conf *conf, enum side_id side, size_t round, struct measure_result *ret_result);

#endif
