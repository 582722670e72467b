/* SPDX-License-Identifier: MIT */
/* The one place that reads the clocks. */
#ifndef KAFKA_CLOCK_H
#define KAFKA_CLOCK_H

#include <stdint.h>

/* Monotonic. */
int64_t clock_now_us(void);
/* The same, and it goes on while the machine sleeps. */
int64_t clock_boot_us(void);
/* The time of day, which may be set. */
int64_t clock_wall_us(void);

#endif
