/* SPDX-License-Identifier: MIT */
/* Asks the allocator. */
#include "host/memory.h"

#include <malloc.h>

/* Free memory that may stay with the process. */
enum { MEMORY_SLACK_BYTES = 16 * 1024 * 1024 };

int64_t memory_allocated(void)
{
	struct mallinfo2 info = mallinfo2();
	if (info.fordblks > MEMORY_SLACK_BYTES)
		malloc_trim(0);
	return (int64_t)(info.uordblks + info.hblkhd);
}
