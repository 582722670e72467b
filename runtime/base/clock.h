/* SPDX-License-Identifier: MIT */
/* The clocks. Only the loop (once a turn) and a source's thread read them; everybody else gets the time as
 * argument. */
#ifndef QBUS_BASE_CLOCK_H
#define QBUS_BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NEVER INT64_MAX /* a moment that does not come */

int64_t clock_now_us(void);  /* monotonic, for everything that is waited for */
int64_t clock_boot_us(void); /* monotonic, and goes on while the machine sleeps; tells how long we stood still */
int64_t clock_unix_ms(void); /* wall clock, for logs and records only */

#endif
