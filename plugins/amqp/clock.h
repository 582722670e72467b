/* SPDX-License-Identifier: MIT */
/* The one place that reads the clock. */
#ifndef QBUS_AMQP_CLOCK_H
#define QBUS_AMQP_CLOCK_H

#include <stdint.h>

/* Monotonic. */
int64_t clock_now_us(void);

#endif
