/* SPDX-License-Identifier: MIT */
/* Actions: each looks at its arguments, has it done, and puts the outcome into a sentence. */
#include "host/glance_act.h"

#include "admin/api.h"
#include "base/log.h"
#include "core/steer.h"
#include "host/glance_take.h"
#include "host/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { ACT_DONE = 200, ACT_BAD = 400, ACT_REFUSED = 409, ACT_NAME = 256, ACT_NUMBER = 24 };

static int act_answer(FILE *body, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int act_answer(FILE *body, int code, const char *format, ...)
{
	char sentence[512];
	va_list list;
	va_start(list, format);
	vsnprintf(sentence, sizeof sentence, format, list);
	va_end(list);
	api_write_outcome(body, code == ACT_DONE, sentence);
	return code;
}

/* A number that is not negative. */
static bool act_number(const char *query, const char *name, int64_t *ret_number)
{
	char text[ACT_NUMBER];
	return http_argument(query, name, text, sizeof text) && units_read_integer(text, ret_number) == 0 &&
	       *ret_number >= 0;
}

/* ---- pipelines ---- */

static int act_hold(const struct glance_origin *origin, const char *query, FILE *body, bool on)
{
	char name[ACT_NAME];
	if (!http_argument(query, "pipeline", name, sizeof name))
		return act_answer(body, ACT_BAD, "no pipeline is named");
	if (steer_hold(origin->runtime->dispatcher, name, on) < 0)
		return act_answer(body, ACT_REFUSED, "there is no pipeline %s", name);
	origin->runtime->wants_turn = true;
	return act_answer(body, ACT_DONE, on ? "%s is paused" : "%s goes on", name);
}

int glance_pause(void *origin, const char *query, FILE *body)
{
	return act_hold(origin, query, body, true);
}

int glance_resume(void *origin, const char *query, FILE *body)
{
	return act_hold(origin, query, body, false);
}

int glance_skip(void *ctx, const char *query, FILE *body)
{
	const struct glance_origin *origin = ctx;
	char name[ACT_NAME], source[ACT_NAME];
	int64_t partition, offset;
	if (!http_argument(query, "pipeline", name, sizeof name) ||
		!http_argument(query, "source", source, sizeof source) || !act_number(query, "partition", &partition) ||
		partition > INT32_MAX || !act_number(query, "offset", &offset))
		return act_answer(body, ACT_BAD, "pipeline, source, partition and offset are to be named");
	switch (steer_skip(origin->runtime->dispatcher, name, source, (int32_t)partition, offset)) {
	case 0:
		return act_answer(body, ACT_DONE, "%s is asked to go on behind %s[%" PRId64 "] offset %" PRId64, name, source,
			partition, offset);
	case -ENOENT:
		return act_answer(body, ACT_REFUSED, "there is no pipeline %s", name);
	case -ENODEV:
		return act_answer(body, ACT_REFUSED, "%s does not read %s[%" PRId64 "] here", name, source, partition);
	case -EBUSY:
		return act_answer(
			body, ACT_REFUSED, "%s[%" PRId64 "] can be read: nothing is to be skipped", source, partition);
	case -ERANGE:
		return act_answer(
			body, ACT_REFUSED, "offset %" PRId64 " was read; `pipelines` tells where the lane stands", offset);
	default:
		return act_answer(body, ACT_REFUSED, "the plugin of %s cannot skip", name);
	}
}

/* ---- deliveries and workers ---- */

int glance_cancel(void *ctx, const char *query, FILE *body)
{
	const struct glance_origin *origin = ctx;
	int64_t id;
	uint64_t before = 0;
	if (!act_number(query, "id", &id))
		return act_answer(body, ACT_BAD, "no id of a delivery is named");
	int status = steer_cancel(origin->runtime->dispatcher, (uint64_t)id, origin->runtime->now_us, &before);
	origin->runtime->wants_turn = true;
	if (status == -EAGAIN)
		return act_answer(
			body, ACT_REFUSED, "the handler of %" PRId64 " has not begun: its worker is at %" PRIu64, id, before);
	if (status == -EALREADY)
		return act_answer(body, ACT_REFUSED, "%" PRId64 " is past its deadline as it is", id);
	if (status < 0)
		return act_answer(body, ACT_REFUSED, "%" PRId64 " is not in flight", id);
	return act_answer(body, ACT_DONE, "%" PRId64 " is past its deadline now", id);
}

int glance_reset(void *ctx, const char *query, FILE *body)
{
	const struct glance_origin *origin = ctx;
	const struct runtime *runtime = origin->runtime;
	char name[ACT_NAME] = "";
	uint32_t n_workers = 0;
	size_t n_pools = 0;
	bool is_named = http_argument(query, "pool", name, sizeof name);
	for (size_t i = 0; i < runtime->n_pools; i++) {
		struct pool *pool = runtime->pools[i];
		if (is_named && strcmp(pool_name(pool), name) != 0)
			continue;
		log_say(LOG_WARN, NULL, "an operator resets the pool %s", pool_name(pool));
		n_workers += pool_reset(pool);
		n_pools++;
	}
	if (!n_pools)
		return act_answer(body, ACT_REFUSED, is_named ? "there is no pool %s" : "there is no pool%s", name);
	return act_answer(body, ACT_DONE, "%" PRIu32 " worker%s will be renewed, each when a successor is ready", n_workers,
		n_workers == 1 ? "" : "s");
}
