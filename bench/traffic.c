/* SPDX-License-Identifier: MIT */
/* Asks the kernel by netlink (sock_diag) for all TCP connections, and adds up those whose inodes the process holds. */
#include "traffic.h"

#include <dirent.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Those to workers are found first and are not TCP: room for the most workers, and for a broker's connections. */
enum { MAX_SOCKETS = 1024, ANSWER = 32768 };

struct sockets {
	uint64_t inodes[MAX_SOCKETS];
	size_t n;
};

static void find_sockets(pid_t pid, struct sockets *ret_sockets)
{
	char path[64], link[64];

	ret_sockets->n = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);

	DIR *directory = opendir(path);

	for (const struct dirent *entry; directory && (entry = readdir(directory));) {
		ssize_t len = readlinkat(dirfd(directory), entry->d_name, link, sizeof(link) - 1);

		link[len > 0 ? len : 0] = '\0';
		if (ret_sockets->n < MAX_SOCKETS && sscanf(link, "socket:[%" SCNu64, &ret_sockets->inodes[ret_sockets->n]) == 1)
			ret_sockets->n++;
	}
	if (directory)
		closedir(directory);
}

static bool is_ours(const struct sockets *sockets, uint64_t inode)
{
	for (size_t i = 0; i < sockets->n; i++) {
		if (sockets->inodes[i] == inode)
			return true;
	}
	return false;
}

/* One connection of the answer. */
static uint64_t bytes_of(const struct nlmsghdr *message)
{
	const struct inet_diag_msg *connection = NLMSG_DATA(message);
	size_t len = message->nlmsg_len - NLMSG_LENGTH(sizeof(*connection));
	struct tcp_info info = {0};

	for (const struct rtattr *it = (const void *)(connection + 1); RTA_OK(it, len); it = RTA_NEXT(it, len)) {
		if (it->rta_type == INET_DIAG_INFO)
			memcpy(&info, RTA_DATA(it), RTA_PAYLOAD(it) < sizeof(info) ? RTA_PAYLOAD(it) : sizeof(info));
	}
	return info.tcpi_bytes_received;
}

/* Returns whether more will come. */
static bool take_answer(const char *answer, size_t len, const struct sockets *sockets, int64_t *total)
{
	for (const struct nlmsghdr *it = (const void *)answer; NLMSG_OK(it, len); it = NLMSG_NEXT(it, len)) {
		if (it->nlmsg_type == NLMSG_ERROR)
			*total = -1;
		if (it->nlmsg_type == NLMSG_DONE || it->nlmsg_type == NLMSG_ERROR)
			return false;
		if (is_ours(sockets, ((const struct inet_diag_msg *)NLMSG_DATA(it))->idiag_inode))
			*total += (int64_t)bytes_of(it);
	}
	return true;
}

/* -1: it does not answer. */
static int64_t ask(int fd, unsigned char family, const struct sockets *sockets)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.sdiag_family = family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_ext = 1 << (INET_DIAG_INFO - 1),
			.idiag_states = ~0u},
	};
	_Alignas(struct nlmsghdr) char answer[ANSWER];
	int64_t total = 0;
	ssize_t len = 0;

	if (send(fd, &request, sizeof(request), 0) != sizeof(request))
		return -1;
	do {
		len = recv(fd, answer, sizeof(answer), 0);
	} while (len > 0 && take_answer(answer, (size_t)len, sockets, &total));
	return len > 0 ? total : -1;
}

int64_t traffic_received(pid_t pid)
{
	struct sockets sockets;
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return -1;
	find_sockets(pid, &sockets);

	int64_t of_v4 = ask(fd, AF_INET, &sockets), of_v6 = ask(fd, AF_INET6, &sockets);

	close(fd);
	return of_v4 < 0 ? -1 : of_v4 + (of_v6 > 0 ? of_v6 : 0);
}
