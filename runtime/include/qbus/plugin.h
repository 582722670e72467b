/* SPDX-License-Identifier: MIT */
/* The contract between the runtime and a broker plugin: everything that either side may know of the other.
 *
 * A plugin is a shared object that exports one `const struct qb_plugin qbus_plugin`. It is data before code: `abi` and
 * `size` are checked before any function of it runs. An addition is a field at the end (readers check `size`); anything
 * else raises QB_ABI.
 *
 * Threads. A *source* is one opened instance of a plugin, made for one pipeline. All functions of a source are called
 * on that source's own thread, except those marked "any thread". The plugin calls the host's functions on that thread
 * only.
 *
 * Bytes. Whatever is passed across this border is borrowed for the length of the call; the callee copies what it keeps.
 * The runtime copies every message once, inside `deliver`, so a plugin may let go of its buffers when `deliver`
 * returns.
 *
 * Lanes. A lane is an ordered stream whose receipts live and die together: a Kafka partition assignment, an AMQP
 * channel. The runtime numbers lanes from 1 and never uses a number twice. Receipts ascend strictly within a lane and
 * may have holes. What is said of a closed lane, by either side, is ignored.
 *
 * Names with qb_ and QB_ are this contract and nothing else. */
#ifndef QBUS_PLUGIN_H
#define QBUS_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QB_ABI 1u

/* Borrowed bytes. data == NULL means "there is none", which is not the same as an empty value. */
struct qb_bytes {
	const void *data;
	size_t len;
};

struct qb_header {
	struct qb_bytes name;
	struct qb_bytes value;
};

struct qb_message {
	uint64_t lane;
	int64_t receipt;             /* Kafka: offset. AMQP: delivery tag. */
	int64_t timestamp_ms;        /* of the message, Unix time; -1: unknown */
	int32_t partition;           /* -1: the broker has no partitions */
	uint32_t deliveries;         /* earlier deliveries that the broker tells of; a hint, 0 when it tells nothing */
	struct qb_bytes source;      /* topic or queue */
	struct qb_bytes exchange;    /* AMQP only */
	struct qb_bytes routing_key; /* AMQP only */
	struct qb_bytes key;         /* Kafka only */
	struct qb_bytes body;
	const struct qb_header *headers;
	size_t n_headers;
};

/* ---- configuration: a plugin declares its options, the runtime reads and checks the file against them ---- */

enum qb_kind {
	QB_STRING,
	QB_SECRET, /* a string that is never printed */
	QB_INT,
	QB_BOOL,
	QB_DURATION, /* number in microseconds */
	QB_SIZE,     /* number in bytes */
	QB_LIST,     /* strings; a single scalar counts as a list of one */
	QB_MAP,      /* free keys, scalar values */
	QB_FILE,     /* path of a file that must be readable when the configuration is checked */
};

enum qb_scope {
	QB_BROKER, /* under brokers.NAME */
	QB_SOURCE, /* under pipelines.NAME.source */
	QB_FETCH,  /* under pipelines.NAME.fetch */
};

/* path: dotted below its scope ("security.username"). fallback: the default as it would stand in the file, NULL: none.
 * min and max bound INT, DURATION and SIZE (both 0: unbounded). For each QB_SECRET `x` the runtime also accepts
 * `x_file`. */
struct qb_option {
	const char *path;
	enum qb_kind kind;
	enum qb_scope scope;
	bool required;
	const char *fallback;
	int64_t min, max;
	const char *alias; /* another accepted path in the same scope, or NULL */
	const char *help;  /* one sentence */
};

struct qb_pair {
	const char *name; /* NULL in a list */
	const char *text;
	enum qb_kind kind; /* what the plain scalar looks like: QB_INT, QB_BOOL, else QB_STRING; quoted: QB_STRING */
	int64_t number;    /* INT and BOOL */
};

/* The value of the option with the same index. Strings live as long as the source. */
struct qb_value {
	bool is_set;      /* stands in the file; false: the fallback, or nothing */
	const char *text; /* STRING, SECRET, FILE; NULL: no value */
	int64_t number;   /* INT, BOOL, DURATION, SIZE */
	const struct qb_pair *items;
	size_t n_items; /* LIST, MAP */
};

/* ---- results and words ---- */

/* What poll and open say. LOST: the runtime closes this source, backs off and opens it again. FATAL: the operator must
 * act (refused credentials, missing queue); the runtime says so and tries again slowly. */
enum qb_result { QB_OK, QB_LOST, QB_FATAL };

enum qb_verdict { QB_ACK, QB_REJECT };

/* One settlement. With QB_SETTLE_PREFIX: everything of the lane up to and including `receipt` is settled, and `memo`
 * (printable ASCII, at most 4,096 bytes, may be empty) is to be kept with it and given back in lane_open; verdict is
 * QB_ACK. With QB_SETTLE_EACH: exactly this receipt is settled. */
struct qb_settlement {
	uint64_t lane;
	int64_t receipt;
	enum qb_verdict verdict;
	struct qb_bytes memo;
};

struct qb_graveyard; /* qbus/graveyard.h */

struct qb_outgoing {
	const char *target;      /* Kafka: topic. AMQP: exchange. */
	const char *routing_key; /* AMQP; NULL: empty */
	struct qb_bytes key;
	struct qb_bytes body;
	const struct qb_header *headers;
	size_t n_headers;
};

enum qb_level { QB_ERROR, QB_WARN, QB_INFO, QB_DEBUG };

enum qb_condition {
	QB_CONNECTED,      /* on: the broker answers. Off needs a reason. */
	QB_BLOCKED,        /* on: the broker does not take publications */
	QB_CANCELLED,      /* on: the broker ended the consumer (queue deleted, topic gone) */
	QB_WEDGED,         /* on: a lane cannot be read; only an operator skips it */
	QB_TARGET_MISSING, /* on: what `aim` named is not there, or not ours to write; said after `aim` only */
};

enum qb_measure {
	QB_LAG, /* PREFIX: messages behind the end of the lane; EACH: that wait at the broker, not sent to anybody */
	QB_QUEUE_BYTES,   /* held by the client library */
	QB_COMMIT_ERRORS, /* count since the start */
	QB_REBALANCES,    /* count since the start */
	QB_OVERSIZE,      /* so many more that the plugin has rejected for their size, before they were delivered */
	QB_UNREADABLE,    /* so many more that it has rejected because they cannot be decoded */
	QB_UNPROVEN, /* so many more whose settlement the broker never showed to have; said of QB_SETTLE_EACH at an end */
	QB_QUEUE_LIMIT, /* most that the client library may hold of the lanes that are open now, by what has come so far */
};

struct qb_lane_info {
	struct qb_bytes source;
	int32_t partition;    /* -1: none */
	int64_t next;         /* first receipt that can come, -1: unknown; what is below counts as settled */
	struct qb_bytes memo; /* what the last settlement left, or what a stranger left; may be empty */
};

/* ---- the host: what a plugin may ask of the runtime (source's thread only) ---- */

struct qb_host {
	uint32_t size;
	void *self;
	/* A new lane; messages of it may be delivered from now on. Never fails. */
	uint64_t (*lane_open)(void *self, const struct qb_lane_info *info);
	/* The plugin is about to give the lane up in peace: no more messages of it come. The runtime lets running handlers
	 * finish (bounded by revoke_timeout), sends the last settlement, then calls the plugin's lane_drained. */
	void (*lane_closing)(void *self, uint64_t lane);
	/* The lane is gone now, with or without lane_closing: what is unsettled in it is void. */
	void (*lane_close)(void *self, uint64_t lane);
	/* Hands over n messages (n >= 1) of open lanes; all are taken. At most the poll's budget. */
	void (*deliver)(void *self, const struct qb_message *messages, size_t n);
	/* The broker has (status 0) or has not (negative errno) kept the settlement up to this receipt of the lane;
	 * -EMSGSIZE: it has, but the memo is too long for it. Called once for each QB_SETTLE_PREFIX settlement. */
	void (*settled)(void *self, uint64_t lane, int64_t receipt, int status);
	/* The outcome of publish(token): 0 only when the broker confirmed and routed the message; else negative errno. */
	void (*published)(void *self, uint64_t token, int status, const char *reason);
	/* lane 0: the whole source. reason: one sentence, may be NULL when on is the good state. */
	void (*condition)(void *self, enum qb_condition what, uint64_t lane, bool on, const char *reason);
	void (*measure)(void *self, enum qb_measure what, uint64_t lane, int64_t value);
	/* Any thread. Present tense, facts as key=value, never a payload or a secret. */
	void (*log)(void *self, enum qb_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));
	/* After drain: everything that was received has been delivered, nothing more will come. Said once; a stop waits for
	 * it where the plugin has QB_FINISH_BUFFERED, other plugins need not say it. */
	void (*drained)(void *self);
	/* QB_SETTLE_PREFIX: nothing of the lane is left to come up to this receipt, which is higher than any before: what
	 * stands there is no message, as marks of a transaction are. The position passes it once all below is settled. */
	void (*passed)(void *self, uint64_t lane, int64_t receipt);
	bool (*is_hurried)(void *self); /* asked in close: shall it wait for nothing but what would come again? */
};

/* What open gets. Valid until close returns. */
struct qb_source_conf {
	const char *pipeline;          /* name, for client ids and logs */
	const char *broker;            /* name of the broker entry */
	const struct qb_value *values; /* parallel to the plugin's options */
	int64_t max_message_bytes;     /* bodies above this are not read into memory where that can be avoided */
	int64_t max_outstanding_messages;
	int64_t max_outstanding_bytes;
	int64_t revoke_timeout_us;
	int64_t commit_interval_us;
};

/* How much may be delivered in one poll. Both 0: none; the connection is still to be served. */
struct qb_budget {
	size_t messages;
	size_t bytes; /* a message that begins within the budget is delivered whole */
};

/* ---- the plugin ---- */

enum qb_trait {
	QB_SETTLE_PREFIX = 1,   /* the broker keeps one position a lane (Kafka) */
	QB_SETTLE_EACH = 2,     /* the broker wants every receipt (AMQP) */
	QB_FINISH_BUFFERED = 4, /* at a stop what is buffered is handled, not handed back (returns cost attempts) */
};

/* Complaint of `check` about the option with that index (-1: none in particular). is_error false: a warning. */
typedef void qb_complain(void *ctx, int option, bool is_error, const char *sentence);

struct qb_plugin {
	uint32_t abi;  /* QB_ABI */
	uint32_t size; /* sizeof(struct qb_plugin) */
	const char *name;
	uint32_t traits;
	const struct qb_option *options;
	size_t n_options;
	/* Name and version of the client library that is linked ("librdkafka 2.0.2"). Main thread. */
	const char *(*library)(void);
	/* Judges values and their combinations without touching the network. Main thread. NULL: nothing to judge. */
	void (*check)(const struct qb_source_conf *conf, qb_complain *complain, void *ctx);
	/* Connects and begins to consume. May block for the connection's own time-outs. On QB_OK *ret_source is set and
	 * close will be called; otherwise nothing is left behind and the reason was given with host->condition. */
	enum qb_result (*open)(const struct qb_host *host, const struct qb_source_conf *conf, void **ret_source);
	/* Serves the connection: waits up to timeout_ms for something to happen, delivers at most the budget, returns.
	 * Called for ever, also with an empty budget. Returns early when woken. */
	enum qb_result (*poll)(void *source, int timeout_ms, const struct qb_budget *budget);
	/* Settlements in the order of their making, of open lanes only. */
	void (*settle)(void *source, const struct qb_settlement *settlements, size_t n);
	/* Shuts or opens the lane's valve. A shut lane delivers nothing and loses nothing. New lanes are open. NULL: the
	 * plugin has no valve (its lanes are bounded by the broker). */
	void (*flow)(void *source, uint64_t lane, bool open);
	/* Stop fetching: no lane delivers anything new that was not received already. There is no way back but close. */
	void (*drain)(void *source);
	/* Answer to lane_closing: nothing of the lane is in flight any more and its last settlement was given to settle.
	 * NULL: the plugin never says lane_closing. */
	void (*lane_drained)(void *source, uint64_t lane);
	/* Publishes with confirmation; host->published(token) follows exactly once while the source is open. NULL: cannot.
	 */
	void (*publish)(void *source, const struct qb_outgoing *message, uint64_t token);
	/* Sends what settle was given, waits for the outcome (bounded by timeout_ms in all), leaves, frees. 0: at once. */
	void (*close)(void *source, int timeout_ms);
	/* Any thread, any time between open and close: makes a waiting poll return. */
	void (*wake)(void *source);
	/* Asked between polls after the process stood still: is it known by now which of the open lanes are still ours?
	 * True: a lane that was lost meanwhile is closed by the next poll at the latest. NULL: one poll always tells. */
	bool (*is_current)(void *source);
	/* An operator gives up what a wedged lane cannot read: it goes on behind `receipt`, and nothing up to there is
	 * delivered any more. 0; -EBUSY: the lane is not wedged; -ERANGE: the broker has nothing there; another -errno: it
	 * did not work. NULL: cannot. */
	int (*skip)(void *source, uint64_t lane, int64_t receipt);
	/* Dead letters, looked at by the command line. NULL: cannot. */
	const struct qb_graveyard *graveyard;
	/* Once after open: where publish will write to. The plugin looks, from time to time and without making it, whether
	 * that is there, and says QB_TARGET_MISSING of the whole source. NULL: the first publication shows. */
	void (*aim)(void *source, const char *target);
};

/* Whether this plugin, or this host, has the field, which came after `wake`, or `log`, and says something in it. */
#define QB_HAS(which, field)                                                                                           \
	((which)->size >= (size_t)((const char *)(&(which)->field + 1) - (const char *)(which)) && (which)->field)

/* The one symbol of a plugin. */
#define QB_PLUGIN_SYMBOL "qbus_plugin"

#endif
