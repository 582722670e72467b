/* SPDX-License-Identifier: MIT */
/* Decides which of the sockets that a thread waits for may be shut, and shuts them together.
 *
 * First all are reached and judged, then the thread is looked at once more, then each is asked whether it has what is
 * waited for, then the session whether it has news, and only then they are shut: the shorter the way from the last
 * question to the act, the rarer a reply is lost that came in between. */
#include "pool/unblock_socket.h"

#include "pool/unblock_kin.h"
#include "pool/unblock_trace.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PORT_DNS = 53, PORT_REFUSING = 1 };

enum verdict { LEAVE, SHUT, REFUSE, LISTENING };

struct target {
	const struct unblock_fd *fd;
	int number; /* of our copy, or the worker's own */
	enum verdict verdict;
	const char *kind;
	sa_family_t family;
};

/* How the worker's sockets are reached, and those that were. */
struct reach {
	struct unblock *u;
	const struct unblock_look *look;
	struct unblock_trace *trace; /* NULL: by copies */
	size_t n;
	struct target targets[UNBLOCK_MAX_FDS];
};

/* Memory that a call may read and write, wherever it runs. */
struct room {
	union {
		struct sockaddr_storage name;
		struct ucred peer;
		int value;
		struct {
			struct pollfd fd;
			struct timespec zero;
		} poll;
	};
	socklen_t len;
};

#define AT(pointer) ((unsigned long)(uintptr_t)(pointer))

static long reach_call(const struct reach *reach, struct room *room, long number, const unsigned long args[6])
{
	if (reach->trace)
		return unblock_trace_call(reach->trace, number, args, room, sizeof(*room));

	long result = syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);

	return result < 0 ? -errno : result;
}

/* ---- questions to a socket ---- */

static bool ask_option(const struct reach *reach, int number, int option, struct room *room, size_t size)
{
	unsigned long args[6] = {(unsigned long)number, SOL_SOCKET, (unsigned long)option, AT(room), AT(&room->len)};

	memset(room, 0, sizeof(*room));
	room->len = (socklen_t)size;
	return reach_call(reach, room, SYS_getsockopt, args) == 0 && room->len == size;
}

/* -1: it does not say. */
static int ask_number(const struct reach *reach, int number, int option)
{
	struct room room;

	return ask_option(reach, number, option, &room, sizeof(room.value)) ? room.value : -1;
}

/* call: SYS_getsockname or SYS_getpeername. 0: it has no such name. */
static socklen_t ask_name(const struct reach *reach, int number, long call, struct room *room)
{
	unsigned long args[6] = {(unsigned long)number, AT(&room->name), AT(&room->len)};

	memset(room, 0, sizeof(*room));
	room->len = sizeof(room->name);
	if (reach_call(reach, room, call, args) != 0 || room->len > sizeof(room->name))
		return 0;
	return room->len;
}

/* Has it what is waited for, or has it failed? Also true when it does not say. */
static bool ask_ready(const struct reach *reach, const struct target *target)
{
	struct room room = {.poll.fd = {.fd = target->number, .events = target->fd->events}};
	unsigned long args[6] = {AT(&room.poll.fd), 1, AT(&room.poll.zero)};

	return reach_call(reach, &room, SYS_ppoll, args) != 0;
}

/* ---- judgement ---- */

static enum verdict say(struct target *target, enum verdict verdict, const char *kind)
{
	target->kind = kind;
	return verdict;
}

/* The client's end of a session has no name of its own, but its peer's is that of our end. */
static bool leads_to_us(const struct reach *reach, const struct target *target)
{
	struct sockaddr_storage own = {0};
	socklen_t len = sizeof(own);
	struct room room;

	if (ask_option(reach, target->number, SO_PEERCRED, &room, sizeof(room.peer)) && room.peer.pid == getpid())
		return true;
	if (reach->u->session < 0 || getsockname(reach->u->session, (struct sockaddr *)&own, &len) ||
		len <= sizeof(sa_family_t))
		return false;
	return ask_name(reach, target->number, SYS_getpeername, &room) == len && memcmp(&room.name, &own, len) == 0;
}

/* Are both ends in the worker, as those that curl wakes itself with? Also true when that cannot be known. */
static bool is_own_pair(const struct reach *reach, const struct target *target)
{
	ino_t peer = unblock_socket_peer(target->fd->inode);
	struct room room;

	if (peer != 0)
		return unblock_look_owns(reach->u->proc, peer) != 0;
	return ask_name(reach, target->number, SYS_getsockname, &room) <= sizeof(sa_family_t) &&
	       ask_name(reach, target->number, SYS_getpeername, &room) <= sizeof(sa_family_t) &&
	       ask_option(reach, target->number, SO_PEERCRED, &room, sizeof(room.peer)) && room.peer.pid == reach->u->pid;
}

static bool is_resolver(const struct reach *reach, const struct target *target)
{
	struct room room;

	if (!ask_name(reach, target->number, SYS_getpeername, &room))
		return false;
	if (room.name.ss_family == AF_INET6)
		return ((const struct sockaddr_in6 *)(const void *)&room.name)->sin6_port == htons(PORT_DNS);
	return ((const struct sockaddr_in *)(const void *)&room.name)->sin_port == htons(PORT_DNS);
}

static enum verdict judge_local(const struct reach *reach, struct target *target, int type)
{
	if (is_own_pair(reach, target))
		return say(target, LEAVE, "own pair");
	if (type == SOCK_DGRAM && reach->look->wait != WAIT_DATA)
		return say(target, LEAVE, "unix datagram");
	return say(target, SHUT, "unix");
}

/* The other datagrams may be a library's own, which spins on a socket that is shut, unless it sits in the read. */
static enum verdict judge_network(const struct reach *reach, struct target *target, int type)
{
	if (type == SOCK_STREAM)
		return say(target, SHUT, "tcp");
	if (type == SOCK_DGRAM && is_resolver(reach, target))
		return say(target, REFUSE, "resolver");
	return say(target, type == SOCK_DGRAM && reach->look->wait == WAIT_DATA ? SHUT : LEAVE, "udp");
}

static enum verdict judge(const struct reach *reach, struct target *target)
{
	int family = ask_number(reach, target->number, SO_DOMAIN);
	int type = ask_number(reach, target->number, SO_TYPE);
	enum verdict verdict = LEAVE;

	target->family = (sa_family_t)family;
	if (family < 0 || type < 0)
		return say(target, LEAVE, "socket");
	if (family == AF_UNIX && leads_to_us(reach, target))
		return say(target, LEAVE, "session");
	if (ask_number(reach, target->number, SO_ACCEPTCONN) != 0)
		return say(target, LISTENING, "listener");
	if (family == AF_UNIX)
		verdict = judge_local(reach, target, type);
	else if (family == AF_INET || family == AF_INET6)
		verdict = judge_network(reach, target, type);
	else
		return say(target, LEAVE, "socket");
	if (verdict != LEAVE && unblock_kin_shares(reach->u->pid, reach->u->proc, target->fd->inode))
		return say(target, LEAVE, "shared socket");
	return verdict;
}

/* ---- reaching ---- */

/* The number may have become another file's since it was seen. */
static int copy_of(const struct unblock *u, const struct unblock_fd *fd)
{
	struct stat stat;
	int copy = (int)syscall(SYS_pidfd_getfd, u->pidfd, fd->fd, 0);

	if (copy < 0)
		return -errno;
	if (fstat(copy, &stat) == 0 && S_ISSOCK(stat.st_mode) && stat.st_ino == fd->inode)
		return copy;
	close(copy);
	return -EBADF;
}

/* 0, or -EPERM: copies are refused. */
static int reach_by_copies(struct reach *reach, const struct unblock_fd *const *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int copy = copy_of(reach->u, fds[i]);

		if (copy == -EPERM)
			return -EPERM;
		if (copy >= 0)
			reach->targets[reach->n++] = (struct target){.fd = fds[i], .number = copy};
	}
	return 0;
}

static int reach_by_trace(
	struct reach *reach, const struct unblock_fd *const *fds, size_t n, struct unblock_round *round)
{
	int result = unblock_trace_open(reach->u->proc, reach->look->thread, &reach->trace);

	if (result == -EBUSY) {
		reach->u->held = reach->trace;
		reach->trace = NULL;
	}
	if (result == -EAGAIN)
		round->kind = UNBLOCK_MOVING;
	for (size_t i = 0; result == 0 && i < n; i++)
		reach->targets[reach->n++] = (struct target){.fd = fds[i], .number = fds[i]->fd};
	return result;
}

/* Sockets only, and what is known to be the session is not even touched to be asked. */
static int reach_open(struct reach *reach, struct unblock_round *round)
{
	const struct unblock_fd *fds[UNBLOCK_MAX_FDS];
	size_t n = 0;

	for (size_t i = 0; i < reach->look->n_fds; i++) {
		const struct unblock_fd *fd = &reach->look->fds[i];

		if (S_ISSOCK(fd->mode) && fd->inode == (ino_t)reach->u->session_inode)
			round->kind = "session";
		else if (S_ISSOCK(fd->mode))
			fds[n++] = fd;
	}

	int result = n > 0 && reach->u->stages.getfd ? reach_by_copies(reach, fds, n) : -EPERM;

	return n > 0 && result == -EPERM && reach->u->stages.ptrace ? reach_by_trace(reach, fds, n, round) : result;
}

static void reach_close(struct reach *reach)
{
	for (size_t i = 0; i < reach->n && !reach->trace; i++)
		close(reach->targets[i].number);
	if (reach->trace && !unblock_trace_close(reach->trace))
		reach->u->held = reach->trace;
}

/* ---- acting ---- */

static bool shut(const struct reach *reach, const struct target *target)
{
	struct room room = {.len = 0};
	unsigned long args[6] = {(unsigned long)target->number, SHUT_RDWR};
	long result = reach_call(reach, &room, SYS_shutdown, args);

	/* Made again, a connect would begin anew. */
	if (result == 0 && reach->trace && strcmp(reach->look->call, "connect") == 0)
		unblock_trace_answer(reach->trace, -ECONNABORTED);
	return result == 0 || result == -ENOTCONN; /* not connected: whoever waits is woken all the same */
}

/* A resolver whose socket is shut spins until its own time is over. One whose question is refused goes on to the next
 * attempt: so the socket is pointed at a port where nobody is, and asks there. */
static bool refuse(const struct reach *reach, const struct target *target)
{
	struct room room = {.len = 0};
	bool is_6 = target->family == AF_INET6;
	unsigned long number = (unsigned long)target->number;

	if (is_6)
		*(struct sockaddr_in6 *)(void *)&room.name = (struct sockaddr_in6){
			.sin6_family = AF_INET6, .sin6_port = htons(PORT_REFUSING), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	else
		*(struct sockaddr_in *)(void *)&room.name = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_port = htons(PORT_REFUSING), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	unsigned long to[6] = {number, AT(&room.name), is_6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)};
	unsigned long one[6] = {number, AT(&room.name), 1, MSG_DONTWAIT | MSG_NOSIGNAL};

	return reach_call(reach, &room, SYS_connect, to) == 0 && reach_call(reach, &room, SYS_sendto, one) == 1;
}

static bool has_news(const struct unblock *u)
{
	struct pollfd session = {.fd = u->session, .events = POLLIN};

	return u->session >= 0 && poll(&session, 1, 0) != 0;
}

/* Is the call over, or about to be? A traced thread cannot move, so it need not be looked at again. */
static bool is_over(const struct reach *reach)
{
	if (!reach->trace && !unblock_look_again(reach->u->proc, reach->look))
		return true;
	for (size_t i = 0; i < reach->n; i++) {
		if (ask_ready(reach, &reach->targets[i]))
			return true;
	}
	return has_news(reach->u);
}

static void act(const struct reach *reach, struct unblock_round *round)
{
	for (size_t i = 0; i < reach->n; i++) {
		const struct target *target = &reach->targets[i];
		bool is_done =
			(target->verdict == SHUT && shut(reach, target)) || (target->verdict == REFUSE && refuse(reach, target));

		if (!is_done)
			continue;
		round->n++;
		round->kind = target->kind;
		if (round->did != UNBLOCK_SHUT)
			round->did = target->verdict == SHUT ? UNBLOCK_SHUT : UNBLOCK_REFUSED;
	}
}

bool unblock_socket_free(struct unblock *u, const struct unblock_look *look, struct unblock_round *round)
{
	struct reach reach = {.u = u, .look = look};
	size_t n_acts = 0, n_listening = 0;

	if (reach_open(&reach, round) == 0) {
		for (size_t i = 0; i < reach.n; i++) {
			reach.targets[i].verdict = judge(&reach, &reach.targets[i]);
			n_acts += reach.targets[i].verdict == SHUT || reach.targets[i].verdict == REFUSE;
			n_listening += reach.targets[i].verdict == LISTENING;
			if (strcmp(round->kind, "session") != 0)
				round->kind = reach.targets[i].kind;
		}
		if (n_acts > 0 && !is_over(&reach))
			act(&reach, round);
	}
	reach_close(&reach);
	return n_acts == 0 && n_listening > 0;
}
