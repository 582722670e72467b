/* SPDX-License-Identifier: MIT */
/* The process that serves. One turn of the loop: events -> dispatcher_tick -> session_set_flush -> breaking_step ->
 * shutdown_advance. */
#include "host/runtime.h"
#include "host/runtime_inside.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "core/source.h"
#include "host/command.h"
#include "host/glance.h"
#include "host/memory.h"
#include "host/version.h"
#include "pool/strays.h"
#include "wire/proto.h"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* RUNTIME_STANDSTILL_US: the loop turns once a second at least; a longer gap means that the process did not run. */
enum { RUNTIME_STANDSTILL_US = 2000000 };

/* ---- what sessions and pools ask ---- */

static void runtime_read_clock(struct runtime *runtime)
{
	runtime->is_waiting = false;
	runtime->now_us = clock_now_us();
	dispatcher_set_clock(runtime->dispatcher, runtime->now_us, clock_unix_ms());
	int64_t boot_us = clock_boot_us(), stood_us = boot_us - runtime->boot_us;
	runtime->boot_us = boot_us;
	if (stood_us > RUNTIME_STANDSTILL_US)
		dispatcher_thaw(runtime->dispatcher, stood_us, runtime->now_us);
}

/* What woke the loop happens now, not when it went to sleep. */
static int64_t runtime_now(void *ctx)
{
	struct runtime *runtime = ctx;
	if (runtime->is_waiting)
		runtime_read_clock(runtime);
	return runtime->now_us;
}

static void runtime_heard(void *ctx)
{
	runtime_read_clock(ctx);
}

static const char *runtime_pool_of(void *ctx, pid_t pid)
{
	uint32_t number;
	struct pool *pool = pools_find(ctx, pid, &number);
	if (!pool)
		return NULL;
	pool_worker_ready(pool, number);
	return pool_name(pool);
}

static void runtime_changed(void *ctx)
{
	struct runtime *runtime = ctx;
	runtime->wants_turn = true;
}

/* A worker of a pool that was reaped has no number any more, though its session may still be open. */
static bool runtime_has_process(const struct runtime *runtime, const struct session *session)
{
	struct session_info info;
	uint32_t number;
	session_tell(session, &info);
	return !info.pool || pools_find(runtime, info.peer.pid, &number);
}

static void runtime_attached(void *ctx, const struct session *session)
{
	breaking_greet(((struct runtime *)ctx)->breaking, session);
}

/* A signal makes sleeping calls of the handler return early; the client's own handler does nothing but exist. */
static void runtime_told(void *ctx, const struct session *session)
{
	const struct runtime *runtime = ctx;
	if (runtime_has_process(runtime, session))
		breaking_tell(runtime->breaking, session);
}

static void runtime_break_begin(void *ctx, struct session *session)
{
	struct runtime *runtime = ctx;
	if (runtime_has_process(runtime, session))
		breaking_begin(runtime->breaking, session, runtime->now_us);
}

static void runtime_break_end(void *ctx, struct session *session)
{
	breaking_end(((struct runtime *)ctx)->breaking, session);
}

static bool runtime_overdue(void *ctx, const struct session *session, const char *reason)
{
	struct session_info info;
	uint32_t number;
	session_tell(session, &info);
	struct pool *pool = pools_find(ctx, info.peer.pid, &number);
	if (pool)
		pool_kill(pool, number, info.state == SESSION_ENDING ? POOL_EXIT_PROTOCOL : POOL_EXIT_DEADLINE, reason);
	return pool;
}

/* Who was ended for what it did, or did not do, is not left alone with the next message. */
static void runtime_session_closed(void *ctx, const struct session *session)
{
	struct session_info info;
	uint32_t number;
	session_tell(session, &info);
	struct pool *pool = info.pool ? pools_find(ctx, info.peer.pid, &number) : NULL;
	if (pool && info.end_code)
		pool_kill(pool, number, POOL_EXIT_PROTOCOL, info.end_reason);
	else if (pool && !pools_has_other_session(ctx, session))
		pool_worker_left(pool, number);
	runtime_changed(ctx);
}

/* ---- events ---- */

static void runtime_on_source(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct runtime_source *source = ctx;
	runtime_now(source->runtime);
	source_serve(source->source);
}

static void runtime_on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what, (void)ctx; /* it only ends the wait */
}

static void runtime_on_stop(evutil_socket_t signal, short what, void *ctx)
{
	(void)what;
	runtime_now(ctx);
	shutdown_begin(ctx, signal == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void runtime_on_hangup(evutil_socket_t signal, short what, void *ctx)
{
	struct runtime *runtime = ctx;
	(void)signal, (void)what;
	runtime_now(runtime);
	if (runtime->step != SHUTDOWN_NOT)
		log_say(LOG_WARN, NULL, "SIGHUP: not heeded, the proxy is %s", shutdown_step_name(runtime->step));
	else if (reload_check(&runtime->reload))
		notify_reloading(&runtime->notify, runtime->now_us);
}

/* What is good is served after a drain. */
static void runtime_on_judged(void *ctx, bool is_good)
{
	struct runtime *runtime = ctx;
	if (is_good)
		shutdown_begin_again(runtime);
	else
		notify_say(&runtime->notify, "READY=1\nSTATUS=the new configuration is refused");
}

static void runtime_on_child(evutil_socket_t signal, short what, void *ctx)
{
	(void)signal, (void)what, (void)ctx;
	strays_reap();
}

/* ---- building ---- */

static void runtime_on_second(evutil_socket_t fd, short what, void *ctx)
{
	struct runtime *runtime = ctx;
	(void)fd, (void)what;
	dispatcher_measure_memory(runtime->dispatcher, memory_allocated() - runtime->base_bytes);
	pools_report(runtime);
	strays_reap(); /* what a traced thread hid when its signal came */
}

static void runtime_on_watchdog(evutil_socket_t fd, short what, void *ctx)
{
	const struct runtime *runtime = ctx;
	(void)fd, (void)what;
	notify_say(&runtime->notify, "WATCHDOG=1");
}

/* By the loop itself, so that a loop which hangs is noticed. */
static bool runtime_start_watchdog(struct runtime *runtime)
{
	int64_t every_us = runtime->notify.watchdog_us / 2;
	struct timeval every = {.tv_sec = every_us / 1000000, .tv_usec = every_us % 1000000};
	return every_us == 0 || event_add(runtime->watchdog, &every) == 0;
}

static bool runtime_add_signal(struct runtime *runtime, int signal, event_callback_fn callback)
{
	struct event *event = evsignal_new(runtime->base, signal, callback, runtime);
	runtime->signals[runtime->n_signals++] = event;
	return event && event_add(event, NULL) == 0;
}

static bool runtime_build_loop(struct runtime *runtime)
{
	runtime->base = event_base_new();
	if (!runtime->base)
		return false;
	runtime->reload = (struct reload){
		.base = runtime->base, .file = runtime->conf->file, .judged = runtime_on_judged, .ctx = runtime};
	runtime->timer = evtimer_new(runtime->base, runtime_on_timer, runtime);
	runtime->every_second = event_new(runtime->base, -1, EV_PERSIST, runtime_on_second, runtime);
	runtime->watchdog = event_new(runtime->base, -1, EV_PERSIST, runtime_on_watchdog, runtime);
	return runtime->timer && runtime->every_second && runtime->watchdog &&
	       runtime_add_signal(runtime, SIGTERM, runtime_on_stop) &&
	       runtime_add_signal(runtime, SIGINT, runtime_on_stop) &&
	       runtime_add_signal(runtime, SIGHUP, runtime_on_hangup) &&
	       runtime_add_signal(runtime, SIGCHLD, runtime_on_child);
}

/* Rejecting to the broker leaves the choice to the queue; a broker without that has only us. */
static void runtime_warn_of_loss(const struct conf_pipeline *pipeline)
{
	if (pipeline->conf.dead_letter.target || pipeline->broker->plugin->traits & QB_SETTLE_EACH)
		return;
	log_say(LOG_WARN, pipeline->conf.name, "has no dead_letter: %s is logged and passed over max_attempts=%lld",
		pipeline->conf.max_attempts ? "a message that is rejected, or fails max_attempts times,"
									: "a message that is rejected",
		(long long)pipeline->conf.max_attempts);
}

static bool runtime_build_pipelines(struct runtime *runtime)
{
	const struct conf *conf = runtime->conf;
	runtime->dispatcher = dispatcher_new(runtime->now_us);
	runtime->sources = alloc_zero(conf->n_pipelines * sizeof *runtime->sources);
	for (size_t i = 0; i < conf->n_pipelines; i++) {
		const struct conf_pipeline *pipeline = &conf->pipelines[i];
		runtime_warn_of_loss(pipeline);
		int status = dispatcher_pipeline_add(
			runtime->dispatcher, &pipeline->conf, pipeline->broker->plugin, &pipeline->source, proto_codec());
		if (status < 0) {
			log_say(LOG_ERROR, pipeline->conf.name, "cannot be built: %s", strerror(-status));
			return false;
		}
		struct runtime_source *source = &runtime->sources[runtime->n_sources++];
		source->runtime = runtime;
		source->source = pipeline_source(dispatcher_pipeline_at(runtime->dispatcher, i));
		source->readable =
			event_new(runtime->base, source_fd(source->source), EV_READ | EV_PERSIST, runtime_on_source, source);
		if (!source->readable || event_add(source->readable, NULL) < 0)
			return false;
	}
	dispatcher_set_memory(runtime->dispatcher, conf->memory_max_bytes);
	return true;
}

/* The numbers of a list of the configuration; uid_t and gid_t are the same type. Free it. */
static uid_t *runtime_ids(const struct qb_pair *items, size_t n)
{
	uid_t *ids = alloc_new(n * sizeof *ids);
	for (size_t i = 0; i < n; i++)
		ids[i] = (uid_t)items[i].number;
	return ids;
}

static bool runtime_listen(struct runtime *runtime)
{
	const struct conf_socket *conf = &runtime->conf->socket;
	char error[LISTENER_ERROR_BYTES];
	struct passwd *owner = conf->owner ? getpwnam(conf->owner) : NULL;
	struct group *group = conf->group ? getgrnam(conf->group) : NULL;
	uid_t *uids = runtime_ids(conf->allow_uids, conf->n_allow_uids);
	gid_t *gids = runtime_ids(conf->allow_gids, conf->n_allow_gids);
	struct listener_conf listener = {
		.path = conf->path,
		.mode = (mode_t)conf->mode,
		.owner = owner ? owner->pw_uid : GUARD_UNCHANGED,
		.group = group ? group->gr_gid : GUARD_UNCHANGED,
		.allow_uids = uids,
		.n_allow_uids = conf->n_allow_uids,
		.allow_gids = gids,
		.n_allow_gids = conf->n_allow_gids,
		.max_sessions = (size_t)conf->max_connections,
	};
	int status = listener_open(runtime->base, &listener, runtime->sessions, &runtime->listener, error);
	free(uids);
	free(gids);
	if (status < 0)
		log_say(LOG_ERROR, NULL, "%s", error);
	return status == 0;
}

static bool runtime_build_sessions(struct runtime *runtime)
{
	runtime->session_host = (struct session_host){
		.server = "qbus-proxy/" QBUS_VERSION,
		.handshake_timeout_us = runtime->conf->socket.handshake_timeout_us,
		.now = runtime_now,
		.heard = runtime_heard,
		.pool_of = runtime_pool_of,
		.changed = runtime_changed,
		.attached = runtime_attached,
		.told = runtime_told,
		.break_begin = runtime_break_begin,
		.break_end = runtime_break_end,
		.overdue = runtime_overdue,
		.grown = pools_worker_grown,
		.closed = runtime_session_closed,
	};
	runtime->sessions = session_set_new(runtime->base, runtime->dispatcher, &runtime->session_host, runtime);
	return runtime_listen(runtime);
}

/* Sources last: what they bring has somewhere to go. */
static bool runtime_start(struct runtime *runtime)
{
	static const struct timeval second = {.tv_sec = 1};
	if (event_add(runtime->every_second, &second) < 0 || !runtime_start_watchdog(runtime))
		return false;
	runtime->base_bytes = memory_allocated();
	for (size_t i = 0; i < runtime->n_pools; i++)
		pool_start(runtime->pools[i]);
	for (size_t i = 0; i < dispatcher_n_pipelines(runtime->dispatcher); i++)
		if (source_start(pipeline_source(dispatcher_pipeline_at(runtime->dispatcher, i))) < 0)
			return false;
	return true;
}

/* ---- turning ---- */

static void runtime_wait(struct runtime *runtime, int64_t until_us)
{
	if (runtime->wants_turn || until_us <= runtime->now_us) {
		event_base_loop(runtime->base, EVLOOP_NONBLOCK);
	} else {
		if (until_us != CLOCK_NEVER) {
			int64_t wait_us = until_us - runtime->now_us;
			struct timeval wait = {.tv_sec = wait_us / 1000000, .tv_usec = wait_us % 1000000};
			evtimer_add(runtime->timer, &wait);
		}
		event_base_loop(runtime->base, EVLOOP_ONCE);
		evtimer_del(runtime->timer);
	}
}

static int64_t runtime_earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void runtime_turn(struct runtime *runtime)
{
	int64_t until_us = runtime->now_us;
	runtime->boot_us = clock_boot_us();
	while (runtime->step != SHUTDOWN_DONE) {
		runtime->is_waiting = true;
		runtime_wait(runtime, until_us);
		runtime->wants_turn = false;
		runtime_read_clock(runtime);
		until_us = dispatcher_tick(runtime->dispatcher, runtime->now_us);
		session_set_flush(runtime->sessions);
		until_us = runtime_earlier(until_us, breaking_step(runtime->breaking, runtime->now_us));
		until_us = runtime_earlier(until_us, shutdown_advance(runtime));
	}
}

/* ---- taking down ---- */

static void runtime_free_events(struct runtime *runtime)
{
	for (size_t i = 0; i < runtime->n_sources; i++)
		if (runtime->sources[i].readable)
			event_free(runtime->sources[i].readable);
	for (size_t i = 0; i < runtime->n_signals; i++)
		if (runtime->signals[i])
			event_free(runtime->signals[i]);
	if (runtime->every_second)
		event_free(runtime->every_second);
	if (runtime->watchdog)
		event_free(runtime->watchdog);
	if (runtime->timer)
		event_free(runtime->timer);
	free(runtime->sources);
}

/* What a next life of this process must not find: a keeper that ends what has our mark, a cgroup that it is in. */
static void runtime_let_go(struct runtime *runtime)
{
	keeper_stop(&runtime->keeper);
	cgroups_close(runtime->cgroups);
	notify_close(&runtime->notify);
}

/* Returns the exit code, or does not return: what is to begin anew has the process from here on. */
static int runtime_end(const struct runtime *runtime)
{
	log_say(LOG_INFO, NULL, "ends %s%s", runtime->is_cut_short ? "before everything was settled" : "clean",
		runtime->is_again ? ", begins anew" : "");
	if (runtime->is_again) {
		reload_again();
		return EXIT_ERROR;
	}
	return runtime->is_cut_short ? EXIT_CUT_SHORT : EXIT_CLEAN;
}

/* A source that does not close within its bound cannot be joined: the process then ends, or begins anew, without it. */
static void runtime_leave_hanging(struct runtime *runtime)
{
	if (!runtime->dispatcher || runtime->step != SHUTDOWN_DONE || dispatcher_is_closed(runtime->dispatcher))
		return;
	log_say(LOG_ERROR, NULL, "a broker library does not close in time: ending without it");
	runtime_let_go(runtime);
	_exit(runtime_end(runtime));
}

/* A stop that the loop has not seen yet is still one; one that comes from here on is the next one's. */
static void runtime_hold_signals(struct runtime *runtime)
{
	reload_hold_signals();
	event_base_loop(runtime->base, EVLOOP_NONBLOCK);
}

static void runtime_done(struct runtime *runtime)
{
	if (runtime->is_again)
		runtime_hold_signals(runtime);
	reload_done(&runtime->reload);
	glance_close(runtime->glance);
	pools_free(runtime);
	listener_close(runtime->listener);
	if (runtime->sessions)
		session_set_free(runtime->sessions);
	breaking_free(runtime->breaking);
	runtime_leave_hanging(runtime);
	dispatcher_free(runtime->dispatcher);
	runtime_free_events(runtime);
	if (runtime->base)
		event_base_free(runtime->base);
}

static void runtime_begin_log(const struct conf *conf)
{
	bool json = conf->log.format == CONF_LOG_JSON || (conf->log.format == CONF_LOG_AUTO && !isatty(STDERR_FILENO));
	log_configure(conf->log.level, json);
	for (size_t i = 0; i < conf->n_complaints; i++) /* it is served, so they are warnings */
		log_say(LOG_WARN, NULL, "%s:%d:%d: warning: %s", conf->file, conf->complaints[i].line,
			conf->complaints[i].column, conf->complaints[i].sentence);
}

int runtime_serve(struct conf *conf)
{
	struct runtime runtime = {.conf = conf, .now_us = clock_now_us()};
	runtime_begin_log(conf);
	signal(SIGPIPE, SIG_IGN);
	pools_prepare(&runtime);
	keeper_start(&runtime.keeper, runtime.cgroups);
	notify_open(&runtime.notify);
	runtime.breaking = breaking_new(conf);
	bool is_built = runtime_build_loop(&runtime) && runtime_build_pipelines(&runtime) &&
	                runtime_build_sessions(&runtime) && pools_build(&runtime) &&
	                glance_open(&runtime, &runtime.glance) == 0 && runtime_start(&runtime);
	reload_let_signals();
	if (is_built) {
		log_say(LOG_INFO, NULL, "serving version=%s socket=%s pipelines=%zu pools=%zu", version_own(),
			conf->socket.path, conf->n_pipelines, conf->n_pools);
		notify_say(&runtime.notify, "READY=1\nSTATUS=serving");
		runtime_turn(&runtime);
	}
	runtime_done(&runtime);
	runtime_let_go(&runtime);
	return is_built ? runtime_end(&runtime) : EXIT_ERROR;
}
