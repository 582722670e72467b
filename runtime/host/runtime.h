/* SPDX-License-Identifier: MIT */
/* The process that serves: builds everything from a configuration, turns the loop, and takes everything down again. */
#ifndef QBUS_HOST_RUNTIME_H
#define QBUS_HOST_RUNTIME_H

#include "host/conf.h"

/* Runs until a signal ended it; returns the exit code. Main thread. */
int runtime_serve(struct conf *conf);

#endif
