/* SPDX-License-Identifier: MIT */
/* Reads "fault@count" and says when it is time. */
#include "script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {
	[SCRIPT_LOST] = "lost",
	[SCRIPT_FATAL] = "fatal",
	[SCRIPT_CLOSE] = "close",
	[SCRIPT_REVOKE] = "revoke",
	[SCRIPT_WEDGE] = "wedge",
};

static enum script_fault script_word(const char *text, size_t len)
{
	for (size_t i = SCRIPT_NONE + 1; i < sizeof(words) / sizeof(*words); i++)
		if (strlen(words[i]) == len && !memcmp(words[i], text, len))
			return (enum script_fault)i;
	return SCRIPT_NONE;
}

int script_add(struct script *script, const char *text)
{
	const char *at = strchr(text, '@');
	enum script_fault fault = at ? script_word(text, (size_t)(at - text)) : SCRIPT_NONE;
	char *end = NULL;

	if (fault == SCRIPT_NONE || at[1] < '0' || at[1] > '9')
		return -EINVAL;

	uint64_t count = strtoull(at + 1, &end, 10);

	if (*end)
		return -EINVAL;
	if (script->n_steps == SCRIPT_STEPS_MAX || (script->n_steps && count < script->steps[script->n_steps - 1].at))
		return -ERANGE;
	script->steps[script->n_steps++] = (struct script_step){.fault = fault, .at = count};
	return 0;
}

uint64_t script_room(const struct script *script, size_t step, uint64_t n_delivered)
{
	if (step >= script->n_steps)
		return UINT64_MAX;
	return script->steps[step].at > n_delivered ? script->steps[step].at - n_delivered : 0;
}

enum script_fault script_due(const struct script *script, size_t step, uint64_t n_delivered)
{
	return script_room(script, step, n_delivered) ? SCRIPT_NONE : script->steps[step].fault;
}
