/* SPDX-License-Identifier: MIT */
/* How a consumer tells the bench what it has handled: datagrams "PID COUNT MOMENT", the moment in nanoseconds of the
 * monotonic clock. The first message is told, then every so many. worker.php does the same. */
#ifndef QBUS_BENCH_TALLY_H
#define QBUS_BENCH_TALLY_H

#include <stdint.h>

/* The environment of a consumer. */
#define TALLY_SOCKET "QBUS_BENCH_SOCKET" /* path of the bench's datagram socket */
#define TALLY_WORK "QBUS_BENCH_WORK"     /* microseconds of work for each message, in PHP */
#define TALLY_SLEEP "QBUS_BENCH_SLEEP"   /* microseconds of sleep for each message, in PHP */
#define TALLY_EVERY "QBUS_BENCH_EVERY"   /* how many messages make a datagram */

struct tally {
	int fd;
	uint64_t every, count;
};

/* 0, or -1 after a sentence on stderr. */
int tally_open(struct tally *tally);
void tally_close(struct tally *tally);
void tally_add(struct tally *tally, uint64_t n_messages);

int64_t tally_now_ns(void);

#endif
