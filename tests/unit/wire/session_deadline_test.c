/* SPDX-License-Identifier: MIT */
/* Deadlines as a worker sees them: limits of parts, broken deliveries, and the fence between one call and the next. */
#include "base/clock.h"
#include "fixture.h"
#include "wire/leaks.h"

#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* A frame whose payload is an array of these integers. */
static void say_numbers(uint8_t word, const int64_t *numbers, size_t n)
{
	msgpack_sbuffer buffer;
	msgpack_packer packer;
	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_array(&packer, n);
	for (size_t i = 0; i < n; i++)
		msgpack_pack_int64(&packer, numbers[i]);
	client_say(&client, word, buffer.data, buffer.size);
	msgpack_sbuffer_destroy(&buffer);
}

#define SAY(word, ...) say_numbers(word, (int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void say_ack_meant(uint64_t id)
{
	msgpack_sbuffer buffer;
	msgpack_packer packer;
	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_array(&packer, 3);
	msgpack_pack_array(&packer, 0);
	msgpack_pack_array(&packer, 1);
	msgpack_pack_array(&packer, 4);
	msgpack_pack_uint64(&packer, id);
	msgpack_pack_int(&packer, PROTO_ACK);
	msgpack_pack_int(&packer, -1);
	msgpack_pack_nil(&packer);
	msgpack_pack_int(&packer, 0);
	client_say(&client, PROTO_SETTLE, buffer.data, buffer.size);
	msgpack_sbuffer_destroy(&buffer);
}

static uint64_t begin_delivery(void)
{
	client_attach(&stand, &client, "orders", 1);
	return client_hears_delivered(&stand, &client).first_id;
}

/* Told, then broken. */
static void break_it(void)
{
	stand.turned_us += 31000000;
	client_hears(&stand, &client, PROTO_CANCEL, "\xcd\x13\x88");
	stand.turned_us += 200000;
	stand_turn(&stand);
	assert_non_null(stand.being_broken);
	session_broken(stand.being_broken);
}

static void a_run_of_acks_does_not_ack_what_was_broken(void **state)
{
	(void)state;
	uint64_t id = begin_delivery();
	break_it();
	client_ack(&client, id, 1);
	client_hears_delivered(&stand, &client);
	assert_null(stand.being_broken);
	assert_int_equal(stand_counts(&stand).acked, 0);
	assert_int_equal(stand_counts(&stand).broken, 1);
	assert_int_equal(stand_counts(&stand).retried_by[REASON_DEADLINE], 1);
}

static void an_ack_that_is_meant_does(void **state)
{
	(void)state;
	uint64_t id = begin_delivery();
	break_it();
	say_ack_meant(id);
	client_hears_delivered(&stand, &client);
	assert_int_equal(stand_counts(&stand).acked, 1);
	assert_int_equal(stand_counts(&stand).retried, 0);
}

/* All of it lies in the socket before the proxy reads any of it. */
static void when_synced_comes_nothing_is_broken_any_more(void **state)
{
	(void)state;
	uint64_t id = begin_delivery();
	break_it();
	client_ack(&client, id, 1);
	SAY(PROTO_SYNC, 0);
	SAY(PROTO_SYNC, 1000);
	client_hears(&stand, &client, PROTO_SYNCED, "\x91");
	assert_null(stand.being_broken);
	client_hears(&stand, &client, PROTO_SYNCED, "\xcd\x03\xe8");
}

static void a_limit_is_told_by_signal_alone_and_ended_by_unlimit(void **state)
{
	(void)state;
	uint64_t id = begin_delivery();
	SAY(PROTO_LIMIT, (int64_t)id, 1, 10000);
	SAY(PROTO_LIMIT, (int64_t)id, 2, 1000);
	SAY(PROTO_SYNC, 1);
	client_hears(&stand, &client, PROTO_SYNCED, "\x91\x01");
	stand.turned_us += 1000000;
	stand_turn(&stand);
	assert_int_equal(stand.n_told, 1);
	stand.turned_us += 200000;
	stand_turn(&stand);
	assert_non_null(stand.being_broken);
	session_broken(stand.being_broken);
	SAY(PROTO_UNLIMIT, (int64_t)id, 2);
	SAY(PROTO_SYNC, 2);
	client_hears(&stand, &client, PROTO_SYNCED, "\x91\x02"); /* no CANCEL before it */
	assert_null(stand.being_broken);
	client_ack(&client, id, 1);
	client_hears_delivered(&stand, &client);
	assert_int_equal(stand_counts(&stand).acked, 1);
	assert_int_equal(stand_counts(&stand).limits_broken, 1);
	assert_int_equal(stand_counts(&stand).deadlines, 0);
}

/* A turn that began 10 s before the frame was read. */
static int64_t turn_began_us;

static int64_t now_of_the_turn(void *ctx)
{
	(void)ctx;
	return turn_began_us;
}

static void heard_in_the_turn(void *ctx)
{
	(void)ctx;
	turn_began_us = clock_now_us();
}

static void a_limit_counts_from_when_it_is_read(void **state)
{
	(void)state;
	uint64_t id = begin_delivery();
	turn_began_us = clock_now_us() - 10000000;
	stand.host.now = now_of_the_turn;
	stand.host.heard = heard_in_the_turn;
	SAY(PROTO_LIMIT, (int64_t)id, 1, 9000);
	SAY(PROTO_SYNC, 1);
	client_hears(&stand, &client, PROTO_SYNCED, "\x91\x01");
	assert_int_equal(stand.n_told, 0);
}

static void an_extension_behind_a_verdict_is_for_the_next_delivery(void **state)
{
	(void)state;
	client_attach(&stand, &client, "orders", 2);
	uint64_t id = client_hears_delivered(&stand, &client).first_id;
	stand.turned_us += 20000000;
	client_ack(&client, id, 1);
	SAY(PROTO_EXTEND, (int64_t)id + 1, 50000);
	struct heard heard;
	do
		heard = client_hear(&stand, &client);
	while (heard.word == PROTO_DELIVER);
	assert_int_equal(heard.word, PROTO_EXTENDED);
	stand.turned_us += 45000000;
	for (int i = 0; i < 5; i++)
		stand_turn(&stand);
	assert_int_equal(stand.n_told, 0);
}

static void the_end_of_a_session_ends_breaking(void **state)
{
	(void)state;
	begin_delivery();
	break_it();
	client_close(&client);
	stand_until_closed(&stand, 1);
	assert_null(stand.being_broken);
}

static void wrong_words_end_the_session(void **state)
{
	(void)state;
	static const struct {
		uint8_t word;
		int64_t numbers[3];
		size_t n;
		const char *sentence;
	} rows[] = {
		{PROTO_LIMIT, {1, 1, 0}, 3, "LIMIT must be"},
		{PROTO_LIMIT, {1, 0, 1}, 3, "LIMIT must be"},
		{PROTO_LIMIT, {1, 33, 1}, 3, "LIMIT must be"},
		{PROTO_LIMIT, {0, 1, 1}, 3, "LIMIT must be"},
		{PROTO_LIMIT, {1, 1}, 2, "LIMIT must be"},
		{PROTO_UNLIMIT, {1, 33}, 2, "UNLIMIT must be"},
		{PROTO_UNLIMIT, {1}, 1, "UNLIMIT must be"},
		{PROTO_SYNC, {-1}, 1, "SYNC must be"},
		{PROTO_SYNC, {0}, 0, "SYNC must be"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		client_attach(&stand, &client, "mails", 1);
		say_numbers(rows[i].word, rows[i].numbers, rows[i].n);
		client_hears_end(&stand, &client, "protocol", rows[i].sentence);
		stand_until_closed(&stand, i + 1);
		client_close(&client);
		client_open(&stand, &client);
	}
}

static struct leaks seen;

static void see_leaks(void *ctx, struct session *session)
{
	(void)ctx;
	struct session_info info;
	session_tell(session, &info);
	if (info.leaks)
		seen = *info.leaks;
}

static void the_last_report_of_leaks_is_kept(void **state)
{
	(void)state;
	static const char report[] = "\x92\x1e\x91\x94\xa4$all\x1e\x1d\x07";
	begin_delivery();
	client_say(&client, PROTO_LEAK, report, sizeof report - 1);
	SAY(PROTO_SYNC, 1);
	client_hears(&stand, &client, PROTO_SYNCED, "\x91\x01");
	session_set_each(stand.set, see_leaks, NULL);
	assert_int_equal(seen.n_looks, 30);
	assert_int_equal(seen.n, 1);
	assert_string_equal(seen.leaks[0].path, "$all");
}

static void say_leaks(int first)
{
	msgpack_sbuffer buffer;
	msgpack_packer packer;
	char path[16];
	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_array(&packer, 2);
	msgpack_pack_int(&packer, 30);
	msgpack_pack_array(&packer, LEAKS_MAX);
	for (int i = 0; i < LEAKS_MAX; i++) {
		snprintf(path, sizeof path, "$p%d", first + i);
		msgpack_pack_array(&packer, 4);
		msgpack_pack_str_with_body(&packer, path, strlen(path));
		for (int j = 0; j < 3; j++)
			msgpack_pack_int(&packer, 30);
	}
	client_say(&client, PROTO_LEAK, buffer.data, buffer.size);
	msgpack_sbuffer_destroy(&buffer);
}

static size_t n_in(int fd, const char *text)
{
	static char log[1 << 20];
	ssize_t len = pread(fd, log, sizeof log - 1, 0);
	size_t n = 0;
	assert_true(len >= 0);
	log[len] = '\0';
	for (const char *at = log; (at = strstr(at, text)); at++)
		n++;
	return n;
}

/* A worker that is out to fill the disk connects again and again with leaks that nobody has heard of. */
static void leaks_do_not_fill_the_log(void **state)
{
	int log = memfd_create("log", MFD_CLOEXEC), stderr_fd = dup(STDERR_FILENO);
	(void)state;
	dup2(log, STDERR_FILENO);
	for (int i = 0; i < 20; i++) {
		client_attach(&stand, &client, "mails", 1);
		for (int j = 0; j < 4; j++)
			say_leaks((i * 4 + j) * LEAKS_MAX);
		SAY(PROTO_SYNC, 1);
		client_hears(&stand, &client, PROTO_SYNCED, "\x91\x01");
		client_close(&client);
		stand_until_closed(&stand, (size_t)i + 1);
		client_open(&stand, &client);
	}
	dup2(stderr_fd, STDERR_FILENO);
	size_t n = n_in(log, "keeps growing"), n_first = n_in(log, "$p0 keeps growing");
	close(stderr_fd);
	close(log);
	assert_int_equal(n_first, 1);
	assert_in_range(n, LEAKS_LINES_MAX, LEAKS_LINES_MAX + 12); /* as many more as it has taken seconds, by tens */
}

/* HELLO with `batches`: what it holds is spoilt together. */
static void a_worker_of_batches_has_all_that_it_holds_broken(void **state)
{
	(void)state;
	static const char hello[] = "\x84\xa8protocol\x01\xa7"
								"batches\x01\xa6"
								"credit\x02\xa9pipelines\x91\xa6orders";
	client_say(&client, PROTO_HELLO, hello, sizeof hello - 1);
	client_hears(&stand, &client, PROTO_WELCOME, "max_frame");
	uint64_t id = 0;
	for (size_t n = 0; n < 2;) {
		struct delivered delivered = client_hears_delivered(&stand, &client);
		id = id ? id : delivered.first_id;
		n += delivered.n_rows;
	}
	break_it();
	client_ack(&client, id, 2);
	/* What comes next are new ones, or on a slow machine those two, of which nobody says in which order. */
	assert_int_equal(client_hear(&stand, &client).word, PROTO_DELIVER);
	assert_int_equal(stand_counts(&stand).acked, 0);
	assert_int_equal(stand_counts(&stand).retried_by[REASON_DEADLINE], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(with_messages, a_run_of_acks_does_not_ack_what_was_broken),
		WITH(with_messages, an_ack_that_is_meant_does),
		WITH(with_messages, when_synced_comes_nothing_is_broken_any_more),
		WITH(with_messages, a_limit_is_told_by_signal_alone_and_ended_by_unlimit),
		WITH(with_messages, a_limit_counts_from_when_it_is_read),
		WITH(with_messages, an_extension_behind_a_verdict_is_for_the_next_delivery),
		WITH(with_messages, the_end_of_a_session_ends_breaking),
		WITH(with_messages, wrong_words_end_the_session),
		WITH(with_messages, the_last_report_of_leaks_is_kept),
		WITH(with_messages, leaks_do_not_fill_the_log),
		WITH(with_messages, a_worker_of_batches_has_all_that_it_holds_broken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
