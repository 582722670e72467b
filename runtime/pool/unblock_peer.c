/* SPDX-License-Identifier: MIT */
/* Asks the kernel (sock_diag) which two local sockets belong together. */
#include "pool/unblock_socket.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NO_COOKIE = -1 };

static bool ask(int netlink, ino_t inode)
{
	struct {
		struct nlmsghdr header;
		struct unix_diag_req request;
	} message = {
		.header = {.nlmsg_len = sizeof(message), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
		.request =
			{
				.sdiag_family = AF_UNIX,
				.udiag_states = ~0u,
				.udiag_ino = (uint32_t)inode,
				.udiag_show = UDIAG_SHOW_PEER,
				.udiag_cookie = {(uint32_t)NO_COOKIE, (uint32_t)NO_COOKIE},
			},
	};

	return send(netlink, &message, sizeof(message), MSG_DONTWAIT) == (ssize_t)sizeof(message);
}

static ino_t find_peer(const struct nlmsghdr *header)
{
	const struct unix_diag_msg *found = NLMSG_DATA(header);
	const struct rtattr *attribute = (const struct rtattr *)(found + 1);
	size_t len = header->nlmsg_len;

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || len < NLMSG_LENGTH(sizeof(*found)))
		return 0;
	len -= NLMSG_LENGTH(sizeof(*found));
	for (; RTA_OK(attribute, len); attribute = RTA_NEXT(attribute, len)) {
		uint32_t inode;

		if (attribute->rta_type == UNIX_DIAG_PEER && RTA_PAYLOAD(attribute) == sizeof(inode)) {
			memcpy(&inode, RTA_DATA(attribute), sizeof(inode));
			return inode;
		}
	}
	return 0;
}

/* The kernel answers within the send, so nothing is waited for. */
ino_t unblock_socket_peer(ino_t inode)
{
	union {
		struct nlmsghdr header;
		char bytes[1024];
	} answer;
	int netlink = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	ino_t peer = 0;

	if (netlink < 0)
		return 0;
	if (ask(netlink, inode)) {
		ssize_t len = recv(netlink, &answer, sizeof(answer), MSG_DONTWAIT);

		if (len > 0 && NLMSG_OK(&answer.header, (size_t)len))
			peer = find_peer(&answer.header);
	}
	close(netlink);
	return peer;
}

bool unblock_is_peer(pid_t pid, int session_fd)
{
	struct stat stat;
	ino_t peer = fstat(session_fd, &stat) == 0 ? unblock_socket_peer(stat.st_ino) : 0;
	int proc = peer ? unblock_look_open(pid) : -1;
	bool is_peer = proc >= 0 && unblock_look_owns(proc, peer) == 1;

	if (proc >= 0)
		close(proc);
	return is_peer;
}
