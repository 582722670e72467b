/* SPDX-License-Identifier: MIT */
/* The listener.
 *
 * Mode and owner are right before anybody can connect: they are set between bind and listen, and a socket that does not
 * listen refuses. The umask, a property of the whole process, is left alone. The lock file is never removed: a lock on
 * a file that somebody removes and another makes anew guards nothing. */
#include "wire/listener.h"

#include "base/alloc.h"
#include "base/log.h"
#include "wire/proto.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTENER_BACKLOG = 512, LISTENER_ACCEPTS = 64 /* in one turn */ };

struct listener {
	struct listener_conf conf;
	struct sockaddr_un address;
	struct session_set *set;
	struct event *acceptable;
	struct listener_counts counts;
	int fd, lock_fd;
	int reserve_fd; /* given up for a moment when there is no other descriptor, to refuse politely */
	dev_t dev;		/* of the socket that we bound; 0 and 0: none */
	ino_t ino;
};

__attribute__((format(printf, 3, 4))) static int listener_fail(char *ret_error, int error, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(ret_error, LISTENER_ERROR_BYTES, format, list);
	va_end(list);
	return -error;
}

/* ---- the path ---------------------------------------------------------------------------------------------------- */

static int listener_address(struct listener *listener, char *ret_error)
{
	const char *path = listener->conf.path;
	listener->address.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof listener->address.sun_path)
		return listener_fail(ret_error, ENAMETOOLONG, "the socket's path is longer than %zu bytes: %s",
			sizeof listener->address.sun_path - 1, path);
	memcpy(listener->address.sun_path, path, strlen(path));
	return 0;
}

static int listener_lock(struct listener *listener, char *ret_error)
{
	char path[sizeof listener->address.sun_path + 8];
	snprintf(path, sizeof path, "%s.lock", listener->conf.path);
	listener->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (listener->lock_fd < 0)
		return listener_fail(ret_error, errno, "%s cannot be opened: %s", path, strerror(errno));
	if (flock(listener->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return listener_fail(ret_error, EADDRINUSE, "another qbus-proxy serves %s", listener->conf.path);
	return listener_fail(ret_error, errno, "%s cannot be locked: %s", path, strerror(errno));
}

/* Does anybody answer at the path? 1, 0 or -errno. */
static int listener_is_alive(const struct listener *listener)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int result = connect(fd, (const struct sockaddr *)&listener->address, sizeof listener->address);
	int error = result == 0 ? 0 : errno;
	close(fd);
	return error == ECONNREFUSED || error == ENOENT ? 0 : 1;
}

/* Makes the path free: removes a socket that nobody serves, and nothing else. */
static int listener_clear(struct listener *listener, char *ret_error)
{
	struct stat stat;
	const char *path = listener->conf.path;
	if (lstat(path, &stat) != 0)
		return errno == ENOENT ? 0
							   : listener_fail(ret_error, errno, "%s cannot be looked at: %s", path, strerror(errno));
	if (!S_ISSOCK(stat.st_mode))
		return listener_fail(ret_error, EEXIST, "%s exists and is not a socket", path);
	int result = listener_is_alive(listener);
	if (result < 0)
		return listener_fail(ret_error, -result, "no socket can be made: %s", strerror(-result));
	if (result)
		return listener_fail(ret_error, EADDRINUSE, "another process serves %s", path);
	if (unlink(path) != 0)
		return listener_fail(ret_error, errno, "the stale socket %s cannot be removed: %s", path, strerror(errno));
	log_say(LOG_WARN, NULL, "takes over a socket that nobody serves path=%s", path);
	return 0;
}

static int listener_bind(struct listener *listener, char *ret_error)
{
	const struct listener_conf *conf = &listener->conf;
	struct stat stat;
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return listener_fail(ret_error, errno, "no socket can be made: %s", strerror(errno));
	if (bind(listener->fd, (const struct sockaddr *)&listener->address, sizeof listener->address) != 0)
		return listener_fail(ret_error, errno, "%s cannot be bound: %s", conf->path, strerror(errno));
	if (lstat(conf->path, &stat) != 0)
		return listener_fail(ret_error, errno, "%s cannot be looked at: %s", conf->path, strerror(errno));
	listener->dev = stat.st_dev;
	listener->ino = stat.st_ino;
	if ((conf->owner != LISTENER_UNCHANGED || conf->group != LISTENER_UNCHANGED) &&
		lchown(conf->path, conf->owner, conf->group) != 0)
		return listener_fail(
			ret_error, errno, "%s cannot be given its owner and group: %s", conf->path, strerror(errno));
	if (chmod(conf->path, conf->mode) != 0)
		return listener_fail(ret_error, errno, "%s cannot be given its mode: %s", conf->path, strerror(errno));
	if (listen(listener->fd, LISTENER_BACKLOG) != 0)
		return listener_fail(ret_error, errno, "%s cannot be listened at: %s", conf->path, strerror(errno));
	return 0;
}

/* ---- who may ----------------------------------------------------------------------------------------------------- */

static bool listener_allows(const struct listener *listener, const struct session_peer *peer)
{
	const struct listener_conf *conf = &listener->conf;
	if ((conf->n_allow_uids == 0 && conf->n_allow_gids == 0) || peer->uid == geteuid())
		return true;
	for (size_t i = 0; i < conf->n_allow_uids; i++)
		if (conf->allow_uids[i] == peer->uid)
			return true;
	for (size_t i = 0; i < conf->n_allow_gids; i++)
		if (conf->allow_gids[i] == peer->gid)
			return true;
	return false;
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
	if (result != 0 || !listener_allows(listener, &peer)) {
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
	close(listener->reserve_fd);
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		listener_refuse(fd, "limit", "the proxy has no file descriptor left");
	listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
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

/* ---- open and close ---------------------------------------------------------------------------------------------- */

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
	listener->conf.path = alloc_string(conf->path, strlen(conf->path));
	listener->conf.allow_uids = listener_copy(conf->allow_uids, conf->n_allow_uids * sizeof *conf->allow_uids);
	listener->conf.allow_gids = listener_copy(conf->allow_gids, conf->n_allow_gids * sizeof *conf->allow_gids);
	listener->set = set;
	listener->fd = listener->lock_fd = -1;
	listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return listener;
}

static int listener_watch(struct listener *listener, struct event_base *base, char *ret_error)
{
	listener->acceptable = event_new(base, listener->fd, EV_READ | EV_PERSIST, listener_on_acceptable, listener);
	if (!listener->acceptable || event_add(listener->acceptable, NULL) != 0)
		return listener_fail(ret_error, ENOMEM, "%s cannot be watched", listener->conf.path);
	return 0;
}

int listener_open(struct event_base *base, const struct listener_conf *conf, struct session_set *set,
	struct listener **ret_listener, char ret_error[LISTENER_ERROR_BYTES])
{
	struct listener *listener = listener_new(conf, set);
	int result = listener_address(listener, ret_error);
	if (!result)
		result = listener_lock(listener, ret_error);
	if (!result)
		result = listener_clear(listener, ret_error);
	if (!result)
		result = listener_bind(listener, ret_error);
	if (!result)
		result = listener_watch(listener, base, ret_error);
	if (result)
		listener_close(listener);
	else
		*ret_listener = listener;
	return result;
}

static bool listener_is_ours(const struct listener *listener)
{
	struct stat stat;
	return listener->ino && lstat(listener->conf.path, &stat) == 0 && stat.st_dev == listener->dev &&
		   stat.st_ino == listener->ino;
}

static void listener_close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void listener_close(struct listener *listener)
{
	if (!listener)
		return;
	if (listener->acceptable)
		event_free(listener->acceptable);
	if (listener_is_ours(listener))
		unlink(listener->conf.path);
	listener_close_fd(listener->fd);
	listener_close_fd(listener->reserve_fd);
	listener_close_fd(listener->lock_fd); /* last: until here nobody else may take the path */
	free((void *)listener->conf.path);
	free((void *)listener->conf.allow_uids);
	free((void *)listener->conf.allow_gids);
	free(listener);
}

void listener_count(const struct listener *listener, struct listener_counts *ret_counts)
{
	*ret_counts = listener->counts;
}
