/* SPDX-License-Identifier: MIT */
/* What a process has received over TCP, as the kernel counts it: whatever library it reads with, and whatever it
 * says. */
#ifndef QBUS_BENCH_TRAFFIC_H
#define QBUS_BENCH_TRAFFIC_H

#include <stdint.h>
#include <sys/types.h>

/* Bytes that came so far through the TCP connections that the process holds open now, acknowledged ones, without
 * headers; -1: the kernel does not tell. Reads /proc and the table of all connections: not for a hot path. */
int64_t traffic_received(pid_t pid);

#endif
