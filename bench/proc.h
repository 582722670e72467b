/* SPDX-License-Identifier: MIT */
/* What /proc tells of a process; 0 when the process is gone. */
#ifndef QBUS_BENCH_PROC_H
#define QBUS_BENCH_PROC_H

#include <stdint.h>
#include <sys/types.h>

double proc_cpu_s(pid_t pid); /* user and system time */
uint64_t proc_rss_bytes(pid_t pid);
uint64_t proc_peak_bytes(pid_t pid); /* the highest rss_bytes of the whole life */

#endif
