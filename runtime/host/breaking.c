/* SPDX-License-Identifier: MIT */
/* Workers that hang are few: those whose calls are being broken stand in a list. */
#include "host/breaking.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "pool/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A worker whose calls are being broken. */
struct breaking_call {
	struct list link;
	struct session *session;
	struct unblock unblock;
	int64_t next_us; /* CLOCK_NEVER: nothing more is tried */
	char who[24];    /* as the session in the log */
};

struct breaking {
	const struct conf *conf;
	struct unblock_stages outside; /* for workers that we did not start */
	struct unblock_stages *pools;  /* parallel to conf->pools */
	struct list calls;
};

/* ---- what is possible ---- */

static bool can_break(const struct unblock_stages *stages)
{
	return stages->read_syscall && (stages->getfd || stages->ptrace);
}

static void breaking_say(const char *who, const struct unblock_stages *stages)
{
	char text[64];
	unblock_stages_describe(stages, text, sizeof text);
	if (can_break(stages))
		log_say(LOG_INFO, who, "calls that hang can be broken by=\"%s\"", text);
	else
		log_say(LOG_WARN, who,
			"calls that hang on a socket cannot be broken: pidfd_getfd and ptrace are refused by=\"%s\"", text);
}

static void breaking_probe(const struct conf_pool *pool, struct unblock_stages *ret_stages)
{
	struct process_user user;
	*ret_stages = (struct unblock_stages){0};
	if (!pool->user) {
		unblock_probe(NULL, ret_stages);
	} else if (process_user_find(pool->user, &user) == 0) {
		unblock_probe(&user, ret_stages);
		process_user_done(&user);
	}
	breaking_say(pool->name, ret_stages);
}

struct breaking *breaking_new(const struct conf *conf)
{
	struct breaking *breaking = alloc_zero(sizeof *breaking);
	breaking->conf = conf;
	list_init(&breaking->calls);
	breaking->pools = alloc_zero((conf->n_pools + 1) * sizeof *breaking->pools);
	unblock_probe(NULL, &breaking->outside);
	if (!conf->n_pools)
		breaking_say(NULL, &breaking->outside);
	for (size_t i = 0; i < conf->n_pools; i++)
		breaking_probe(&conf->pools[i], &breaking->pools[i]);
	return breaking;
}

void breaking_free(struct breaking *breaking)
{
	if (!breaking)
		return;
	free(breaking->pools);
	free(breaking);
}

/* Its index in the configuration; n_pools: it is none of these. */
static size_t breaking_pool(const struct breaking *breaking, const char *name)
{
	size_t i = 0;
	while (i < breaking->conf->n_pools && (!name || strcmp(breaking->conf->pools[i].name, name) != 0))
		i++;
	return i;
}

const struct unblock_stages *breaking_stages(const struct breaking *breaking, const char *pool)
{
	size_t i = breaking_pool(breaking, pool);
	return i < breaking->conf->n_pools ? &breaking->pools[i] : &breaking->outside;
}

bool breaking_is_worn(const struct breaking *breaking, const struct session_info *info)
{
	size_t i = breaking_pool(breaking, info->pool);
	int64_t most = i < breaking->conf->n_pools ? breaking->conf->pools[i].recycle_after_breaks : 0;
	return most && info->n_breaks >= most;
}

/* With this worker, now. A number may be another process's by now; who holds the session's other end is the worker. */
static struct unblock_stages breaking_find(const struct breaking *breaking, const struct session_info *info)
{
	struct unblock_stages stages = *breaking_stages(breaking, info->pool);
	if (info->pool)
		return stages;
	if (!unblock_is_peer(info->peer.pid, info->fd))
		return (struct unblock_stages){0};
	unblock_probe_worker(info->peer.pid, &breaking->outside, &stages);
	stages.signal = stages.signal && info->has_signals;
	return stages;
}

void breaking_greet(const struct breaking *breaking, const struct session *session)
{
	struct session_info info;
	char who[24];
	session_tell(session, &info);
	if (info.pool)
		return;
	snprintf(who, sizeof who, "worker %u", (unsigned)info.number);
	if (!unblock_is_peer(info.peer.pid, info.fd)) {
		log_say(LOG_WARN, who, "is not seen to hold its session's socket: it is neither signalled nor broken pid=%d",
			(int)info.peer.pid);
		return;
	}
	struct unblock_stages stages = breaking_find(breaking, &info);
	breaking_say(who, &stages);
}

void breaking_tell(const struct breaking *breaking, const struct session *session)
{
	struct session_info info;
	session_tell(session, &info);
	if (breaking_find(breaking, &info).signal)
		kill(info.peer.pid, SIGUSR1);
}

/* ---- begin and end ---- */

void breaking_begin(struct breaking *breaking, struct session *session, int64_t now_us)
{
	struct session_info info;
	session_tell(session, &info);
	struct unblock_stages stages = breaking_find(breaking, &info);
	struct breaking_call *call = alloc_zero(sizeof *call);
	call->session = session;
	call->next_us = now_us;
	snprintf(call->who, sizeof call->who, "worker %u", (unsigned)info.number);
	unblock_begin(&call->unblock, info.peer.pid, info.fd, &stages, now_us);
	list_add_tail(&breaking->calls, &call->link);
}

static void call_say_end(const struct breaking_call *call)
{
	char last[128];
	const struct unblock *unblock = &call->unblock;
	const char *why = unblock->why == UNBLOCK_GOING ? "over" : unblock_why_name(unblock->why);
	log_say(LOG_INFO, call->who, "is left alone why=%s looks=%u broken=%u last=\"%s\"", why, unblock->n_rounds,
		unblock->n_broken, unblock_describe(unblock, last, sizeof last));
}

void breaking_end(struct breaking *breaking, const struct session *session)
{
	list_each_safe(link, after, &breaking->calls)
	{
		struct breaking_call *call = list_item(link, struct breaking_call, link);
		if (call->session != session)
			continue;
		list_remove(&call->link);
		if (call->next_us != CLOCK_NEVER)
			call_say_end(call);
		unblock_end(&call->unblock);
		free(call);
	}
}

/* ---- steps ---- */

static void call_say_round(const struct breaking_call *call)
{
	char last[128];
	const struct unblock_round *round = &call->unblock.last;
	enum log_level level = round->did == UNBLOCK_SHUT || round->did == UNBLOCK_ENDED ? LOG_WARN : LOG_DEBUG;
	unblock_describe(&call->unblock, last, sizeof last);
	if (round->ended)
		log_say(level, call->who, "hangs in a call, which is broken: %s ended_pid=%d", last, (int)round->ended);
	else
		log_say(level, call->who, "hangs in a call, which is broken: %s", last);
}

static void call_step(struct breaking_call *call, int64_t now_us)
{
	struct unblock *unblock = &call->unblock;
	uint32_t n_rounds = unblock->n_rounds, n_broken = unblock->n_broken;
	call->next_us = unblock_step(unblock, now_us, false);
	if (unblock->n_broken != n_broken)
		session_broken(call->session);
	if (unblock->n_rounds != n_rounds || unblock->n_broken != n_broken)
		call_say_round(call);
	if (call->next_us == CLOCK_NEVER)
		call_say_end(call);
}

int64_t breaking_step(struct breaking *breaking, int64_t now_us)
{
	int64_t next_us = CLOCK_NEVER;
	list_each(link, &breaking->calls)
	{
		struct breaking_call *call = list_item(link, struct breaking_call, link);
		if (call->next_us <= now_us)
			call_step(call, now_us);
		next_us = call->next_us < next_us ? call->next_us : next_us;
	}
	return next_us;
}
