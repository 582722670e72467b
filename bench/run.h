/* SPDX-License-Identifier: MIT */
/* What `qbus-bench run` was asked for, and its parts: fill, consume, report. Errors are told on stderr and are -1. */
#ifndef QBUS_BENCH_RUN_H
#define QBUS_BENCH_RUN_H

#include "child.h"
#include "column.h"
#include "measure.h"
#include "side.h"

#include <stdbool.h>
#include <stdio.h>

enum { RUN_MAX_OPTIONS = 32, RUN_MAX_ROUNDS = 99, RUN_MAX_PATH = 512, RUN_MAX_GROUP = 96 };

struct run_conf {
	const char *bootstrap, *topic; /* Kafka; url: AMQP */
	const char *url, *queue;
	bool is_generated;             /* neither: the proxy makes its messages itself */
	struct embedded *embedded;     /* the broker behind `bootstrap` when it is our own; NULL: it is not */
	uint64_t largest;              /* bytes of the largest message */
	const char *ordering, *credit; /* as in the configuration of the proxy */
	const char *size;              /* of a message: a number, or as sizes_read has it */
	uint64_t n_messages, n_workers, n_rounds, n_partitions, n_keys;
	uint64_t work_us, sleep_us; /* of the handler, for each message */
	uint64_t batch;             /* messages that a handler takes together; 0: one at a time */
	uint64_t rate;    /* messages a second that a producer sends or the proxy makes; 0: all are there before */
	uint64_t seconds; /* of a round; 0: until the last message */
	uint64_t max_workers, max_mebibytes; /* of tune: its bounds; max_mebibytes 0: none */
	const char *knobs;                   /* of tune: SECTION.KEY,SECTION.KEY...; NULL: all that it has */
	const char *trial;                   /* of tune: what is tried, for the progress; NULL: nothing */
	bool has_sweep;                      /* of tune: measure all combinations, too */
	enum side_id sides[N_SIDES];
	size_t n_sides;
	bool is_compare;         /* tell ratios */
	bool counts_calls;       /* system calls, in this round */
	bool skips_calls;        /* no extra round for system calls */
	const char *read;        /* how handlers read bodies: whole, stream; NULL: not at all */
	const char *json, *html; /* files for the result; NULL: none */
	const char *worker;      /* PHP file; NULL: our own */
	const char *proxy_options[RUN_MAX_OPTIONS], *plain_options[RUN_MAX_OPTIONS], *php_options[RUN_MAX_OPTIONS];
	size_t n_proxy_options, n_plain_options, n_php_options;
	uint64_t every;           /* messages in a tally */
	char proxy[RUN_MAX_PATH]; /* the program */
	char bench[RUN_MAX_PATH]; /* this program */
	char own_worker[RUN_MAX_PATH + 64];
	char directory[64];       /* private, removed at the end */
	char log[128], file[128]; /* in it: what the processes write; the configuration */
	char admin[128];          /* the proxy's socket for questions */
	char name[80];            /* of topic or queue, unless said */
	char group[64];           /* of this run; a round appends its number */
	int argc;
	char **argv;
};

struct run_results {
	struct measure_result rounds[N_SIDES][RUN_MAX_ROUNDS];
	size_t n_rounds;
	struct measure_result counted[N_SIDES]; /* an extra round in which system calls were counted; n_messages 0: none */
};

/* Of all rounds of a side; system calls are of the extra round. */
struct summary run_summary(const struct run_results *results, enum side_id side, size_t column);
/* Whether any side has it. */
bool run_has_column(const struct run_conf *conf, const struct run_results *results, size_t column);
/* "Kafka" */
const char *run_broker(const struct run_conf *conf);

/* How many messages must be there so that the tallies can reach n_messages: each worker may keep some untold. */
static inline uint64_t run_n_needed(const struct run_conf *conf)
{
	return conf->n_messages + conf->every * conf->n_workers;
}

/* Whether a producer sends while consumers read. */
static inline bool run_is_live(const struct run_conf *conf)
{
	return conf->rate && !conf->is_generated;
}

/* Whether so many messages a second are --rate: below 95 % of it a consumer has fallen behind. */
static inline bool run_keeps_up(const struct run_conf *conf, double messages_per_second)
{
	return messages_per_second >= 0.95 * (double)conf->rate;
}

/* Who reads a command line: each knows its own options. */
enum run_command { RUN_RUN = 1, RUN_COMPARE = 2, RUN_TUNE = 4 };

struct run_conf run_conf_default(int argc, char **argv);
/* Reads the command line. False: there is nothing to do but to exit with *ret_exit. */
bool run_ask(struct run_conf *conf, enum run_command command, const char *help, int *ret_exit);
/* For who looks at the times from due to done: whether --rate makes some. False after a sentence on stderr. */
bool run_rate_fits(const struct run_conf *conf);

/* Makes the topic or the queue if need be and fills it. A topic keeps its messages: it is filled once. A queue is
 * emptied and filled before each reading. Not for a live load. is_first: before the first round. */
int run_load(const struct run_conf *conf, bool is_first);
/* Starts a producer that sends conf->rate messages a second until it is stopped. */
int run_feed(const struct run_conf *conf, struct child *child);
/* Makes a topic or an empty queue if need be. What it holds from before is not for `group`, but for one message, which
 * tells that the consumer has begun. */
int run_live(const struct run_conf *conf, const char *group);

/* The consumer group of a side in a round. */
void run_group(const struct run_conf *conf, enum side_id side, size_t round, char ret_group[RUN_MAX_GROUP]);
/* Deletes a group that nobody is in any more; one that cannot be deleted goes when its broker forgets it. */
void run_forget(const struct run_conf *conf, const char *group);
/* Starts a consumer that has seen nothing yet. round: for its group's name. */
int run_start(const struct run_conf *conf, enum side_id side, size_t round, struct child *child);
/* Whether the proxy takes the configuration that would be made for it; what it says is in the log. */
bool run_is_taken(const struct run_conf *conf);
/* Whether this side can run here; tells on stderr when it cannot. */
bool run_is_there(const struct run_conf *conf, enum side_id side);
/* One of the proxy's settings as --proxy-option has them, written as YAML with everything around it. */
int run_write_options(FILE *file, const char *const *options, size_t n);
/* Prints the table; writes JSON and HTML if asked for. */
int run_report(const struct run_conf *conf, const struct run_results *results);

#endif
