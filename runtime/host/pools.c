/* SPDX-License-Identifier: MIT */
/* The workers that are ours: builds their pools, and tells pools and sessions of each other. */
#include "host/runtime_inside.h"

#include "base/alloc.h"
#include "base/log.h"
#include "pool/process.h"
#include "pool/strays.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct pool *pools_find(const struct runtime *runtime, pid_t pid, uint32_t *ret_number)
{
	for (size_t i = 0; i < runtime->n_pools; i++)
		if ((*ret_number = pool_find(runtime->pools[i], pid)))
			return runtime->pools[i];
	return NULL;
}

/* ---- from sessions to pools ---- */

/* What the sessions of one process group have beside one of them. */
struct siblings {
	const struct session *session;
	pid_t group;
	bool has_other;
};

static void pools_compare_session(void *ctx, struct session *session)
{
	struct siblings *siblings = ctx;
	struct session_info info;
	session_tell(session, &info);
	siblings->has_other |= session != siblings->session && info.pool && getpgid(info.peer.pid) == siblings->group;
}

bool pools_has_other_session(const struct runtime *runtime, const struct session *session)
{
	struct session_info info;
	session_tell(session, &info);
	struct siblings siblings = {.session = session, .group = getpgid(info.peer.pid)};
	session_set_each(runtime->sessions, pools_compare_session, &siblings);
	return siblings.has_other;
}

static void pools_report_session(void *ctx, struct session *session)
{
	const struct runtime *runtime = ctx;
	struct session_info info;
	uint32_t number;
	session_tell(session, &info);
	struct pool *pool = info.pool ? pools_find(runtime, info.peer.pid, &number) : NULL;
	if (!pool)
		return;
	pool_worker_report(pool, number, info.n_settled, info.n_held > 0);
	if (breaking_is_worn(runtime->breaking, &info))
		pool_worker_renew(pool, number, POOL_EXIT_BREAKS, "it has its recycle_after_breaks");
}

/* Neither max_jobs nor idle_ttl nor recycle_after_breaks need be exact, and they cost nothing while messages flow. */
void pools_report(struct runtime *runtime)
{
	session_set_each(runtime->sessions, pools_report_session, runtime);
}

void pools_worker_grown(void *ctx, const struct session *session)
{
	struct session_info info;
	uint32_t number;
	session_tell(session, &info);
	struct pool *pool = info.pool ? pools_find(ctx, info.peer.pid, &number) : NULL;
	if (pool)
		pool_worker_has_grown(pool, number);
}

/* ---- from pools to sessions ---- */

/* Sessions of the process group that a worker leads. */
struct address {
	pid_t group;
	const char *reason; /* why it is to leave; NULL: it takes too much memory */
	bool is_reached;
};

static void pools_tell_session(void *ctx, struct session *session)
{
	struct address *address = ctx;
	struct session_info info;
	session_tell(session, &info);
	if (!info.pool || info.group != address->group)
		return;
	if (address->reason)
		address->is_reached |= session_retire(session, address->reason);
	else
		session_swollen(session);
}

static bool pools_worker_retire(void *ctx, uint32_t number, pid_t pid, const char *reason)
{
	struct runtime *runtime = ctx;
	struct address address = {.group = pid, .reason = reason};
	(void)number;
	session_set_each(runtime->sessions, pools_tell_session, &address);
	runtime->wants_turn = true;
	return address.is_reached;
}

static void pools_worker_swollen(void *ctx, uint32_t number, pid_t pid)
{
	struct runtime *runtime = ctx;
	struct address address = {.group = pid}; /* which may have ended by now */
	(void)number;
	session_set_each(runtime->sessions, pools_tell_session, &address);
	runtime->wants_turn = true;
}

static bool pools_worker_exited(void *ctx, uint32_t number, pid_t pid, int status)
{
	struct runtime *runtime = ctx;
	char how[32];
	(void)number;
	runtime->wants_turn = true;
	return session_set_exited(runtime->sessions, pid, process_describe(status, how, sizeof how));
}

static void pools_stopped(void *ctx)
{
	struct runtime *runtime = ctx;
	runtime->wants_turn = true;
}

/* ---- building ---- */

static const char **pools_argv(const struct conf_pool *conf)
{
	const char **argv = alloc_zero((conf->n_command + 1) * sizeof *argv);
	for (size_t i = 0; i < conf->n_command; i++)
		argv[i] = conf->command[i].text;
	return argv;
}

static bool pools_build_one(struct runtime *runtime, const struct conf_pool *conf, const char *socket)
{
	static const struct pool_ops ops = {
		.exited = pools_worker_exited,
		.retire = pools_worker_retire,
		.swollen = pools_worker_swollen,
		.stopped = pools_stopped,
	};
	const char **argv = pools_argv(conf);
	char leak_check[24];
	struct pool_variable *environment = alloc_new((conf->n_environment + 1) * sizeof *environment);
	size_t n_environment = conf->n_environment;
	for (size_t i = 0; i < conf->n_environment; i++)
		environment[i] = (struct pool_variable){conf->environment[i].name, conf->environment[i].text};
	snprintf(leak_check, sizeof leak_check, "%" PRId64, conf->leak_check);
	if (conf->leak_check)
		environment[n_environment++] = (struct pool_variable){"QBUS_LEAK_CHECK", leak_check};
	struct pool_conf pool = {
		.name = conf->name,
		.socket = socket,
		.argv = argv,
		.num_workers = (uint32_t)conf->num_workers,
		.inherited = (const char *const *)environ,
		.hidden = runtime->conf->hidden,
		.environment = environment,
		.n_environment = n_environment,
		.user = conf->user,
		.directory = conf->directory,
		.allocate_timeout_us = conf->allocate_timeout_us,
		.ttl_us = conf->ttl_us,
		.idle_ttl_us = conf->idle_ttl_us,
		.max_jobs = (uint64_t)conf->max_jobs,
		.soft_bytes = (uint64_t)conf->soft_memory,
		.hard_bytes = (uint64_t)conf->hard_memory,
		.cgroups = runtime->cgroups,
		.max_processes = (uint64_t)conf->max_processes,
		.has_private_ipc = conf->has_private_ipc,
		.destroy_timeout_us = conf->destroy_timeout_us,
	};
	int status = pool_new(&pool, runtime->base, &ops, runtime, &runtime->pools[runtime->n_pools]);
	if (status == 0)
		runtime->n_pools++;
	free(environment);
	free(argv);
	return status == 0;
}

void pools_prepare(struct runtime *runtime)
{
	strays_adopt();
	const char *why = "no pools";
	if (runtime->conf->n_pools)
		runtime->cgroups = cgroups_open(&why);
	if (runtime->cgroups)
		cgroups_describe(runtime->cgroups, runtime->cgroups_text, sizeof runtime->cgroups_text);
	else
		snprintf(runtime->cgroups_text, sizeof runtime->cgroups_text, "none: %s", why);
	if (runtime->conf->n_pools)
		log_say(LOG_INFO, NULL, "workers' cgroups can=\"%s\"", runtime->cgroups_text);
}

void pools_free(struct runtime *runtime)
{
	for (size_t i = 0; i < runtime->n_pools; i++)
		pool_free(runtime->pools[i]);
	free(runtime->pools);
	runtime->pools = NULL;
	runtime->n_pools = 0; /* a session may outlive the process that opened it */
	size_t n = strays_kill_rest(runtime->keeper.pid);
	if (n > 0)
		log_say(LOG_WARN, NULL, "kills processes that workers left behind without their environment n=%zu", n);
}

/* The listener holds the lock of the path: no other proxy that lives serves it. */
static void pools_clean(const char *socket)
{
	size_t n = strays_kill_left(socket);
	if (n > 0)
		log_say(LOG_WARN, NULL, "kills processes that an earlier proxy left behind n=%zu", n);
}

bool pools_build(struct runtime *runtime)
{
	const struct conf *conf = runtime->conf;
	char *real = realpath(conf->socket.path, NULL);
	const char *socket = real ? real : conf->socket.path;
	bool is_built = true;
	runtime->pools = alloc_zero(conf->n_pools * sizeof *runtime->pools);
	pools_clean(socket);
	for (size_t i = 0; i < conf->n_pools && is_built; i++)
		is_built = pools_build_one(runtime, &conf->pools[i], socket);
	free(real);
	return is_built;
}
