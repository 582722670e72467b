/* SPDX-License-Identifier: MIT */
/* Makes the order records. Everything in a record follows from its id, so a reader can check what it got. */
#include "order.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const items[] = {"teapot", "lamp", "bicycle", "notebook", "kettle", "umbrella", "chair", "radio"};
static const char *const cities[] = {"Lisbon", "Oslo", "Graz", "Turin", "Leeds", "Ghent", "Porto", "Malmo"};

void order_write(char *text, size_t size, uint64_t id, uint64_t customer)
{
	static const char tail[] = "\"}";
	unsigned mix = (unsigned)((id * 2654435761u) >> 7);
	unsigned quantity = 1 + mix % 4;
	unsigned cents = 499 + mix % 20000;
	int head = snprintf(text, size + 1,
		"{\"id\":%" PRIu64 ",\"customer\":\"customer-%" PRIu64 "\",\"item\":\"%s\",\"quantity\":%u,"
		"\"amount_cents\":%u,\"currency\":\"EUR\",\"city\":\"%s\",\"note\":\"",
		id, customer, items[mix % 8], quantity, quantity * cents, cities[(mix >> 3) % 8]);

	memset(text + head, '.', size - (size_t)head - (sizeof(tail) - 1));
	memcpy(text + size - (sizeof(tail) - 1), tail, sizeof(tail));
}
