/* SPDX-License-Identifier: MIT */
/* The configuration: one YAML file read into typed structs, with every complaint about it, each at its line and column.
 *
 * One struct conf owns all that it holds (strings, arrays, option values, complaints) in one arena; nothing of it
 * changes after conf_load. A plugin that a conf names must stay loaded until conf_free. Main thread. Durations are
 * microseconds, sizes are bytes. Optional strings are NULL when they are not given. */
#ifndef QBUS_HOST_CONF_H
#define QBUS_HOST_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <qbus/plugin.h>

#include "base/log.h"
#include "core/pipeline_conf.h"

enum conf_log_format { CONF_LOG_AUTO, CONF_LOG_TEXT, CONF_LOG_JSON };

struct conf_socket {
	const char *path;
	const char *owner, *group;        /* names that exist */
	const struct qb_pair *allow_uids; /* each in .number; both none: whom the mode lets in */
	size_t n_allow_uids;
	const struct qb_pair *allow_gids;
	size_t n_allow_gids;
	int64_t mode, max_connections, handshake_timeout_us; /* mode: permission bits */
};

struct conf_admin {
	const char *listen; /* HOST:PORT; NULL: off */
	const char *socket; /* path; NULL: off */
};

struct conf_log {
	enum log_level level;
	enum conf_log_format format;
};

struct conf_broker {
	const char *name;
	const char *type;
	const struct qb_plugin *plugin; /* never NULL in a conf without errors */
	const struct qb_value *values;  /* parallel to the plugin's options; set are those of the broker */
};

struct conf_pipeline {
	struct pipeline_conf conf;
	const struct conf_broker *broker;
	struct qb_source_conf source; /* for the plugin's open; values stand parallel to the plugin's options */
	const char *dead_letter_topic, *dead_letter_exchange; /* how the file says it; conf.dead_letter is what counts */
};

struct conf_pool {
	const char *name;
	const struct qb_pair *command; /* argv, each in .text; at least one */
	size_t n_command;
	int64_t num_workers;              /* at least 1; default: the processors that may be used */
	int64_t max_jobs, max_processes;  /* 0: no limit */
	int64_t recycle_after_breaks;     /* 0: never for that reason */
	int64_t leak_check;               /* look every N messages; 0: off */
	int64_t soft_memory, hard_memory; /* bytes of RSS; 0: no limit */
	int64_t ttl_us, idle_ttl_us, allocate_timeout_us, destroy_timeout_us; /* ttl, idle_ttl 0: no limit */
	bool has_private_ipc;
	const struct qb_pair *environment; /* name and text */
	size_t n_environment;
	const char *user, *directory; /* that exist */
};

/* One sentence about one place of the file. line and column count from 1. */
struct conf_complaint {
	int line, column;
	bool is_error; /* false: a warning */
	const char *sentence;
};

struct conf {
	const char *file;
	struct conf_socket socket;
	struct conf_admin admin;
	struct conf_log log;
	int64_t memory_max_bytes;
	int64_t drain_timeout_us;
	struct conf_broker *brokers;
	size_t n_brokers;
	struct conf_pipeline *pipelines; /* in the order of the file: a pipeline's index is its number */
	size_t n_pipelines;
	struct conf_pool *pools;
	size_t n_pools;
	const char **hidden; /* variables that the brokers are configured with, ends with NULL: not for workers to see */
	size_t n_hidden;
	const struct conf_complaint *complaints; /* by position */
	size_t n_complaints;
	size_t n_errors; /* above 0: nothing else of this conf may be used but conf_complain and conf_free */
	struct conf_arena *arena;
};

/* Finds the plugin that is called type. NULL: there is none; *ret_reason is then one sentence without a full stop,
 * valid until the next call. */
typedef const struct qb_plugin *conf_lookup(void *ctx, const char *type, const char **ret_reason);

/* Reads and checks a file. Never NULL: what went wrong stands in the complaints, and n_errors says whether it may be
 * used. Files named in it (secrets) are read now. Nothing is connected to. */
struct conf *conf_load(const char *file, conf_lookup *lookup, void *ctx);
/* The same for a text that is at hand; name stands for the file in complaints. Whether this machine has the directories
 * of the sockets and the programs of the workers is not judged. */
struct conf *conf_parse(const char *name, const char *text, size_t len, conf_lookup *lookup, void *ctx);
void conf_free(struct conf *conf);

/* Prints each complaint as a line `FILE:LINE:COL: sentence` (warnings: `FILE:LINE:COL: warning: sentence`). */
void conf_complain(const struct conf *conf, FILE *out);
/* Prints the effective configuration as YAML that conf_load takes; secrets are masked. */
void conf_print(const struct conf *conf, FILE *out);
/* Prints every key, one a line: path, kind, default, sentence, with tabs between. NAME stands for what the operator
 * names. The keys of each given plugin follow under brokers.NAME, pipelines.NAME.source and pipelines.NAME.fetch. */
void conf_reference(const struct qb_plugin *const *plugins, size_t n_plugins, FILE *out);

#endif
