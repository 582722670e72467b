/* SPDX-License-Identifier: MIT */
/* The tables of all keys of the runtime itself. Keys of brokers and sources stand in the plugins. */
#include "host/conf_schema.h"

#include "host/conf.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define MANY INT64_C(1000000000)

static const struct conf_word levels[] = {
	{"error", LOG_ERROR},
	{"warn", LOG_WARN},
	{"info", LOG_INFO},
	{"debug", LOG_DEBUG},
	{NULL},
};
static const struct conf_word formats[] = {
	{"auto", CONF_LOG_AUTO},
	{"text", CONF_LOG_TEXT},
	{"json", CONF_LOG_JSON},
	{NULL},
};
static const struct conf_word orderings[] = {
	{"none", ORDERING_NONE},
	{"partition", ORDERING_PARTITION},
	{"key", ORDERING_KEY},
	{NULL},
};
static const struct conf_word oversizes[] = {
	{"dead_letter", OVERSIZE_DEAD_LETTER},
	{"reject", OVERSIZE_REJECT},
	{"stream", OVERSIZE_STREAM},
	{NULL},
};

/* One row a key: path, kind, field, then what applies of the rest. */
#define ROOT(path, kind, field) path, kind, offsetof(struct conf, field)
#define PIPELINE(path, kind, field) path, kind, offsetof(struct conf_pipeline, field)
#define POOL(path, kind, field) path, kind, offsetof(struct conf_pool, field)

static const struct conf_key root_keys[] = {
	{ROOT("socket.path", CONF_STRING, socket.path), "/run/qbus/qbus.sock",
		.help = "The Unix socket that workers connect to."},
	{ROOT("socket.mode", CONF_MODE, socket.mode), "0660", .help = "Permission bits of the socket, in octal."},
	{ROOT("socket.owner", CONF_USER, socket.owner), .help = "User that the socket is given to; needs root."},
	{ROOT("socket.group", CONF_GROUP, socket.group), .help = "Group that the socket is given to."},
	{ROOT("socket.allow_uids", CONF_NUMBERS, socket.allow_uids), .max = UINT32_MAX - 1,
		.help = "Numbers of the users that may connect; none: everybody whom the mode lets in."},
	{ROOT("socket.allow_gids", CONF_NUMBERS, socket.allow_gids), .max = UINT32_MAX - 1,
		.help = "Numbers of groups whose members may connect; with allow_uids: who is in either list."},
	{ROOT("socket.max_connections", CONF_INT, socket.max_connections), "4096", 1, 1000000,
		.help = "Workers at once; more are refused."},
	{ROOT("socket.handshake_timeout", CONF_DURATION, socket.handshake_timeout_us), "10s", 1000, HOUR,
		.help = "How long a worker may take for its first word, or for the rest of a frame that it began."},
	{ROOT("admin.listen", CONF_ADDRESS, admin.listen), "off", .off_word = "off",
		.help = "HOST:PORT of the metrics and health checks."},
	{ROOT("admin.socket", CONF_STRING, admin.socket), "off", .off_word = "off",
		.help = "The Unix socket of the command line's queries."},
	{ROOT("log.level", CONF_WORD, log.level), "info", .words = levels,
		.help = "The least important lines that are written."},
	{ROOT("log.format", CONF_WORD, log.format), "auto", .words = formats,
		.help = "auto is text on a terminal, JSON otherwise."},
	{ROOT("memory.max_bytes", CONF_SIZE, memory_max_bytes), "256MiB", MIB, 1024 * GIB,
		.help = "Ceiling of what all pipelines hold of messages, their client libraries included."},
	{ROOT("shutdown.drain_timeout", CONF_DURATION, drain_timeout_us), "30s", 0, DAY,
		.help = "How long running handlers may finish at a stop."},
	{"brokers", CONF_PART, .is_required = true, .help = "What is connected to, by names of your choice."},
	{"pipelines", CONF_PART, .is_required = true,
		.help = "What is consumed and by which rules, by names of your choice."},
	{"pools", CONF_PART, .help = "Worker processes that the proxy starts, by names of your choice."},
};

static const struct conf_key broker_keys[] = {
	{"type", CONF_STRING, offsetof(struct conf_broker, type), .is_required = true, .help = "The plugin's name."},
};

static const struct conf_key source_keys[] = {
	{PIPELINE("broker", CONF_STRING, conf.broker), .is_required = true, .help = "The name of an entry of brokers."},
};

static const struct conf_key pipeline_keys[] = {
	{"source", CONF_PART, .is_required = true, .help = "Where the messages come from."},
	{"fetch", CONF_PART, .help = "How much is fetched at a time."},
	{PIPELINE("commit_interval", CONF_DURATION, conf.commit_interval_us), "1s", 1000, HOUR,
		.help = "How often settled positions are committed."},
	{PIPELINE("max_ack_gap", CONF_INT, conf.max_ack_gap), "20000", 1, MANY,
		.help = "Messages acked above the lowest unsettled one before the lane takes no new work."},
	{PIPELINE("revoke_timeout", CONF_DURATION, conf.revoke_timeout_us), "10s", 0, DAY,
		.help = "How long running handlers may finish when a rebalance takes their partition."},
	{PIPELINE("ordering", CONF_WORD, conf.ordering), "none", .words = orderings,
		.help = "What is handled in order: nothing, the messages of a partition, those of a key."},
	{PIPELINE("ordering_header", CONF_STRING, conf.ordering_header),
		.help = "With ordering: key, the header whose value is the key; a message without it has its own key."},
	{PIPELINE("max_outstanding_messages", CONF_INT, conf.max_outstanding_messages), "20000", 1, MANY,
		.help = "Messages held, buffered and in flight together."},
	{PIPELINE("max_outstanding_bytes", CONF_SIZE, conf.max_outstanding_bytes), "64MiB", 1024, 1024 * GIB,
		.help = "Bytes held, buffered and in flight together."},
	{PIPELINE("max_message_bytes", CONF_SIZE, conf.max_message_bytes), "32MiB", 1, GIB,
		.help = "A body above this is oversize."},
	{PIPELINE("oversize", CONF_WORD, conf.oversize), .words = oversizes,
		.help = "What becomes of a message that is too big; dead_letter where there is one, else reject."},
	{PIPELINE("stream_threshold", CONF_SIZE, conf.stream_threshold), "1MiB", 1, GIB,
		.help = "A body above this goes to the worker in chunks, as it reads them."},
	{PIPELINE("handler_timeout", CONF_DURATION, conf.handler_timeout_us), "30s", 1000, 7 * DAY,
		.help = "How long a handler may take for one message before it is told to stop."},
	{PIPELINE("handler_break", CONF_DURATION, conf.handler_break_us), "100ms", 0, HOUR, .off_word = "off",
		.help = "How much later the call that it hangs in is broken."},
	{PIPELINE("handler_grace", CONF_DURATION, conf.handler_grace_us), "5s", 0, HOUR,
		.help = "How much later its worker is ended."},
	{PIPELINE("max_extension", CONF_DURATION, conf.max_extension_us), "10m", 0, 7 * DAY,
		.help = "How far a handler may move its own deadline."},
	{PIPELINE("max_attempts", CONF_INT, conf.max_attempts), "5", 0, MANY,
		.help = "Attempts before a message is given up; 0: no limit, which is the default without a dead_letter."},
	{PIPELINE("backoff.initial", CONF_DURATION, conf.backoff.initial_us), "500ms", 0, DAY,
		.help = "Wait before the second attempt."},
	{PIPELINE("backoff.multiplier", CONF_RATIO, conf.backoff.multiplier), "2", 1, 100, .help = "Growth of the wait."},
	{PIPELINE("backoff.max", CONF_DURATION, conf.backoff.max_us), "1m", 0, 7 * DAY, .help = "Longest wait."},
	{PIPELINE("backoff.jitter", CONF_RATIO, conf.backoff.jitter), "0.2", 0, 1,
		.help = "Share of the wait that is random."},
	{PIPELINE("max_age", CONF_DURATION, conf.max_age_us), .max = 3650 * DAY,
		.help = "A message that was fetched longer ago is not tried again; 0s: no limit."},
	{PIPELINE("dead_letter.topic", CONF_STRING, dead_letter_topic),
		.help = "Topic that takes what is given up (brokers with topics)."},
	{PIPELINE("dead_letter.exchange", CONF_STRING, dead_letter_exchange),
		.help = "Exchange that takes what is given up (brokers with queues)."},
	{PIPELINE("dead_letter.routing_key", CONF_STRING, conf.dead_letter.routing_key),
		.help = "Routing key for that exchange."},
	{PIPELINE("dead_letter.reject", CONF_BOOL, conf.dead_letter.reject),
		.help = "Reject instead; the queue's own dead-letter exchange takes it (brokers with queues)."},
	{PIPELINE("breaker.failure_ratio", CONF_RATIO, conf.breaker.failure_ratio), "0", 0, 1,
		.help = "Share of failures that stops delivery for a while; 0: no breaker."},
	{PIPELINE("breaker.window", CONF_DURATION, conf.breaker.window_us), "30s", 1000, DAY,
		.help = "Time over which failures are counted."},
	{PIPELINE("breaker.min_samples", CONF_INT, conf.breaker.min_samples), "20", 1, MANY,
		.help = "Fewer attempts than this in the window decide nothing."},
	{PIPELINE("breaker.open_for", CONF_DURATION, conf.breaker.open_for_us), "10s", 1000, DAY,
		.help = "How long delivery stops before single messages probe."},
	{PIPELINE("credit", CONF_INT, conf.credit), "auto", 1, 65535, .off_word = "auto",
		.help = "Messages that a worker may hold; auto goes by the measured handling time."},
	{PIPELINE("pool", CONF_STRING, conf.pool),
		.help = "The name of an entry of pools; none: workers come from outside."},
};

static const struct conf_key pool_keys[] = {
	{POOL("command", CONF_LIST, command), .is_required = true, .help = "Program and arguments of a worker."},
	{POOL("num_workers", CONF_INT, num_workers), .min = 1, .max = 10000,
		.help = "How many workers run; by default as many as there are processors."},
	{POOL("max_jobs", CONF_INT, max_jobs), "0", 0, MANY,
		.help = "A worker is renewed after so many messages; 0: no limit."},
	{POOL("recycle_after_breaks", CONF_INT, recycle_after_breaks), "0", 0, MANY,
		.help = "A worker is renewed after calls of so many handlers, or parts, were broken; 0: it is kept."},
	{POOL("leak_check", CONF_INT, leak_check), "0", 0, MANY,
		.help = "Look for PHP values that keep growing every so many messages, up to 20 ms each time; 0: off."},
	{POOL("ttl", CONF_DURATION, ttl_us), "1h", .max = 3650 * DAY,
		.help = "A worker is renewed at this age; 0s: no limit."},
	{POOL("idle_ttl", CONF_DURATION, idle_ttl_us), "10m", .max = 3650 * DAY,
		.help = "A worker without work for so long is renewed; 0s: never."},
	{POOL("max_worker_memory.soft", CONF_SIZE, soft_memory), "96MiB", 0, 1024 * GIB,
		.help = "Above this (resident) a worker is renewed after its message; 0: no limit."},
	{POOL("max_worker_memory.hard", CONF_SIZE, hard_memory), "192MiB", 0, 1024 * GIB,
		.help = "Above this its handler is told to stop, and killed when that does not help; 0: no limit."},
	{POOL("max_worker_processes", CONF_INT, max_processes), "512", 0, MANY,
		.help = "Processes and threads of a worker; needs a delegated cgroup, else no effect; 0: no limit."},
	{POOL("private_ipc", CONF_BOOL, has_private_ipc), "true",
		.help =
			"Each worker has System V memory and semaphores of its own that go with it; needs root, else no effect."},
	{POOL("allocate_timeout", CONF_DURATION, allocate_timeout_us), "10s", 1000, HOUR,
		.help = "How long a worker may take from its start to its first word."},
	{POOL("destroy_timeout", CONF_DURATION, destroy_timeout_us), "5s", 0, HOUR,
		.help = "How long a worker may take to end before it is killed."},
	{POOL("environment", CONF_MAP, environment), .help = "Variables that the workers get on top."},
	{POOL("user", CONF_USER, user), .help = "User that the workers run as; needs root."},
	{POOL("directory", CONF_DIRECTORY, directory),
		.help = "Directory that the workers start in; none: the proxy's own."},
};

const struct conf_table *conf_schema_table(enum conf_part part)
{
	static const struct conf_table tables[CONF_N_PARTS] = {
		[CONF_ROOT] = {root_keys, COUNT(root_keys)},
		[CONF_BROKER] = {broker_keys, COUNT(broker_keys)},
		[CONF_PIPELINE] = {pipeline_keys, COUNT(pipeline_keys)},
		[CONF_SOURCE] = {source_keys, COUNT(source_keys)},
		[CONF_FETCH] = {NULL, 0},
		[CONF_POOL] = {pool_keys, COUNT(pool_keys)},
	};
	return &tables[part];
}

const char *conf_schema_place(enum conf_part part)
{
	static const char *const places[CONF_N_PARTS] = {
		[CONF_ROOT] = "",
		[CONF_BROKER] = "brokers.NAME",
		[CONF_PIPELINE] = "pipelines.NAME",
		[CONF_SOURCE] = "pipelines.NAME.source",
		[CONF_FETCH] = "pipelines.NAME.fetch",
		[CONF_POOL] = "pools.NAME",
	};
	return places[part];
}

const char *conf_schema_kind_name(enum conf_kind kind)
{
	static const char *const names[CONF_N_KINDS] = {
		[CONF_STRING] = "string",
		[CONF_SECRET] = "secret",
		[CONF_INT] = "integer",
		[CONF_BOOL] = "boolean",
		[CONF_DURATION] = "duration",
		[CONF_SIZE] = "size",
		[CONF_LIST] = "list",
		[CONF_MAP] = "mapping",
		[CONF_FILE] = "file",
		[CONF_NUMBERS] = "integers",
		[CONF_WORD] = "word",
		[CONF_RATIO] = "number",
		[CONF_MODE] = "mode",
		[CONF_ADDRESS] = "address",
		[CONF_USER] = "user",
		[CONF_GROUP] = "group",
		[CONF_DIRECTORY] = "directory",
		[CONF_PART] = "part",
	};
	return names[kind];
}
