/* SPDX-License-Identifier: MIT */
/* What a rig records. Everything is a copy and lives until rig_free. */
#ifndef RIG_RECORD_H
#define RIG_RECORD_H

#include <qbus/plugin.h>

struct rig_lane {
	uint64_t id;
	char *source;
	int32_t partition;
	int64_t next;
	char *memo;
	int64_t last;    /* newest receipt delivered, -1: none */
	int64_t asked;   /* newest receipt that settles_all has settled, -1: none */
	int64_t settled; /* newest receipt that the broker has kept, -1: none */
	size_t n_messages;
	bool is_closing;
	bool is_drained;
	bool is_closed;
};

struct rig_message {
	uint64_t lane;
	int64_t receipt;
	int64_t timestamp_ms;
	int32_t partition;
	uint32_t deliveries;
	char *source, *exchange, *routing_key, *key, *body; /* NUL-terminated copies; NULL: none */
	size_t key_len, body_len;
	char **headers; /* name, value, name, value ... */
	size_t n_headers;
};

struct rig_settled {
	uint64_t lane;
	int64_t receipt;
	int status;
};

struct rig_published {
	uint64_t token;
	int status;
	char *reason;
};

struct rig_condition {
	enum qb_condition what;
	uint64_t lane;
	bool on;
	char *reason;
};

struct rig_measure {
	enum qb_measure what;
	uint64_t lane;
	int64_t value;
};

struct rig_text {
	int option; /* of a complaint; -1 in the log */
	int level;  /* enum qb_level of a log line; a complaint: QB_ERROR or QB_WARN */
	char *text;
};

#endif
