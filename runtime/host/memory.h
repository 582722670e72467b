/* SPDX-License-Identifier: MIT */
/* What this process has allocated. Any thread. */
#ifndef QBUS_HOST_MEMORY_H
#define QBUS_HOST_MEMORY_H

#include <stdint.h>

/* Bytes in use, of all threads and libraries; 0: the allocator does not tell. Walks the allocator's lists: once a
 * second, not more. What it has freed and kept goes back to the system when it is much. */
int64_t memory_allocated(void);

#endif
