/* SPDX-License-Identifier: MIT */
/* What the configuration says of one pipeline, in the units of the machine: microseconds and bytes. Filled by
 * host/conf, read by everybody, changed by nobody. */
#ifndef QBUS_CORE_PIPELINE_CONF_H
#define QBUS_CORE_PIPELINE_CONF_H

#include <stdbool.h>
#include <stdint.h>

enum pipeline_ordering { ORDERING_NONE, ORDERING_PARTITION, ORDERING_KEY };
enum pipeline_oversize { OVERSIZE_DEAD_LETTER, OVERSIZE_REJECT, OVERSIZE_STREAM };

struct pipeline_backoff {
	int64_t initial_us, max_us;
	double multiplier;
	double jitter; /* 0..1: the share of the delay that is random */
};

struct pipeline_breaker {
	double failure_ratio; /* 0: no breaker */
	int64_t window_us, open_for_us;
	int64_t min_samples;
};

struct pipeline_dead_letter {
	const char *target;      /* Kafka topic or AMQP exchange; NULL: none */
	const char *routing_key; /* AMQP */
	bool reject;             /* AMQP: basic.reject, the queue's own dead-letter exchange takes it */
};

struct pipeline_conf {
	const char *name;
	const char *broker;
	const char *pool; /* NULL: workers attach from outside */
	enum pipeline_ordering ordering;
	const char *ordering_header; /* with ORDERING_KEY: the header that is the key; NULL: the message's own */
	enum pipeline_oversize oversize;
	int64_t commit_interval_us;
	int64_t revoke_timeout_us;
	int64_t max_ack_gap;
	int64_t max_outstanding_messages;
	int64_t max_outstanding_bytes;
	int64_t max_message_bytes;
	int64_t stream_threshold;
	int64_t handler_timeout_us;
	int64_t handler_break_us; /* -1: off */
	int64_t handler_grace_us;
	int64_t max_extension_us;
	int64_t max_attempts; /* 0: no limit */
	int64_t max_age_us;   /* 0: no limit */
	int64_t credit;       /* 0: auto */
	struct pipeline_backoff backoff;
	struct pipeline_breaker breaker;
	struct pipeline_dead_letter dead_letter;
};

#endif
