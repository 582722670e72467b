/* SPDX-License-Identifier: MIT */
/* A broker for those who have none: librdkafka's small Kafka in this process, on the loopback, in memory. */
#ifndef QBUS_BENCH_EMBEDDED_H
#define QBUS_BENCH_EMBEDDED_H

#include <stddef.h>
#include <stdint.h>

/* What it keeps of a partition before it drops the oldest, with room for an uneven spread of keys. */
enum { EMBEDDED_PARTITION_BYTES = 3 << 20, EMBEDDED_MAX_PARTITIONS = 128 };

struct embedded;

/* Starts it with one topic. NULL after a sentence on stderr. */
struct embedded *embedded_open(const char *topic, uint64_t n_partitions);
/* host:port, as long as it runs. */
const char *embedded_address(const struct embedded *embedded);
void embedded_close(struct embedded *embedded);

#endif
