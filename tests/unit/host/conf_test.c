/* SPDX-License-Identifier: MIT */
/* What is complained about, and where; which values come out; what is printed can be read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_fake.h"
#include "host/conf.h"

/* Three lines that are right; what a test adds begins on line 4. */
#define BROKERS "brokers: { k: { type: kafka, bootstrap_servers: a:1 } }\n"
#define PIPELINES "pipelines: { p: { source: { broker: k, topics: t } } }\n"
#define BASE BROKERS PIPELINES "log: { level: warn }\n"
/* A pipeline whose own keys begin on line 5, indented by four. */
#define KAFKA BROKERS "pipelines:\n  p:\n    source: { broker: k, topics: t }\n"
#define AMQP "brokers: { a: { type: amqp } }\npipelines:\n  p:\n    source: { broker: a, queue: q }\n"
#define TEN "0123456789"

struct wrong {
	const char *text;
	const char *complaints;
};

static struct conf *parse(const char *text)
{
	return conf_parse("f", text, strlen(text), conf_fake_find, NULL);
}

/* The complaints, a line each, without the file's name. */
static char *complaints_of(const struct conf *conf)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	for (size_t i = 0; i < conf->n_complaints; i++)
		fprintf(out, "%d:%d: %s%s\n", conf->complaints[i].line, conf->complaints[i].column,
			conf->complaints[i].is_error ? "" : "warning: ", conf->complaints[i].sentence);
	fclose(out);
	return text;
}

static void assert_complaints(const char *text, const char *expected)
{
	struct conf *conf = parse(text);
	char *complaints = complaints_of(conf);
	assert_string_equal(complaints, expected);
	free(complaints);
	conf_free(conf);
}

#define ASSERT_ALL(table)                                                                                              \
	for (size_t i = 0; i < sizeof(table) / sizeof *(table); i++)                                                       \
	assert_complaints((table)[i].text, (table)[i].complaints)

static void what_is_no_configuration_is_refused(void **state)
{
	static const struct wrong table[] = {
		{"", "1:1: the file is empty\n"},
		{"# nothing\n", "1:1: the file is empty\n"},
		{"- a\n", "1:1: expected a mapping, found a list\n"},
		{"a\n", "1:1: expected a mapping, found a single value\n"},
		{"a: [\n", "2:1: not valid YAML: did not find expected node content while parsing a flow node\n"},
		{"a:\n\tb: c\n",
			"2:1: not valid YAML: found character that cannot start any token while scanning for the next token\n"},
		{BASE "---\na: b\n", "4:1: a second document begins here; only one is read\n"},
		{"a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n", "1:20: nested too deeply for a configuration\n"},
		{"[a]: b\n", "1:1: expected the name of a key, found a list\n"
					 "1:1: missing required key \"brokers\"\n1:1: missing required key \"pipelines\"\n"},
		{BASE "socket: &x { path: a }\n", "4:9: anchors (&x) are not used here; write the value out\n"},
		{BASE "socket: { path: *x }\n", "4:17: aliases (*x) are not used here; write the value out\n"},
		{BASE "socket: { path: !!str x }\n",
			"4:17: tags (tag:yaml.org,2002:str) are not used here; the key decides the type\n"},
		{BASE "socket: { path: \"a\\0b\" }\n", "4:17: the value holds a zero byte\n"},
	};
	(void)state;
	ASSERT_ALL(table);
}

static void keys_are_checked_at_every_level(void **state)
{
	static const struct wrong table[] = {
		{BASE, ""},
		{BASE "sokcet: { path: a }\n", "4:1: unknown key \"sokcet\" (did you mean \"socket\"?)\n"},
		{BASE "socket: { pth: a }\n", "4:11: unknown key \"pth\" (did you mean \"path\"?)\n"},
		{BASE "socket.path: a\n", "4:1: unknown key \"socket.path\"\n"},
		{BASE "socket: a\n", "4:9: \"socket\" must be a mapping, but this is a single value\n"},
		{BASE "log: { level: info }\n", "4:1: duplicate key \"log\" (it stands on line 3 already)\n"},
		{BASE "socket: { path: a, path: b }\n", "4:20: duplicate key \"path\" (it stands on line 4 already)\n"},
		{"pipelines: { p: { source: { broker: k } } }\n",
			"1:1: missing required key \"brokers\"\n1:37: there is no \"k\" under brokers\n"},
		{BROKERS "pipelines: {}\n", "2:12: \"pipelines\" holds nothing\n"},
		{BROKERS "pipelines: [p]\n", ""
									 "2:12: \"pipelines\" must be a mapping of names, but this is a list\n"},
		{BROKERS "pipelines: { p: { pool: x } }\npools: { y: { command: c } }\n",
			"2:14: missing required key \"source\"\n"
			"2:25: there is no \"x\" under pools (did you mean \"y\"?)\n"},
		{BROKERS "pipelines: { \"a b\": { source: { broker: k, topics: t } } }\n",
			"2:14: the name \"a b\" may have at most 64 letters, digits, '.', '_' and '-', and no others\n"},
		{"brokers: { k: { type: kafka, brokers: a }, unused: { type: amqp } }\n" PIPELINES
		 "pools: { y: { command: c } }\n",
			"1:44: warning: no pipeline uses the broker \"unused\"\n3:10: warning: no pipeline uses the pool \"y\"\n"},
		{BROKERS "pipelines: { p: }\n", "2:17: \"p\" must be a mapping, but this is no value\n"},
	};
	(void)state;
	ASSERT_ALL(table);
}

static void options_of_plugins_are_keys_like_others(void **state)
{
	static const struct wrong table[] = {
		{"brokers: { k: { typ: kafka } }\n" PIPELINES, "1:12: missing required key \"type\"\n"},
		{"brokers: { k: { type: kafak, whatever: 1 } }\n" PIPELINES, "1:23: there is no such plugin here\n"},
		{"brokers: { k: { type: kafka } }\n" PIPELINES, "1:12: missing required key \"bootstrap_servers\"\n"},
		{"brokers: { k: { type: kafka, brokers: a:1 } }\n" PIPELINES, ""},
		{"brokers: { k: { type: kafka, brokers: a, bootstrap_servers: b } }\n" PIPELINES,
			"1:42: \"brokers\" and \"bootstrap_servers\" are two names of one key; write one of them\n"},
		{"brokers: { k: { type: kafka, brokers: a, security: { protcol: x, password_fil: y } } }\n" PIPELINES,
			"1:54: unknown key \"protcol\" (did you mean \"protocol\"?)\n"
			"1:66: unknown key \"password_fil\" (did you mean \"password_file\"?)\n"},
		{"brokers: { k: { type: kafka, brokers: a, security: { password_file: /nonexistent/x } } }\n" PIPELINES,
			"1:69: cannot read \"/nonexistent/x\": No such file or directory\n"},
		{"brokers: { k: { type: kafka, brokers: a, security: { ca_file: /nonexistent/x } } }\n" PIPELINES,
			"1:63: cannot read \"/nonexistent/x\": No such file or directory\n"},
		{"brokers: { k: { type: kafka, brokers: a, security: { password: [hunter2] } } }\n" PIPELINES,
			"1:64: \"security.password\" must be a single value (secret), but this is a list\n"},
		{"brokers: { k: { type: kafka, brokers: a, properties: [b] } }\n" PIPELINES,
			"1:54: \"properties\" must be a mapping, but this is a list\n"},
		{"brokers: { k: { type: kafka, brokers: a, properties: { a.b: [c], d: } } }\n" PIPELINES,
			"1:61: expected a single value, found a list\n1:69: expected a single value, found no value\n"},
		{BROKERS "pipelines: { p: { source: { broker: k, topic: t } } }\n",
			"2:19: missing required key \"topics\"\n2:40: unknown key \"topic\" (did you mean \"topics\"?)\n"},
		{BROKERS "pipelines: { p: { source: { broker: K, topic: t } } }\n",
			""
			"2:37: there is no \"K\" under brokers (did you mean \"k\"?)\n"},
		{KAFKA "    fetch: { max_bytes: 8, maxFetchSize: 8MiB }\n",
			"5:25: \"max_bytes\" must be between 1KiB and 1GiB\n"
			"5:28: \"max_bytes\" and \"maxFetchSize\" are two names of one key; write one of them\n"},
		{KAFKA "    fetch: { maxFetchSiz: 8MiB }\n",
			"5:14: unknown key \"maxFetchSiz\" (did you mean \"maxFetchSize\"?)\n"},
		{KAFKA "    fetch: { min_bytes: 0 }\n", "5:25: \"min_bytes\" must be at least 1\n"},
		/* the plugin's own judgement, where the option stands, or the pipeline */
		{KAFKA "    fetch: { min_bytes: 9MiB }\n", "5:25: min_bytes is above max_bytes\n"},
		{BROKERS "pipelines: { p: { source: { broker: k, topics: t, static: true } } }\n",
			"2:14: warning: a static member of a group without a name of its own\n"},
		{"brokers: { k: { type: kafka, brokers: nowhere } }\n" PIPELINES, "2:14: nowhere is no place\n"},
		{"brokers: { k: { type: kafka, brokers: nowhere, x: y } }\n" PIPELINES, "1:48: unknown key \"x\"\n"},
	};
	(void)state;
	ASSERT_ALL(table);
}

static void values_are_checked_by_their_kind(void **state)
{
	static const struct wrong table[] = {
		{KAFKA "    handler_timeout: 30\n", "5:22: the duration \"30\" has no unit (write 30ms, 30s or 30m)\n"},
		{KAFKA "    handler_timeout: 30 s\n", "5:22: bad duration \"30 s\" (write it as 250ms, 30s, 5m or 1h)\n"},
		{KAFKA "    handler_timeout: 1.5s\n", "5:22: bad duration \"1.5s\" (write it as 250ms, 30s, 5m or 1h)\n"},
		{KAFKA "    handler_timeout: 99999999999999999999h\n", "5:22: \"99999999999999999999h\" is too large\n"},
		{KAFKA "    handler_timeout: 0s\n", "5:22: \"handler_timeout\" must be between 1ms and 7d\n"},
		{KAFKA "    handler_timeout: [30s]\n",
			"5:22: \"handler_timeout\" must be a single value (duration), but this is a list\n"},
		{KAFKA "    handler_timeout:\n", "5:21: \"handler_timeout\" has no value; write one or remove the key\n"},
		{KAFKA "    handler_timeout: off\n", "5:22: bad duration \"off\" (write it as 250ms, 30s, 5m or 1h)\n"},
		{KAFKA "    max_message_bytes: 4MB\n", "5:24: bad size \"4MB\" (did you mean \"4MiB\"?)\n"},
		{KAFKA "    max_message_bytes: 4 mib\n", "5:24: bad size \"4 mib\" (did you mean \"4MiB\"?)\n"},
		{KAFKA "    max_message_bytes: 4TiB\n", "5:24: bad size \"4TiB\" (write it as 64KiB, 4MiB or 1GiB)\n"},
		{KAFKA "    max_message_bytes: 99999999999GiB\n", "5:24: \"99999999999GiB\" is too large\n"},
		{KAFKA "    max_attempts: many\n", "5:19: expected a whole number, found \"many\"\n"},
		{KAFKA "    max_attempts: -1\n", "5:19: \"max_attempts\" must be between 0 and 1000000000\n"},
		{KAFKA "    ordering: keys\n",
			"5:15: \"ordering\" cannot be \"keys\"; it is one of none, partition, key (did you mean \"key\"?)\n"},
		{KAFKA "    backoff: { jitter: 1.5, multiplier: nan }\n",
			"5:24: \"backoff.jitter\" must be between 0 and 1\n5:41: expected a number as in 0.5, found \"nan\"\n"},
		{KAFKA "    credit: 0\n", "5:13: \"credit\" must be between 1 and 65535\n"},
		{KAFKA "    oversize: stream\n    stream_threshold: 256KiB\n", ""},
		{KAFKA "    max_age: 1h\n", ""},
		{BASE "socket: { mode: \"0999\", allow_uids: [1, x] }\n",
			"4:17: bad mode \"0999\" (write it in octal, as in \"0660\")\n4:41: expected a whole number, found "
			"\"x\"\n"},
		{BASE "socket: { group: no-such-group, owner: no-such-user }\n",
			"4:18: this machine has no group \"no-such-group\"\n4:40: this machine has no user \"no-such-user\"\n"},
		{BASE "admin: { listen: 9180 }\n", "4:18: bad address \"9180\" (write it as 127.0.0.1:9180 or [::1]:9180)\n"},
		{BASE "admin: { listen: \"::1:9180\" }\n",
			"4:18: bad address \"::1:9180\" (write it as 127.0.0.1:9180 or [::1]:9180)\n"},
		{BASE "admin: { listen: \"[::1]:0\", socket: off }\n", ""},
		{KAFKA "    pool: w\npools: { w: { command: [], directory: /nonexistent } }\n",
			"6:24: \"command\" must not be empty\n6:39: cannot use \"/nonexistent\": No such file or directory\n"},
		{KAFKA "    pool: w\npools: { w: { num_workers: 0 } }\n",
			"6:10: missing required key \"command\"\n6:28: \"num_workers\" must be between 1 and 10000\n"},
		{KAFKA "    pool: w\npools: { w: { command: php, environment: { \"A=B\": c } } }\n",
			"6:42: \"A=B\" cannot be the name of a variable\n"},
	};
	(void)state;
	ASSERT_ALL(table);
}

static void keys_are_checked_against_each_other(void **state)
{
	static const struct wrong table[] = {
		{BASE "admin: { socket: /run/qbus/qbus.sock }\n",
			"4:18: \"socket.path\" and \"admin.socket\" must be two different files\n"},
		{BASE "socket: { path: /" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "0123456 }\n",
			"4:17: the path of a socket may have at most 107 bytes, this one has 108\n"},
		{BASE "socket: { mode: 0666 }\n",
			"4:17: warning: this mode lets every user of the machine in; \"socket.allow_uids\" would say who may\n"},
		{BASE "socket: { mode: 0666, allow_uids: 33 }\n", ""},
		{BROKERS "memory: { max_bytes: 16MiB }\n" PIPELINES,
			"3:14: \"max_message_bytes\" (32MiB) is above \"memory.max_bytes\" (16MiB)\n"
			"3:14: warning: "
			"\"max_outstanding_bytes\" (64MiB) is above \"memory.max_bytes\" (16MiB), "
			"which is reached first\n"},
		{KAFKA "    max_outstanding_bytes: 8MiB\n", "3:3: warning: one message of \"max_message_bytes\" (32MiB) goes "
													"beyond \"max_outstanding_bytes\" (8MiB)\n"},
		{KAFKA "    fetch: { max_bytes: 252MiB }\n",
			"5:12: \"fetch\" may take 257MiB (max_bytes + queue_bytes + max_partition_bytes), "
			"\"memory.max_bytes\" is 256MiB\n"},
		{KAFKA "    fetch: { max_bytes: 251MiB }\n", ""},
		{KAFKA "    handler_timeout: 60s\n", "5:22: warning: \"handler_timeout\" (1m) is above "
											 "\"shutdown.drain_timeout\" (30s): a stop can cut a handler "
											 "short\n"},
		{KAFKA "    backoff: { initial: 2m }\n", "5:25: \"backoff.initial\" is above \"backoff.max\"\n"},
		{KAFKA "    breaker: { window: 10s }\n", "5:24: a breaker needs \"breaker.failure_ratio\", as in 0.5\n"},
		{KAFKA "    ordering_header: customer\n", "5:22: \"ordering_header\" needs \"ordering: key\"\n"},
		{KAFKA "    oversize: dead_letter\n", "5:15: \"oversize: dead_letter\" needs a \"dead_letter\"\n"},
		{KAFKA "    dead_letter: { topic: d, reject: true }\n",
			"5:38: \"dead_letter.reject\" does not suit a broker of type kafka (write "
			"topic)\n"
			"5:38: a dead letter goes to one place: a topic, an exchange, or reject: true\n"},
		{KAFKA "    dead_letter: { routing_key: d }\n",
			"5:33: \"dead_letter.routing_key\" needs \"dead_letter.exchange\" "
			"(\"\" is the default exchange)\n"},
		{AMQP "    dead_letter: { topic: d }\n",
			"5:27: \"dead_letter.topic\" does not suit a broker of type amqp (write "
			"exchange and "
			"routing_key, or reject: true)\n"},
		{AMQP "    dead_letter: { exchange: \"\", routing_key: d }\n",
			"5:30: the plugin amqp cannot publish, so it cannot write dead "
			"letters\n"},
		{AMQP "    dead_letter: { reject: true }\n    oversize: dead_letter\n", ""},
		{KAFKA "    pool: w\npools: { w: { command: c, max_worker_memory: { soft: 2GiB, hard: 1GiB } } }\n",
			"6:54: \"max_worker_memory.soft\" is above \"max_worker_memory.hard\"\n"},
	};
	(void)state;
	ASSERT_ALL(table);
}

static void variables_are_filled_in(void **state)
{
	(void)state;
	setenv("CONF_TEST", "w ${x}", 1);
	setenv("CONF_TEST_EMPTY", "", 1);
	unsetenv("CONF_TEST_UNSET");
	struct conf *conf = parse(KAFKA "    pool: ww\npools: { ww: { command: [\"a${CONF_TEST}b\", "
									"'${CONF_TEST_UNSET:-c}', \"${CONF_TEST_EMPTY:-d}\", "
									"\"${CONF_TEST_EMPTY}\", \"$${CONF_TEST}\", $5, \"$$${CONF_TEST_UNSET}\"], "
									"num_workers: \"${CONF_TEST_UNSET:-7}\" } }\n");
	static const char *const expected[] = {"aw ${x}b", "c", "d", "", "${CONF_TEST}", "$5", "$${CONF_TEST_UNSET}"};
	assert_int_equal(conf->n_complaints, 0);
	assert_int_equal(conf->pools[0].n_command, 7);
	for (size_t i = 0; i < 7; i++)
		assert_string_equal(conf->pools[0].command[i].text, expected[i]);
	assert_int_equal(conf->pools[0].num_workers, 7);
	conf_free(conf);
	assert_complaints(BASE "socket: { path: \"a${CONF_TEST_UNSET}\" }\n",
		"4:17: the environment has no CONF_TEST_UNSET (write ${CONF_TEST_UNSET:-default} to allow that)\n");
	/* the plugin does not see what was not filled in */
	assert_complaints("brokers: { k: { type: kafka, brokers: \"${CONF_TEST_UNSET}\" } }\n" PIPELINES,
		"1:39: the environment has no CONF_TEST_UNSET (write ${CONF_TEST_UNSET:-default} to allow that)\n");
	assert_complaints(BASE "socket: { path: \"${a b}\" }\n",
		"4:17: bad variable \"${a b}\" (write ${NAME} or ${NAME:-default}, and $${ for a plain ${)\n");
	assert_complaints(BASE "socket: { path: \"${A\" }\n",
		"4:17: bad variable \"${A\" (write ${NAME} or ${NAME:-default}, and $${ for a plain ${)\n");
}

static void what_is_not_given_has_its_default(void **state)
{
	(void)state;
	struct conf *conf = parse(BASE "pools: { w: { command: php } }\n");
	const struct pipeline_conf *pipeline = &conf->pipelines[0].conf;
	const struct qb_value *values = conf->pipelines[0].source.values;
	assert_int_equal(conf->n_errors, 0);
	assert_string_equal(conf->socket.path, "/run/qbus/qbus.sock");
	assert_int_equal(conf->socket.mode, 0660);
	assert_int_equal(conf->log.level, LOG_WARN);
	assert_int_equal(conf->memory_max_bytes, INT64_C(256) << 20);
	assert_int_equal(conf->drain_timeout_us, 30000000);
	assert_string_equal(pipeline->name, "p");
	assert_null(pipeline->pool);
	assert_int_equal(pipeline->ordering, ORDERING_NONE);
	assert_int_equal(pipeline->oversize, OVERSIZE_REJECT);
	assert_int_equal(pipeline->max_outstanding_messages, 20000);
	assert_int_equal(pipeline->max_outstanding_bytes, 64 << 20);
	assert_int_equal(pipeline->handler_timeout_us, 30000000);
	assert_int_equal(pipeline->handler_break_us, 100000);
	assert_int_equal(pipeline->credit, 0);
	assert_int_equal(pipeline->max_age_us, 0);
	assert_true(pipeline->backoff.jitter == 0.2 && pipeline->backoff.multiplier == 2);
	assert_true(pipeline->breaker.failure_ratio == 0);
	assert_ptr_equal(conf->pipelines[0].broker, &conf->brokers[0]);
	assert_int_equal(conf->pipelines[0].source.max_outstanding_bytes, 64 << 20);
	assert_string_equal(values[0].text, "a:1");
	assert_string_equal(values[1].text, "plaintext");
	assert_false(values[1].is_set);
	assert_null(values[2].text);
	assert_int_equal(values[5].n_items, 1);
	assert_string_equal(values[5].items[0].text, "t");
	assert_null(values[5].items[0].name);
	assert_true(values[5].is_set);
	assert_int_equal(values[8].number, 8 << 20);
	assert_int_equal(values[10].number, 100000);
	assert_true(conf->pools[0].num_workers >= 1);
	assert_int_equal(conf->pools[0].ttl_us, INT64_C(3600000000));
	conf_free(conf);
}

static void free_keys_tell_what_they_look_like(void **state)
{
	(void)state;
	struct conf *conf =
		parse("brokers: { a: { type: amqp } }\npipelines: { p: { source: { broker: a, queue: q, declare: "
			  "{ arguments: { i: -20, b: true, s: quorum, q: \"5\", z: 007 } } } },\n"
			  "  d: { source: { broker: a, queue: q }, handler_break: off, credit: 7 } }\n");
	static const enum qb_kind kinds[] = {QB_INT, QB_BOOL, QB_STRING, QB_STRING, QB_STRING};
	assert_int_equal(conf->n_errors, 0);
	const struct qb_value *given = &conf->pipelines[0].source.values[3],
						  *fallback = &conf->pipelines[1].source.values[3];
	assert_int_equal(given->n_items, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(given->items[i].kind, kinds[i]);
	assert_int_equal(given->items[0].number, -20);
	assert_string_equal(given->items[0].name, "i");
	assert_int_equal(fallback->n_items, 2);
	assert_string_equal(fallback->items[0].name, "x-queue-type");
	assert_int_equal(fallback->items[1].number, 20);
	assert_int_equal(conf->pipelines[1].conf.handler_break_us, -1);
	assert_int_equal(conf->pipelines[1].conf.credit, 7);
	conf_free(conf);
}

static char *secret_file(const char *text, mode_t mode)
{
	char *path = strdup("/tmp/conf_test.XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static void secrets_are_read_from_files_and_never_printed(void **state)
{
	(void)state;
	char text[512], expected[256];
	char *file = secret_file("hunter2\n", 0600), *open_file = secret_file("hunter2", 0644), *printed = NULL;
	size_t len = 0;
	snprintf(text, sizeof text,
		"brokers:\n  k: { type: kafka, brokers: a, security: { password_file: %s }, properties: { sasl.password: "
		"hunter2, x: y } }\n"
		"  a: { type: amqp, url: [\"amqp://u:hunter2@h/v\", amqp://u@h:1] }\n"
		"pipelines:\n  p: { source: { broker: k, topics: t } }\n  q: { source: { broker: a, queue: t } }\n",
		file);
	struct conf *conf = parse(text);
	assert_int_equal(conf->n_complaints, 0);
	assert_string_equal(conf->pipelines[0].source.values[2].text, "hunter2");
	FILE *out = open_memstream(&printed, &len);
	conf_print(conf, out);
	fclose(out);
	assert_null(strstr(printed, "hunter2"));
	assert_non_null(strstr(printed, "password: \"***\""));
	assert_non_null(strstr(printed, "\"amqp://u:***@h/v\""));
	assert_non_null(strstr(printed, "\"amqp://u@h:1\""));
	assert_non_null(strstr(printed, "x: y"));
	conf_free(conf);
	snprintf(text, sizeof text,
		"brokers: { k: { type: kafka, brokers: a, security: { password_file: %s } } }\n" PIPELINES, open_file);
	snprintf(expected, sizeof expected, "1:69: warning: \"%s\" holds a secret and everybody may read it\n", open_file);
	assert_complaints(text, expected);
	unlink(file);
	unlink(open_file);
	free(file);
	free(open_file);
	free(printed);
}

static char *printed_of(const struct conf *conf)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	conf_print(conf, out);
	fclose(out);
	return text;
}

static void what_is_printed_reads_back_the_same(void **state)
{
	(void)state;
	struct conf *conf =
		parse("brokers:\n  k: { type: kafka, bootstrap_servers: \"a:1,\\\"b\\\"\\n$${c\", security: { protocol: "
			  "ssl }, properties: { a.b: 5, \"c d\": \"5\", e: true } }\n  \"007\": { type: amqp }\n"
			  "pipelines:\n  p: { source: { broker: k, topics: [t, ^u.*] }, fetch: { max_wait: 1500ms }, "
			  "ordering: key, dead_letter: { topic: d }, handler_break: off, credit: 5, pool: \"no\", "
			  "backoff: { jitter: 0.123 }, max_age: 36h, breaker: { failure_ratio: 0.5 } }\n"
			  "  q: { source: { broker: \"007\", queue: q } }\n"
			  "socket: { mode: 0600, allow_uids: [1, 2] }\nadmin: { listen: off }\n"
			  "pools: { \"no\": { command: [php, \"-d\", \"a=b\"], environment: { X: \"1\" } } }\n");
	assert_int_equal(conf->n_errors, 0);
	char *first = printed_of(conf);
	struct conf *again = parse(first);
	char *complaints = complaints_of(again);
	if (again->n_errors)
		fail_msg("%s\n%s", complaints, first);
	char *second = printed_of(again);
	assert_string_equal(first, second);
	assert_string_equal(again->brokers[0].values[0].text, "a:1,\"b\"\n${c");
	assert_non_null(strstr(first, "properties: { a.b: 5, \"c d\": \"5\", e: true }"));
	assert_non_null(strstr(first, "      max_wait: 1500ms\n"));
	assert_non_null(strstr(first, "      # max_bytes: 8MiB\n")); /* not given: to a plugin that can be a difference */
	assert_non_null(strstr(first, "      # declare:\n        # arguments: { x-queue-type: quorum"));
	assert_false(again->pipelines[0].source.values[8].is_set);
	assert_non_null(strstr(first, "max_age: 36h\n"));
	free(first);
	free(second);
	free(complaints);
	conf_free(conf);
	conf_free(again);
}

static void the_list_of_complaints_ends(void **state)
{
	(void)state;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	fputs(BASE, out);
	for (int i = 0; i < 150; i++)
		fprintf(out, "unknown%d: x\n", i);
	fclose(out);
	struct conf *conf = parse(text);
	assert_int_equal(conf->n_errors, 150);
	assert_int_equal(conf->n_complaints, 101);
	assert_string_equal(conf->complaints[0].sentence, "unknown key \"unknown0\"");
	assert_int_equal(conf->complaints[0].line, 4);
	assert_string_equal(conf->complaints[100].sentence, "and 50 more complaints");
	free(text);
	conf_free(conf);
}

static void a_file_must_be_readable_and_small(void **state)
{
	(void)state;
	char *text = NULL, *big = secret_file("", 0600);
	size_t len = 0;
	struct conf *conf = conf_load("/nonexistent/f.yaml", conf_fake_find, NULL);
	FILE *out = open_memstream(&text, &len);
	conf_complain(conf, out);
	fclose(out);
	assert_string_equal(text, "/nonexistent/f.yaml:1:1: cannot be read: No such file or directory\n");
	assert_int_equal(conf->n_errors, 1);
	free(text);
	conf_free(conf);
	assert_int_equal(truncate(big, 2 << 20), 0);
	conf = conf_load(big, conf_fake_find, NULL);
	assert_int_equal(conf->n_complaints, 1);
	assert_non_null(strstr(conf->complaints[0].sentence, "at most 1MiB"));
	conf_free(conf);
	unlink(big);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_configuration_is_refused),
		cmocka_unit_test(keys_are_checked_at_every_level),
		cmocka_unit_test(options_of_plugins_are_keys_like_others),
		cmocka_unit_test(values_are_checked_by_their_kind),
		cmocka_unit_test(keys_are_checked_against_each_other),
		cmocka_unit_test(variables_are_filled_in),
		cmocka_unit_test(what_is_not_given_has_its_default),
		cmocka_unit_test(free_keys_tell_what_they_look_like),
		cmocka_unit_test(secrets_are_read_from_files_and_never_printed),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
		cmocka_unit_test(the_list_of_complaints_ends),
		cmocka_unit_test(a_file_must_be_readable_and_small),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
