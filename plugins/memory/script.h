/* SPDX-License-Identifier: MIT */
/* The faults that a memory source plays, each after a given number of deliveries. */
#ifndef QBUS_MEMORY_SCRIPT_H
#define QBUS_MEMORY_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#define SCRIPT_STEPS_MAX 64u

enum script_fault {
	SCRIPT_NONE,
	SCRIPT_LOST,   /* poll says QB_LOST */
	SCRIPT_FATAL,  /* poll says QB_FATAL */
	SCRIPT_CLOSE,  /* the lane whose turn it is closes without warning and opens again */
	SCRIPT_REVOKE, /* that lane is given up in peace and opens again */
	SCRIPT_WEDGE,  /* that lane cannot be read at its next receipt until it is skipped */
};

struct script_step {
	enum script_fault fault;
	uint64_t at; /* deliveries before it happens */
};

struct script {
	struct script_step steps[SCRIPT_STEPS_MAX];
	size_t n_steps;
};

/* Appends one step, written "lost@1000". Steps ascend. -EINVAL: not a step. -ERANGE: too many, or not ascending. */
int script_add(struct script *script, const char *text);

/* Deliveries that may be made before the step with that index happens; UINT64_MAX: no such step. */
uint64_t script_room(const struct script *script, size_t step, uint64_t n_delivered);

/* What happens at this moment, SCRIPT_NONE: nothing. */
enum script_fault script_due(const struct script *script, size_t step, uint64_t n_delivered);

#endif
