/* SPDX-License-Identifier: MIT */
/* How a consumer tells the bench what it has handled: datagrams "PID COUNT MOMENT", the moment in nanoseconds of the
 * monotonic clock. The first message is told, then every so many, or every TALLY_STEP_MS where fewer come in that
 * time. Of a live load a datagram goes on with a number for each message, how many microseconds ago it was due.
 * count.php does the same. */
#ifndef QBUS_BENCH_TALLY_H
#define QBUS_BENCH_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The environment of a consumer. */
#define TALLY_SOCKET "QBUS_BENCH_SOCKET" /* path of the bench's datagram socket */
#define TALLY_WORK "QBUS_BENCH_WORK"     /* microseconds of work for each message, in PHP */
#define TALLY_SLEEP "QBUS_BENCH_SLEEP"   /* microseconds of sleep for each message, in PHP */
#define TALLY_READ "QBUS_BENCH_READ"     /* how a handler reads a body, in PHP: whole, stream, or not at all */
#define TALLY_BATCH "QBUS_BENCH_BATCH"   /* messages that a handler takes together, in PHP; 0: one at a time */
#define TALLY_EVERY "QBUS_BENCH_EVERY"   /* how many messages make a datagram */
#define TALLY_LIVE "QBUS_BENCH_LIVE"     /* not empty: the messages of the load tell when they were due */

enum { TALLY_STEP_MS = 20, TALLY_MAX_SAMPLES = 500, TALLY_TEXT = 12288 };

struct tally {
	int fd;
	uint64_t every, count;
	bool is_live;
	char samples[TALLY_TEXT]; /* of messages that are not told yet */
	size_t n_samples, len;
	int64_t told_ns;
};

/* 0, or -1 after a sentence on stderr. */
int tally_open(struct tally *tally);
void tally_close(struct tally *tally);
void tally_add(struct tally *tally, uint64_t n_messages);
/* Counts one message with this body, of a live load (is_live). */
void tally_add_live(struct tally *tally, const char *body, size_t size);

int64_t tally_now_ns(void);

#endif
