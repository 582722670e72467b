/* SPDX-License-Identifier: MIT */
/* The number of each row of the option table (plugin.c), and what the options of a source say. */
#ifndef KAFKA_OPTIONS_H
#define KAFKA_OPTIONS_H

#include <qbus/plugin.h>

enum option {
	OPTION_BOOTSTRAP_SERVERS,
	OPTION_EMBEDDED_TOPICS,
	OPTION_PROTOCOL,
	OPTION_MECHANISM,
	OPTION_USERNAME,
	OPTION_PASSWORD,
	OPTION_CA_FILE,
	OPTION_CERTIFICATE_FILE,
	OPTION_KEY_FILE,
	OPTION_KEY_PASSWORD,
	OPTION_INSECURE,
	OPTION_PROPERTIES,
	OPTION_TOPICS,
	OPTION_GROUP_ID,
	OPTION_START,
	OPTION_GROUP_INSTANCE_ID,
	OPTION_ASSIGNMENT,
	OPTION_SESSION_TIMEOUT,
	OPTION_MAX_POLL_INTERVAL,
	OPTION_MAX_BYTES,
	OPTION_MAX_PARTITION_BYTES,
	OPTION_MIN_BYTES,
	OPTION_MAX_WAIT,
	OPTION_QUEUE_BYTES,
	OPTION_QUEUE_MESSAGES,
	N_OPTIONS
};

const struct qb_value *options_value(const struct qb_source_conf *conf, enum option option);
/* "" when there is none. */
const char *options_text(const struct qb_source_conf *conf, enum option option);
int64_t options_number(const struct qb_source_conf *conf, enum option option);
bool options_is_embedded(const struct qb_source_conf *conf);
bool options_is_cooperative(const struct qb_source_conf *conf);

#endif
