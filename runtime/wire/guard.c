/* SPDX-License-Identifier: MIT */
/* The guarded socket.
 *
 * Mode and owner are right before anybody can connect: they are set between bind and listen, and a socket that does not
 * listen refuses. The umask, a property of the whole process, is left alone. The lock file is never removed: a lock on
 * a file that somebody removes and another makes anew guards nothing. */
#include "wire/guard.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((format(printf, 3, 4))) static int guard_fail(char *ret_error, int error, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(ret_error, GUARD_ERROR_BYTES, format, list);
	va_end(list);
	return -error;
}

static int guard_address(struct guard *guard, const char *path, char *ret_error)
{
	guard->address.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof guard->address.sun_path)
		return guard_fail(ret_error, ENAMETOOLONG, "the socket's path is longer than %zu bytes: %s",
			sizeof guard->address.sun_path - 1, path);
	memcpy(guard->address.sun_path, path, strlen(path));
	return 0;
}

static int guard_lock(struct guard *guard, char *ret_error)
{
	char path[sizeof guard->address.sun_path + 8];
	snprintf(path, sizeof path, "%s.lock", guard->address.sun_path);
	const char *slash = strrchr(path, '/');
	guard->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (guard->lock_fd < 0 && errno == ENOENT && slash) /* in the words of the configuration's check */
		return guard_fail(ret_error, ENOENT,
			"the socket needs the directory \"%.*s\", which has to be there at the start", (int)(slash - path), path);
	if (guard->lock_fd < 0)
		return guard_fail(ret_error, errno, "%s cannot be opened: %s", path, strerror(errno));
	if (flock(guard->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return guard_fail(ret_error, EADDRINUSE, "another qbus-proxy serves %s", guard->address.sun_path);
	return guard_fail(ret_error, errno, "%s cannot be locked: %s", path, strerror(errno));
}

/* Does anybody answer at the path? 1, 0 or -errno. */
static int guard_is_alive(const struct guard *guard)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int result = connect(fd, (const struct sockaddr *)&guard->address, sizeof guard->address);
	int error = result == 0 ? 0 : errno;
	close(fd);
	return error == ECONNREFUSED || error == ENOENT ? 0 : 1;
}

/* Makes the path free: removes a socket that nobody serves, and nothing else. */
static int guard_clear(struct guard *guard, char *ret_error)
{
	struct stat stat;
	const char *path = guard->address.sun_path;
	if (lstat(path, &stat) != 0)
		return errno == ENOENT ? 0 : guard_fail(ret_error, errno, "%s cannot be looked at: %s", path, strerror(errno));
	if (!S_ISSOCK(stat.st_mode))
		return guard_fail(ret_error, EEXIST, "%s exists and is not a socket", path);
	int result = guard_is_alive(guard);
	if (result < 0)
		return guard_fail(ret_error, -result, "no socket can be made: %s", strerror(-result));
	if (result)
		return guard_fail(ret_error, EADDRINUSE, "another process serves %s", path);
	if (unlink(path) != 0)
		return guard_fail(ret_error, errno, "the stale socket %s cannot be removed: %s", path, strerror(errno));
	log_say(LOG_WARN, NULL, "takes over a socket that nobody serves path=%s", path);
	return 0;
}

static int guard_bind(struct guard *guard, const struct guard_conf *conf, char *ret_error)
{
	struct stat stat;
	guard->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (guard->fd < 0)
		return guard_fail(ret_error, errno, "no socket can be made: %s", strerror(errno));
	if (bind(guard->fd, (const struct sockaddr *)&guard->address, sizeof guard->address) != 0)
		return guard_fail(ret_error, errno, "%s cannot be bound: %s", conf->path, strerror(errno));
	if (lstat(conf->path, &stat) != 0)
		return guard_fail(ret_error, errno, "%s cannot be looked at: %s", conf->path, strerror(errno));
	guard->dev = stat.st_dev;
	guard->ino = stat.st_ino;
	if ((conf->owner != GUARD_UNCHANGED || conf->group != GUARD_UNCHANGED) &&
		lchown(conf->path, conf->owner, conf->group) != 0)
		return guard_fail(ret_error, errno, "%s cannot be given its owner and group: %s", conf->path, strerror(errno));
	if (chmod(conf->path, conf->mode) != 0)
		return guard_fail(ret_error, errno, "%s cannot be given its mode: %s", conf->path, strerror(errno));
	if (listen(guard->fd, conf->backlog) != 0)
		return guard_fail(ret_error, errno, "%s cannot be listened at: %s", conf->path, strerror(errno));
	return 0;
}

int guard_open(struct guard *guard, const struct guard_conf *conf, char ret_error[GUARD_ERROR_BYTES])
{
	*guard = (struct guard){.fd = -1, .lock_fd = -1};
	int result = guard_address(guard, conf->path, ret_error);
	if (!result)
		result = guard_lock(guard, ret_error);
	if (!result)
		result = guard_clear(guard, ret_error);
	if (!result)
		result = guard_bind(guard, conf, ret_error);
	if (result)
		guard_close(guard);
	return result;
}

static bool guard_is_ours(const struct guard *guard)
{
	struct stat stat;
	return guard->ino && lstat(guard->address.sun_path, &stat) == 0 && stat.st_dev == guard->dev &&
	       stat.st_ino == guard->ino;
}

static void guard_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void guard_close(struct guard *guard)
{
	if (!guard->address.sun_family)
		return;
	if (guard_is_ours(guard))
		unlink(guard->address.sun_path);
	guard_close_fd(&guard->fd);
	guard_close_fd(&guard->lock_fd); /* last: until here nobody else may take the path */
	guard->ino = 0;
}
