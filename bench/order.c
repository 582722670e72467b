/* SPDX-License-Identifier: MIT */
/* Makes the order records. All but the moment in a record follows from its id, so a reader can check what
 * it got. */
#include "order.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const items[] = {"teapot", "lamp", "bicycle", "notebook", "kettle", "umbrella", "chair", "radio"};
static const char *const cities[] = {"Lisbon", "Oslo", "Graz", "Turin", "Leeds", "Ghent", "Porto", "Malmo"};

void order_write(char *text, size_t size, uint64_t id, uint64_t customer, int64_t due_ns)
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
	if (due_ns)
		snprintf(text + size - ORDER_DUE_FROM_END, ORDER_DUE_DIGITS + 1, "%0*" PRId64, ORDER_DUE_DIGITS, due_ns);
	memcpy(text + size - (sizeof(tail) - 1), tail, sizeof(tail));
}

int64_t order_due_ns(const char *text, size_t size)
{
	int64_t due_ns = 0;

	for (size_t i = 0; size >= ORDER_MIN_SIZE && i < ORDER_DUE_DIGITS; i++) {
		char digit = text[size - ORDER_DUE_FROM_END + i];

		if (digit < '0' || digit > '9')
			return 0;
		due_ns = due_ns * 10 + (digit - '0');
	}
	return due_ns;
}
