/* SPDX-License-Identifier: MIT */
/* Fills variables of the environment into a text. */
#include "host/conf_env.h"

#include <stdlib.h>
#include <string.h>

struct output {
	char *bytes; /* NULL: only count */
	size_t len;
};

static void output_add(struct output *output, const char *text, size_t len)
{
	if (output->bytes)
		memcpy(output->bytes + output->len, text, len);
	output->len += len;
}

static size_t name_length(const char *text)
{
	size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
	return text[0] >= '0' && text[0] <= '9' ? 0 : len;
}

/* One variable; text begins behind "${". Returns what follows the closing brace, NULL after a complaint. */
static const char *expand_one(struct conf_report *report, struct conf_at at, const char *text, struct output *output)
{
	size_t len = name_length(text);
	const char *end = strchr(text, '}');
	const char *fallback = strncmp(text + len, ":-", 2) == 0 ? text + len + 2 : NULL;
	if (!len || !end || (!fallback && text[len] != '}')) {
		conf_report_error(
			report, at, "bad variable \"${%.40s\" (write ${NAME} or ${NAME:-default}, and $${ for a plain ${)", text);
		return NULL;
	}
	char *name = conf_arena_copy(report->arena, text, len);
	const char *value = getenv(name);
	if (fallback && (!value || !*value))
		output_add(output, fallback, (size_t)(end - fallback));
	else if (value)
		output_add(output, value, strlen(value));
	else {
		conf_report_error(report, at, "the environment has no %s (write ${%s:-default} to allow that)", name, name);
		return NULL;
	}
	return end + 1;
}

static bool expand_into(struct conf_report *report, struct conf_at at, const char *text, struct output *output)
{
	while (*text) {
		const char *dollar = strstr(text, "${");
		if (!dollar) {
			output_add(output, text, strlen(text));
			break;
		}
		output_add(output, text, (size_t)(dollar - text));
		if (dollar > text && dollar[-1] == '$') { /* "$${": the first dollar is out already */
			output_add(output, "{", 1);
			text = dollar + 2;
			continue;
		}
		text = expand_one(report, at, dollar + 2, output);
		if (!text)
			return false;
	}
	return true;
}

const char *conf_env_expand(struct conf_report *report, struct conf_at at, const char *text)
{
	struct output output = {0};
	if (!strstr(text, "${"))
		return text;
	if (!expand_into(report, at, text, &output))
		return NULL;
	output.bytes = conf_arena_take(report->arena, output.len + 1);
	output.len = 0;
	expand_into(report, at, text, &output);
	return output.bytes;
}

void conf_env_each(struct conf_arena *arena, const char *text, void (*each)(void *ctx, const char *name), void *ctx)
{
	for (const char *at = text; (at = strstr(at, "${")); at += 2) {
		size_t len = name_length(at + 2);
		if (len && (at == text || at[-1] != '$'))
			each(ctx, conf_arena_copy(arena, at + 2, len));
	}
}
