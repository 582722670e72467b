/* SPDX-License-Identifier: MIT */
/* A host for one plugin in a test. */
#include "rig.h"

#include "rig_values.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Appends one zeroed element to a recorded array. */
#define APPEND(array, n) (array = append(array, &(n), sizeof(*(array))), &(array)[(n)-1])

static void *append(void *array, size_t *n, size_t size)
{
	if ((*n & (*n - 1)) == 0) {
		array = realloc(array, (*n ? *n * 2 : 1) * size);
		assert_non_null(array);
	}
	memset((char *)array + *n * size, 0, size);
	++*n;
	return array;
}

static char *copy_of(struct qb_bytes bytes)
{
	char *text = NULL;

	if (bytes.data) {
		text = malloc(bytes.len + 1);
		assert_non_null(text);
		memcpy(text, bytes.data, bytes.len);
		text[bytes.len] = '\0';
	}
	return text;
}

static char *text_of(const char *text)
{
	return text ? strdup(text) : NULL;
}

int64_t rig_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- what the plugin says ------------------------------------------------------------------------------------------
 */

static uint64_t host_lane_open(void *self, const struct qb_lane_info *info)
{
	struct rig *rig = self;
	struct rig_lane *lane = APPEND(rig->lanes, rig->n_lanes);

	lane->id = rig->n_lanes;
	lane->source = copy_of(info->source);
	lane->partition = info->partition;
	lane->next = info->next;
	lane->memo = copy_of(info->memo);
	lane->last = -1;
	lane->asked = -1;
	lane->settled = -1;
	return lane->id;
}

static void host_lane_closing(void *self, uint64_t id)
{
	struct rig_lane *lane = rig_lane_find(self, id);

	assert_non_null(lane);
	assert_false(lane->is_closed);
	assert_false(lane->is_closing);
	lane->is_closing = true;
}

static void host_lane_close(void *self, uint64_t id)
{
	struct rig_lane *lane = rig_lane_find(self, id);

	assert_non_null(lane);
	assert_false(lane->is_closed);
	lane->is_closed = true;
}

static void keep(struct rig *rig, const struct qb_message *message)
{
	size_t n = rig->n_messages;
	struct rig_message *kept;

	rig->messages = append(rig->messages, &n, sizeof(*rig->messages));
	kept = &rig->messages[n - 1];
	kept->lane = message->lane;
	kept->receipt = message->receipt;
	kept->timestamp_ms = message->timestamp_ms;
	kept->partition = message->partition;
	kept->deliveries = message->deliveries;
	kept->source = copy_of(message->source);
	kept->exchange = copy_of(message->exchange);
	kept->routing_key = copy_of(message->routing_key);
	kept->key = copy_of(message->key);
	kept->key_len = message->key.len;
	kept->body = copy_of(message->body);
	kept->body_len = message->body.len;
	kept->n_headers = message->n_headers;
	kept->headers = calloc(message->n_headers * 2 + 1, sizeof(*kept->headers));
	assert_non_null(kept->headers);
	for (size_t i = 0; i < message->n_headers; i++) {
		kept->headers[2 * i] = copy_of(message->headers[i].name);
		kept->headers[2 * i + 1] = copy_of(message->headers[i].value);
	}
}

static void host_deliver(void *self, const struct qb_message *messages, size_t n)
{
	struct rig *rig = self;
	struct rig_lane *lane = NULL;

	assert_true(n >= 1);
	assert_true(n <= rig->budget.messages);
	assert_false(rig->is_drained);
	for (size_t i = 0; i < n; i++) {
		if (!lane || lane->id != messages[i].lane)
			lane = rig_lane_find(rig, messages[i].lane);
		assert_non_null(lane);
		assert_false(lane->is_closed);
		assert_false(lane->is_closing);
		assert_true(messages[i].receipt > lane->last);
		assert_true(messages[i].receipt >= lane->next);
		lane->last = messages[i].receipt;
		lane->n_messages++;
		assert_true(rig->polled_bytes < rig->budget.bytes);
		rig->polled_bytes += messages[i].body.len;
		rig->bytes += messages[i].body.len;
		if (!rig->counts_only)
			keep(rig, &messages[i]);
		rig->n_messages++;
	}
}

static void host_settled(void *self, uint64_t id, int64_t receipt, int status)
{
	struct rig *rig = self;
	struct rig_settled *settled = APPEND(rig->settled, rig->n_settled);
	struct rig_lane *lane = rig_lane_find(rig, id);

	settled->lane = id;
	settled->receipt = receipt;
	settled->status = status;
	assert_non_null(lane);
	if (status == 0 && receipt > lane->settled)
		lane->settled = receipt;
}

static void host_published(void *self, uint64_t token, int status, const char *reason)
{
	struct rig *rig = self;
	struct rig_published *published = APPEND(rig->published, rig->n_published);

	published->token = token;
	published->status = status;
	published->reason = text_of(reason);
}

static void host_condition(void *self, enum qb_condition what, uint64_t lane, bool on, const char *reason)
{
	struct rig *rig = self;
	struct rig_condition *condition = APPEND(rig->conditions, rig->n_conditions);

	condition->what = what;
	condition->lane = lane;
	condition->on = on;
	condition->reason = text_of(reason);
	if (getenv("RIG_LOG"))
		fprintf(stderr, "%8.3f condition %d lane=%d on=%d %s\n", (double)(rig_now_ms() % 1000000) / 1000, (int)what,
			(int)lane, on, reason ? reason : "");
}

static void host_measure(void *self, enum qb_measure what, uint64_t lane, int64_t value)
{
	struct rig *rig = self;
	struct rig_measure *measure = APPEND(rig->measures, rig->n_measures);

	measure->what = what;
	measure->lane = lane;
	measure->value = value;
}

static void __attribute__((format(printf, 3, 4))) host_log(void *self, enum qb_level level, const char *format, ...)
{
	struct rig *rig = self;
	struct rig_text *line = APPEND(rig->log, rig->n_log);
	va_list args;
	int length;

	line->option = -1;
	line->level = (int)level;
	va_start(args, format);
	length = vasprintf(&line->text, format, args);
	va_end(args);
	assert_true(length >= 0);
	if (getenv("RIG_LOG"))
		fprintf(stderr, "%8.3f log %d %s\n", (double)(rig_now_ms() % 1000000) / 1000, (int)level, line->text);
}

static void host_drained(void *self)
{
	struct rig *rig = self;

	assert_false(rig->is_drained);
	rig->is_drained = true;
}

/* ---- the life of a rig ---- */

const struct qb_plugin *rig_load(const char *path)
{
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct qb_plugin *plugin = object ? dlsym(object, QB_PLUGIN_SYMBOL) : NULL;

	if (!plugin)
		fail_msg("%s", dlerror());
	assert_int_equal(plugin->abi, QB_ABI);
	assert_int_equal(plugin->size, sizeof(*plugin));
	return plugin;
}

struct rig *rig_new(const struct qb_plugin *plugin, const char *first_path, ...)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	va_list args;

	assert_non_null(rig);
	rig->plugin = plugin;
	rig->host = (struct qb_host){.size = sizeof(rig->host),
		.self = rig,
		.lane_open = host_lane_open,
		.lane_closing = host_lane_closing,
		.lane_close = host_lane_close,
		.deliver = host_deliver,
		.settled = host_settled,
		.published = host_published,
		.condition = host_condition,
		.measure = host_measure,
		.log = host_log,
		.drained = host_drained};
	rig->conf = (struct qb_source_conf){.pipeline = "test",
		.broker = "broker",
		.max_message_bytes = 32 << 20,
		.max_outstanding_messages = 2000,
		.max_outstanding_bytes = 64 << 20,
		.revoke_timeout_us = 5000000,
		.commit_interval_us = 1000000};
	rig->budget = (struct qb_budget){.messages = 1000, .bytes = 8 << 20};
	rig->answers_closing = true;
	va_start(args, first_path);
	rig_values_read(rig, first_path, args);
	va_end(args);
	return rig;
}

/* ---- the life of a rig ----------------------------------------------------------------------------------------------
 */

static void complain(void *ctx, int option, bool is_error, const char *sentence)
{
	struct rig *rig = ctx;
	struct rig_text *complaint = APPEND(rig->complaints, rig->n_complaints);

	complaint->option = option;
	complaint->level = is_error ? QB_ERROR : QB_WARN;
	complaint->text = text_of(sentence);
}

size_t rig_check(struct rig *rig)
{
	size_t n_errors = 0;

	if (rig->plugin->check)
		rig->plugin->check(&rig->conf, complain, rig);
	for (size_t i = 0; i < rig->n_complaints; i++)
		n_errors += rig->complaints[i].level == QB_ERROR;
	return n_errors;
}

enum qb_result rig_open(struct rig *rig)
{
	rig->is_drained = false;
	return rig->plugin->open(&rig->host, &rig->conf, &rig->source);
}

void rig_close(struct rig *rig, int timeout_ms)
{
	if (rig->source)
		rig->plugin->close(rig->source, timeout_ms);
	rig->source = NULL;
}

void rig_settle(struct rig *rig, uint64_t lane, int64_t receipt, enum qb_verdict verdict, const char *memo)
{
	struct qb_settlement settlement = {.lane = lane, .receipt = receipt, .verdict = verdict};

	settlement.memo = (struct qb_bytes){memo ? memo : "", memo ? strlen(memo) : 0};
	rig->plugin->settle(rig->source, &settlement, 1);
}

/* Lanes settle what was delivered since the last look; what is closing is drained then. */
static void answer(struct rig *rig)
{
	for (size_t i = 0; i < rig->n_lanes; i++) {
		struct rig_lane *lane = &rig->lanes[i];

		if (lane->is_closed)
			continue;
		if (rig->settles_all && lane->last > lane->asked) {
			rig_settle(rig, lane->id, lane->last, QB_ACK, rig->memo);
			lane->asked = lane->last;
		}
		if (rig->answers_closing && lane->is_closing && !lane->is_drained && rig->plugin->lane_drained) {
			lane->is_drained = true;
			rig->plugin->lane_drained(rig->source, lane->id);
		}
	}
}

void rig_poll(struct rig *rig, int timeout_ms)
{
	rig->polled_bytes = 0;
	rig->result = rig->plugin->poll(rig->source, timeout_ms, &rig->budget);
	answer(rig);
}

void rig_turn(struct rig *rig, int64_t end_ms, const char *expression)
{
	if (rig_now_ms() > end_ms)
		fail_msg("waited in vain for: %s", expression);
	rig_poll(rig, 20);
}

struct rig_lane *rig_lane_find(const struct rig *rig, uint64_t id)
{
	return id >= 1 && id <= rig->n_lanes ? &rig->lanes[id - 1] : NULL;
}

size_t rig_open_lanes(const struct rig *rig)
{
	size_t n = 0;

	for (size_t i = 0; i < rig->n_lanes; i++)
		n += !rig->lanes[i].is_closed;
	return n;
}

const struct rig_condition *rig_condition_find(const struct rig *rig, enum qb_condition what, uint64_t lane)
{
	for (size_t i = rig->n_conditions; i-- > 0;)
		if (rig->conditions[i].what == what && rig->conditions[i].lane == lane)
			return &rig->conditions[i];
	return NULL;
}

int64_t rig_measure_sum(const struct rig *rig, enum qb_measure what)
{
	int64_t sum = 0;

	for (size_t i = 0; i < rig->n_measures; i++)
		if (rig->measures[i].what == what)
			sum += rig->measures[i].value;
	return sum;
}

int64_t rig_measure_newest(const struct rig *rig, enum qb_measure what)
{
	for (size_t i = rig->n_measures; i > 0; i--)
		if (rig->measures[i - 1].what == what)
			return rig->measures[i - 1].value;
	return -1;
}

const char *rig_log_find(const struct rig *rig, const char *piece)
{
	for (size_t i = 0; i < rig->n_log; i++) {
		const char *at = strstr(rig->log[i].text, piece);

		if (at)
			return at + strlen(piece);
	}
	return NULL;
}

static void message_done(struct rig_message *message)
{
	free(message->source);
	free(message->exchange);
	free(message->routing_key);
	free(message->key);
	free(message->body);
	for (size_t i = 0; i < message->n_headers * 2; i++)
		free(message->headers[i]);
	free(message->headers);
}

void rig_free(struct rig *rig)
{
	if (!rig)
		return;
	rig_close(rig, 5000);
	for (size_t i = 0; i < rig->n_lanes; i++) {
		free(rig->lanes[i].source);
		free(rig->lanes[i].memo);
	}
	for (size_t i = 0; !rig->counts_only && i < rig->n_messages; i++)
		message_done(&rig->messages[i]);
	for (size_t i = 0; i < rig->n_published; i++)
		free(rig->published[i].reason);
	for (size_t i = 0; i < rig->n_conditions; i++)
		free(rig->conditions[i].reason);
	for (size_t i = 0; i < rig->n_complaints; i++)
		free(rig->complaints[i].text);
	for (size_t i = 0; i < rig->n_log; i++)
		free(rig->log[i].text);
	rig_values_free(rig);
	free(rig->lanes);
	free(rig->messages);
	free(rig->settled);
	free(rig->published);
	free(rig->conditions);
	free(rig->measures);
	free(rig->complaints);
	free(rig->log);
	free(rig);
}
