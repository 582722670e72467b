/* SPDX-License-Identifier: MIT */
/* The tables of all keys: what may stand where, of what kind, with which default. Reading, printing and the reference
 * all go by them; a new key is a new row. */
#ifndef QBUS_HOST_CONF_SCHEMA_H
#define QBUS_HOST_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qbus/plugin.h>

/* How a value is written and what field it fills. The first ones are the kinds of a plugin's options. */
enum conf_kind {
	CONF_STRING = QB_STRING,     /* const char * */
	CONF_SECRET = QB_SECRET,     /* const char * */
	CONF_INT = QB_INT,           /* int64_t */
	CONF_BOOL = QB_BOOL,         /* bool */
	CONF_DURATION = QB_DURATION, /* int64_t, microseconds */
	CONF_SIZE = QB_SIZE,         /* int64_t, bytes */
	CONF_LIST = QB_LIST,         /* const struct qb_pair *, directly followed by a size_t for their number */
	CONF_MAP = QB_MAP,           /* the same */
	CONF_FILE = QB_FILE,         /* const char * */
	CONF_NUMBERS,                /* as CONF_LIST, of whole numbers */
	CONF_WORD,                   /* an enum: one of the key's words */
	CONF_RATIO,                  /* double */
	CONF_MODE,                   /* int64_t, written in octal */
	CONF_ADDRESS,                /* const char *, HOST:PORT */
	CONF_USER,                   /* const char *, a user that exists */
	CONF_GROUP,                  /* const char *, a group that exists */
	CONF_DIRECTORY,              /* const char *, a directory that exists */
	CONF_PART,                   /* a mapping that is read by tables of its own; fills nothing */
	CONF_N_KINDS
};

struct conf_word {
	const char *name; /* NULL ends a list */
	int value;
};

struct conf_key {
	const char *path; /* dotted below its section: "backoff.initial" stands in a mapping called backoff */
	enum conf_kind kind;
	size_t offset;        /* of the field in the section's struct; for a plugin's option: its index */
	const char *fallback; /* the default as it would stand in the file; NULL: none, the field stays zero */
	int64_t min, max;     /* of INT, DURATION, SIZE, RATIO and NUMBERS; both 0: only what the kind itself asks */
	const struct conf_word *words;
	const char *off_word; /* another accepted value: DURATION -1, INT 0, strings NULL */
	const char *alias;    /* another accepted path, or NULL */
	bool is_required, is_option;
	const char *help; /* one sentence */
};

struct conf_table {
	const struct conf_key *keys;
	size_t n_keys;
};

/* The parts of a file that have a table each, and the struct that it fills. */
enum conf_part {
	CONF_ROOT,     /* struct conf */
	CONF_BROKER,   /* struct conf_broker; the plugin's options stand beside */
	CONF_PIPELINE, /* struct conf_pipeline */
	CONF_SOURCE,   /* struct conf_pipeline; the plugin's options stand beside */
	CONF_FETCH,    /* nothing; only the plugin's options */
	CONF_POOL,     /* struct conf_pool */
	CONF_N_PARTS
};

const struct conf_table *conf_schema_table(enum conf_part part);
/* "pools.NAME" for CONF_POOL: where the part stands in the file; "" for the root. */
const char *conf_schema_place(enum conf_part part);
/* "string", "duration", ... as the reference says it. */
const char *conf_schema_kind_name(enum conf_kind kind);

#endif
