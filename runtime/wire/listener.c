/* SPDX-License-Identifier: MIT */
/* The listener. */
#include "wire/listener.h"

#include "base/alloc.h"
#include "base/log.h"
#include "wire/proto.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTENER_BACKLOG = 512, LISTENER_ACCEPTS = 64 /* in one turn */, LISTENER_GROUPS = 1024 };
enum { LISTENER_REST_US = 100000 };

struct listener {
	struct listener_conf conf;
	struct guard guard;
	struct session_set *set;
	struct event *acceptable;
	struct event *rested; /* pending while nobody is let in, for want of a reserve */
	struct listener_counts counts;
	int reserve_fd; /* given up for a moment when there is no other descriptor, to refuse politely */
};

/* ---- who may ---- */

static bool listener_allows_group(const struct listener_conf *conf, gid_t gid)
{
	for (size_t i = 0; i < conf->n_allow_gids; i++)
		if (conf->allow_gids[i] == gid)
			return true;
	return false;
}

static bool listener_allows_groups(const struct listener_conf *conf, int fd)
{
	gid_t groups[LISTENER_GROUPS];
	socklen_t len = sizeof groups;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0)
		return false;
	for (size_t i = 0; i < len / sizeof *groups; i++)
		if (listener_allows_group(conf, groups[i]))
			return true;
	return false;
}

static bool listener_allows(const struct listener *listener, int fd, const struct session_peer *peer)
{
	const struct listener_conf *conf = &listener->conf;
	if ((conf->n_allow_uids == 0 && conf->n_allow_gids == 0) || peer->uid == geteuid())
		return true;
	for (size_t i = 0; i < conf->n_allow_uids; i++)
		if (conf->allow_uids[i] == peer->uid)
			return true;
	return listener_allows_group(conf, peer->gid) || (conf->n_allow_gids && listener_allows_groups(conf, fd));
}

/* Says why, as far as that goes at once, and closes. */
static void listener_refuse(int fd, const char *code, const char *message)
{
	struct proto_out out = {0};
	proto_error_write(&out, code, message);
	ssize_t ignored = send(fd, out.bytes, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)ignored;
	proto_out_done(&out);
	close(fd);
}

static void listener_admit(struct listener *listener, int fd)
{
	struct ucred cred = {.pid = -1};
	socklen_t len = sizeof cred;
	int result = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	struct session_peer peer = {.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
	if (result != 0 || !listener_allows(listener, fd, &peer)) {
		listener->counts.forbidden++;
		log_say(LOG_WARN, NULL, "refuses a worker: its user may not attach pid=%d uid=%u gid=%u", (int)peer.pid,
			(unsigned)peer.uid, (unsigned)peer.gid);
		listener_refuse(fd, "forbidden", "this user may not attach");
	} else if (listener->conf.max_sessions && session_set_count(listener->set) >= listener->conf.max_sessions) {
		if (listener->counts.over_limit++ % 1000 == 0)
			log_say(LOG_WARN, NULL, "refuses a worker: too many are attached limit=%zu", listener->conf.max_sessions);
		listener_refuse(fd, "limit", "too many workers are attached");
	} else if ((result = session_open(listener->set, fd, &peer)) != 0) {
		log_say(LOG_ERROR, NULL, "cannot open a session: %s", strerror(-result));
	} else {
		listener->counts.accepted++;
	}
}

/* No descriptor is left: the reserve makes one, for as long as it takes to refuse. Otherwise the connection would wait
 * in the backlog and the loop would spin. */
static void listener_exhausted(struct listener *listener)
{
	if (listener->counts.no_descriptor++ % 1000 == 0)
		log_say(LOG_ERROR, NULL, "refuses a worker: no file descriptor is left");
	if (listener->reserve_fd >= 0)
		close(listener->reserve_fd);
	int fd = accept4(listener->guard.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		listener_refuse(fd, "limit", "the proxy has no file descriptor left");
	listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (listener->reserve_fd < 0) { /* another thread was faster */
		event_del(listener->acceptable);
		evtimer_add(listener->rested, &(struct timeval){.tv_usec = LISTENER_REST_US});
	}
}

static void listener_on_rested(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct listener *listener = ctx;
	listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	event_add(listener->acceptable, NULL);
}

static void listener_on_acceptable(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	struct listener *listener = ctx;
	for (int i = 0; i < LISTENER_ACCEPTS; i++) {
		int peer_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (peer_fd >= 0) {
			listener_admit(listener, peer_fd);
		} else if (errno == EMFILE || errno == ENFILE) {
			listener_exhausted(listener);
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			return;
		}
	}
}

/* ---- open and close ---- */

static void *listener_copy(const void *items, size_t size)
{
	void *copy = alloc_new(size);
	if (size)
		memcpy(copy, items, size);
	return copy;
}

static struct listener *listener_new(const struct listener_conf *conf, struct session_set *set)
{
	struct listener *listener = alloc_zero(sizeof *listener);
	listener->conf = *conf;
	listener->conf.allow_uids = listener_copy(conf->allow_uids, conf->n_allow_uids * sizeof *conf->allow_uids);
	listener->conf.allow_gids = listener_copy(conf->allow_gids, conf->n_allow_gids * sizeof *conf->allow_gids);
	listener->conf.path = listener->guard.address.sun_path;
	listener->set = set;
	listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return listener;
}

static int listener_watch(struct listener *listener, struct event_base *base, char *ret_error)
{
	listener->acceptable = event_new(base, listener->guard.fd, EV_READ | EV_PERSIST, listener_on_acceptable, listener);
	listener->rested = evtimer_new(base, listener_on_rested, listener);
	if (listener->rested && listener->acceptable && event_add(listener->acceptable, NULL) == 0)
		return 0;
	snprintf(ret_error, LISTENER_ERROR_BYTES, "%s cannot be watched", listener->guard.address.sun_path);
	return -ENOMEM;
}

int listener_open(struct event_base *base, const struct listener_conf *conf, struct session_set *set,
	struct listener **ret_listener, char ret_error[LISTENER_ERROR_BYTES])
{
	struct listener *listener = listener_new(conf, set);
	const struct guard_conf guard = {conf->path, conf->mode, conf->owner, conf->group, LISTENER_BACKLOG};
	int result = guard_open(&listener->guard, &guard, ret_error);
	if (!result)
		result = listener_watch(listener, base, ret_error);
	if (result)
		listener_close(listener);
	else
		*ret_listener = listener;
	return result;
}

void listener_close(struct listener *listener)
{
	if (!listener)
		return;
	if (listener->acceptable)
		event_free(listener->acceptable);
	if (listener->rested)
		event_free(listener->rested);
	if (listener->reserve_fd >= 0)
		close(listener->reserve_fd);
	guard_close(&listener->guard);
	free((void *)listener->conf.allow_uids);
	free((void *)listener->conf.allow_gids);
	free(listener);
}

void listener_count(const struct listener *listener, struct listener_counts *ret_counts)
{
	*ret_counts = listener->counts;
}
