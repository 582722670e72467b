/* SPDX-License-Identifier: MIT */
/* The most that the client library may hold of the partitions of one member, as far as what came until now tells.
 *
 * Sources of the terms (librdkafka 2.0.2 and 2.8.0, Kafka 3.9 and 4.1; all measured as well):
 *  - a partition is put into a fetch while its queue holds less than queue_bytes (rd_kafka_toppar_fetch_decide), so at
 *    most queue_bytes and one fetch of it come together there;
 *  - a fetch of a partition is max_partition_bytes, but the first batch of an answer comes whole (KIP-74), and what it
 *    becomes when it is unpacked is bounded by nothing: so the largest one of the last minutes counts when it is more;
 *  - one fetch at a time is under way at a broker; its answer is max_bytes or that first batch. Until it is taken
 *    apart, and while a message that is left keeps the rest of it, it is there beside what the queues count.
 * Not in it: about 315 bytes for each message, and the answers that a partition's few messages keep while their lane is
 * shut and others go on. The source's thread only. */
#ifndef KAFKA_AHEAD_H
#define KAFKA_AHEAD_H

#include <stddef.h>
#include <stdint.h>

/* AHEAD_READINGS: how many of ahead_read, of which there is one each second, make a period. What was large counts for
 * the rest of its period and for the next: one large message in a day shall not leave others without memory all day. */
enum { AHEAD_READINGS = 300 };

struct ahead {
	int64_t queue_bytes, partition_bytes, answer_bytes; /* the options */
	int64_t largest;                                    /* most of a partition that came in one piece, unpacked */
	int64_t largest_recent;                             /* the same, of the period that goes on */
	unsigned n_readings;                                /* of that period */
	int64_t n_brokers;                                  /* that lead partitions of ours; 0: not known yet */
	int64_t held;                                       /* in all queues, when the statistics were read last */
};

void ahead_init(struct ahead *ahead, int64_t queue_bytes, int64_t partition_bytes, int64_t answer_bytes);
/* A message, or whatever else cannot come in parts, of so many bytes has come. */
void ahead_see(struct ahead *ahead, int64_t bytes);
/* Takes the library's statistics (JSON); those without a partition change held alone. */
void ahead_read(struct ahead *ahead, const char *statistics);
/* Bytes for so many partitions. 0 for none. */
int64_t ahead_limit(const struct ahead *ahead, size_t n_lanes);

#endif
