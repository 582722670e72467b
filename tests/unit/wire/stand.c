/* SPDX-License-Identifier: MIT */
/* A proxy without brokers and without processes. */
#include "stand.h"

#include "base/clock.h"
#include "wire/value.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_US = 60 * 1000000 };

static atomic_size_t n_opened; /* sources, since stand_open */

size_t stand_n_messages, stand_body_bytes = 200;
atomic_long stand_settled;
atomic_bool stand_lane_closes;

uint8_t stand_body_byte(size_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 3);
}

/* ---- the plugin ---- */

struct made {
	const struct qb_host *host;
	uint64_t lane;
	size_t n_made;
	int wake_fd;
	bool is_silent;
	char *body;
};

static const char *made_library(void)
{
	return "stand 1";
}

static enum qb_result made_open(const struct qb_host *host, const struct qb_source_conf *conf, void **ret_source)
{
	struct made *made = calloc(1, sizeof *made);
	made->host = host;
	made->wake_fd = eventfd(0, EFD_NONBLOCK);
	made->body = calloc(1, stand_body_bytes + 1);
	for (size_t i = 0; i < stand_body_bytes; i++)
		made->body[i] = (char)stand_body_byte(i);
	made->is_silent = strcmp(conf->pipeline, "orders") != 0;
	made->lane =
		host->lane_open(host->self, &(struct qb_lane_info){.source = {"orders", 6}, .partition = 3, .next = -1});
	*ret_source = made;
	n_opened++;
	return QB_OK;
}

static void made_deliver(struct made *made, size_t n)
{
	struct qb_message messages[64];
	n = n < 64 ? n : 64;
	for (size_t i = 0; i < n; i++)
		messages[i] = (struct qb_message){
			.lane = made->lane,
			.receipt = (int64_t)made->n_made++,
			.timestamp_ms = -1,
			.partition = 3,
			.source = {"orders", 6},
			.body = {made->body, stand_body_bytes},
		};
	made->host->deliver(made->host->self, messages, n);
}

static enum qb_result made_poll(void *source, int timeout_ms, const struct qb_budget *budget)
{
	struct made *made = source;
	size_t left = made->is_silent ? 0 : stand_n_messages - made->n_made;
	size_t n = left < budget->messages ? left : budget->messages;
	uint64_t count;
	if (n) {
		made_deliver(made, n);
		return QB_OK;
	}
	if (!made->is_silent && atomic_exchange(&stand_lane_closes, false))
		made->host->lane_close(made->host->self, made->lane);
	poll(&(struct pollfd){.fd = made->wake_fd, .events = POLLIN}, 1, timeout_ms < 50 ? timeout_ms : 50);
	ssize_t ignored = read(made->wake_fd, &count, sizeof count);
	(void)ignored;
	return QB_OK;
}

static void made_settle(void *source, const struct qb_settlement *settlements, size_t n)
{
	struct made *made = source;
	for (size_t i = 0; i < n; i++) {
		atomic_store(&stand_settled, settlements[i].receipt);
		made->host->settled(made->host->self, settlements[i].lane, settlements[i].receipt, 0);
	}
}

static void made_drain(void *source)
{
	(void)source;
}

static void made_wake(void *source)
{
	uint64_t one = 1;
	ssize_t ignored = write(((struct made *)source)->wake_fd, &one, sizeof one);
	(void)ignored;
}

static void made_close(void *source, int timeout_ms)
{
	(void)timeout_ms;
	struct made *made = source;
	close(made->wake_fd);
	free(made->body);
	free(made);
}

static const struct qb_plugin plugin = {
	.abi = QB_ABI,
	.size = sizeof plugin,
	.name = "made",
	.traits = QB_SETTLE_PREFIX,
	.library = made_library,
	.open = made_open,
	.poll = made_poll,
	.settle = made_settle,
	.drain = made_drain,
	.close = made_close,
	.wake = made_wake,
};

/* ---- the host ---- */

static int64_t stand_now(void *ctx)
{
	return clock_now_us() + ((struct stand *)ctx)->turned_us;
}

static const char *stand_pool_of(void *ctx, pid_t pid)
{
	(void)ctx;
	return pid == getpid() ? "php" : NULL;
}

static void stand_changed(void *ctx)
{
	((struct stand *)ctx)->has_changed = true;
}

static void stand_told(void *ctx, const struct session *session)
{
	(void)session;
	((struct stand *)ctx)->n_told++;
}

static void stand_break_begin(void *ctx, struct session *session)
{
	struct stand *stand = ctx;
	stand->being_broken = session;
	stand->n_begun++;
}

static void stand_break_end(void *ctx, struct session *session)
{
	struct stand *stand = ctx;
	assert_ptr_equal(stand->being_broken, session);
	stand->being_broken = NULL;
}

static void stand_closed(void *ctx, const struct session *session)
{
	struct stand *stand = ctx;
	session_tell(session, &stand->closed);
	strncpy(stand->closed_reason, stand->closed.end_reason, sizeof stand->closed_reason - 1);
	stand->n_closed++;
}

static void stand_on_news(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	source_serve(ctx);
}

void stand_open(struct stand *stand)
{
	static const char *const names[STAND_PIPELINES] = {"orders", "mails"};
	signal(SIGPIPE, SIG_IGN);
	*stand = (struct stand){.base = event_base_new(), .dispatcher = dispatcher_new(1000000)};
	atomic_store(&stand_settled, -1);
	atomic_store(&stand_lane_closes, false);
	atomic_store(&n_opened, 0);
	stand->host = (struct session_host){
		.server = "qbus-proxy test",
		.now = stand_now,
		.pool_of = stand_pool_of,
		.changed = stand_changed,
		.told = stand_told,
		.break_begin = stand_break_begin,
		.break_end = stand_break_end,
		.closed = stand_closed,
	};
	for (size_t i = 0; i < STAND_PIPELINES; i++) {
		stand->confs[i] = (struct pipeline_conf){.name = names[i],
			.broker = "b",
			.commit_interval_us = 1000,
			.max_ack_gap = 1 << 20,
			.max_outstanding_messages = 100000,
			.max_outstanding_bytes = 512 << 20,
			.max_message_bytes = 64 << 20,
			.handler_timeout_us = 30000000,
			.handler_break_us = 100000,
			.handler_grace_us = 5000000,
			.max_extension_us = 60000000,
			.max_attempts = 5,
			.backoff = {1000, 1000, 1, 0}};
		stand->sources[i] = (struct qb_source_conf){.pipeline = names[i],
			.broker = "b",
			.max_message_bytes = 64 << 20,
			.max_outstanding_messages = 100000,
			.max_outstanding_bytes = 512 << 20};
		assert_int_equal(
			dispatcher_pipeline_add(stand->dispatcher, &stand->confs[i], &plugin, &stand->sources[i], proto_codec()),
			0);
		struct source *source = pipeline_source(dispatcher_pipeline_at(stand->dispatcher, i));
		stand->news[i] = event_new(stand->base, source_fd(source), EV_READ | EV_PERSIST, stand_on_news, source);
		event_add(stand->news[i], NULL);
		assert_int_equal(source_start(source), 0);
	}
	while (n_opened < STAND_PIPELINES) /* a test may count descriptors */
		poll(NULL, 0, 1);
	stand->set = session_set_new(stand->base, stand->dispatcher, &stand->host, stand);
}

void stand_turn(struct stand *stand)
{
	struct timeval nap = {.tv_usec = 2000};
	event_base_loopexit(stand->base, &nap);
	event_base_loop(stand->base, EVLOOP_ONCE);
	do {
		stand->has_changed = false;
		dispatcher_tick(stand->dispatcher, stand_now(stand));
		session_set_flush(stand->set);
	} while (stand->has_changed);
	const char *wrong = dispatcher_check(stand->dispatcher);
	if (wrong)
		fail_msg("%s", wrong);
}

void stand_until_closed(struct stand *stand, size_t n_closed)
{
	int64_t until_us = clock_now_us() + PATIENCE_US;
	while (stand->n_closed < n_closed && clock_now_us() < until_us)
		stand_turn(stand);
	assert_int_equal(stand->n_closed, n_closed);
}

void stand_close(struct stand *stand)
{
	session_set_free(stand->set);
	dispatcher_close(stand->dispatcher, 0, stand_now(stand));
	int64_t until_us = clock_now_us() + PATIENCE_US;
	while (!dispatcher_is_closed(stand->dispatcher) && clock_now_us() < until_us) {
		event_base_loopexit(stand->base, &(struct timeval){.tv_usec = 2000});
		event_base_loop(stand->base, EVLOOP_ONCE);
	}
	assert_true(dispatcher_is_closed(stand->dispatcher));
	for (size_t i = 0; i < STAND_PIPELINES; i++)
		event_free(stand->news[i]);
	dispatcher_free(stand->dispatcher);
	event_base_free(stand->base);
}

/* ---- the client ---- */

void client_open(struct stand *stand, struct client *client)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(session_open(stand->set, ends[1], &(struct session_peer){getpid(), getuid(), getgid()}), 0);
	*client = (struct client){.fd = ends[0]};
}

void client_close(struct client *client)
{
	close(client->fd);
	free(client->bytes);
	*client = (struct client){.fd = -1};
}

void client_send(struct client *client, const void *bytes, size_t len)
{
	ssize_t sent = send(client->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	assert_true(sent == (ssize_t)len || client->may_be_closed);
}

void client_say(struct client *client, uint8_t word, const void *payload, size_t len)
{
	uint8_t head[FRAME_HEADER_BYTES];
	frame_head_write(head, word, (uint32_t)len);
	client_send(client, head, sizeof head);
	if (len)
		client_send(client, payload, len);
}

void client_hello(struct client *client, const char *pipeline, int credit)
{
	char payload[128] = "\x84\xa8protocol\x01\xa6"
						"client\xa6"
						"test/1\xa6"
						"credit\xcd";
	size_t len = strlen(payload);
	payload[len++] = (char)(credit >> 8);
	payload[len++] = (char)credit;
	memcpy(payload + len, "\xa9pipelines\x91", 11);
	len += 11;
	payload[len++] = (char)(0xa0 | strlen(pipeline));
	memcpy(payload + len, pipeline, strlen(pipeline));
	client_say(client, PROTO_HELLO, payload, len + strlen(pipeline));
}

void client_hello_streams(struct client *client, const char *pipeline)
{
	char payload[128] = "\x84\xa8protocol\x01\xa7streams\x01\xa6"
						"credit\x01\xa9pipelines\x91";
	size_t len = strlen(payload);
	payload[len++] = (char)(0xa0 | strlen(pipeline));
	memcpy(payload + len, pipeline, strlen(pipeline));
	client_say(client, PROTO_HELLO, payload, len + strlen(pipeline));
}

static size_t put_u64(uint8_t *at, uint64_t number)
{
	at[0] = 0xcf;
	for (int i = 0; i < 8; i++)
		at[1 + i] = (uint8_t)(number >> (56 - 8 * i));
	return 9;
}

void client_ack(struct client *client, uint64_t first_id, uint64_t count)
{
	uint8_t payload[32] = {0x93, 0x92};
	size_t len = 2;
	len += put_u64(payload + len, first_id);
	len += put_u64(payload + len, count);
	payload[len++] = 0xc0;
	payload[len++] = 100; /* memory */
	client_say(client, PROTO_SETTLE, payload, len);
}

static bool client_has_frame(const struct client *client, struct heard *ret_heard)
{
	if (client->len < FRAME_HEADER_BYTES)
		return false;
	const uint8_t *head = client->bytes;
	size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	*ret_heard = (struct heard){.word = head[4], .len = len};
	return client->len >= FRAME_HEADER_BYTES + len;
}

/* 1: more came, 0: the connection is closed, -1: nothing yet. */
static int client_read(struct client *client)
{
	static uint8_t piece[1 << 16];
	ssize_t n = recv(client->fd, piece, sizeof piece, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return -1;
	if (n <= 0)
		return 0;
	client->bytes = realloc(client->bytes, client->len + (size_t)n);
	memcpy(client->bytes + client->len, piece, (size_t)n);
	client->len += (size_t)n;
	return 1;
}

struct heard client_hear(struct stand *stand, struct client *client)
{
	static uint8_t *payload;
	struct heard heard = {0};
	int64_t until_us = clock_now_us() + PATIENCE_US;
	while (!client_has_frame(client, &heard)) {
		int result = client_read(client);
		if (result == 0)
			return (struct heard){0};
		if (result < 0)
			stand_turn(stand);
		if (clock_now_us() > until_us)
			fail_msg("no frame came");
	}
	size_t whole = FRAME_HEADER_BYTES + heard.len;
	payload = realloc(payload, heard.len + 1);
	memcpy(payload, client->bytes + FRAME_HEADER_BYTES, heard.len);
	memmove(client->bytes, client->bytes + whole, client->len -= whole);
	heard.payload = payload;
	return heard;
}

void client_hears(struct stand *stand, struct client *client, uint8_t word, const char *text)
{
	struct heard heard = client_hear(stand, client);
	assert_non_null(heard.payload);
	if (heard.word != word || !memmem(heard.payload, heard.len, text, strlen(text)))
		fail_msg("heard word %d: %.*s", heard.word, (int)heard.len, (char *)heard.payload);
}

struct delivered delivered_of(const struct heard *heard)
{
	struct delivered delivered = {.first_receipt = -1};
	struct value value = {heard->payload, heard->payload + heard->len};
	int64_t pipeline, first_id, attempt;
	uint32_t n;
	assert_int_equal(heard->word, PROTO_DELIVER);
	assert_int_equal(value_array(&value, &n), 0);
	assert_int_equal(n, 5);
	assert_int_equal(value_int(&value, &pipeline) | value_int(&value, &first_id) | value_int(&value, &attempt), 0);
	assert_int_equal(value_int(&value, &delivered.remaining_ms) | value_array(&value, &delivered.n_rows), 0);
	for (uint32_t i = 0; i < delivered.n_rows; i++) {
		struct qb_message message;
		const uint8_t *row = value.at;
		size_t n_headers = 0;
		assert_int_equal(value_skip(&value), 0);
		assert_int_equal(proto_codec()->row_read(row, (size_t)(value.at - row), &message, NULL, &n_headers), 0);
		if (i == 0)
			delivered.first_receipt = message.receipt;
		assert_true(i == 0 || message.receipt == delivered.last_receipt + 1);
		delivered.last_receipt = message.receipt;
		delivered.body_bytes += message.body.len;
	}
	assert_ptr_equal(value.at, value.end);
	delivered.pipeline = (uint32_t)pipeline;
	delivered.first_id = (uint64_t)first_id;
	delivered.attempt = (uint32_t)attempt;
	return delivered;
}

void client_attach(struct stand *stand, struct client *client, const char *pipeline, int credit)
{
	client_hello(client, pipeline, credit);
	client_hears(stand, client, PROTO_WELCOME, "max_frame");
}

struct delivered client_hears_delivered(struct stand *stand, struct client *client)
{
	struct heard heard = client_hear(stand, client);
	assert_non_null(heard.payload);
	return delivered_of(&heard);
}

void client_hears_end(struct stand *stand, struct client *client, const char *code, const char *sentence)
{
	struct heard heard;
	do
		heard = client_hear(stand, client);
	while (heard.payload && heard.word == PROTO_DELIVER);
	assert_non_null(heard.payload);
	assert_int_equal(heard.word, PROTO_ERROR);
	if (!memmem(heard.payload, heard.len, code, strlen(code)) ||
		!memmem(heard.payload, heard.len, sentence, strlen(sentence)))
		fail_msg("heard ERROR %.*s", (int)heard.len, (char *)heard.payload);
	assert_null(client_hear(stand, client).payload);
}

struct pipeline_counts stand_counts(const struct stand *stand)
{
	struct pipeline_counts counts;
	pipeline_count(dispatcher_pipeline_at(stand->dispatcher, 0), &counts);
	return counts;
}
