/* SPDX-License-Identifier: MIT */
/* A worker says anything in any order while time passes and calls are broken: the proxy keeps its books, and answers
 * each SYNC or ends the session with a word. */
#include "base/log.h"
#include "fixture.h"
#include "wire/value.h"

#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEEDS = 8, STEPS = 300, N_MESSAGES = 3000, BODY_BYTES = 3000 };

static uint64_t dice;
static uint64_t first_id, next_id; /* of the deliveries that the session was given */
static size_t n_ended;

static uint64_t pick(uint64_t n)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice % n;
}

/* Mostly one that was given lately. */
static int64_t pick_id(void)
{
	uint64_t n = next_id - first_id;
	return n ? (int64_t)(next_id - 1 - pick(n < 6 ? n : 6) + (pick(20) == 0)) : 1;
}

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

static void say_verdict(void)
{
	msgpack_sbuffer buffer;
	msgpack_packer packer;
	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_array(&packer, 3);
	msgpack_pack_array(&packer, 0);
	msgpack_pack_array(&packer, 1);
	msgpack_pack_array(&packer, 4);
	msgpack_pack_int64(&packer, pick_id());
	msgpack_pack_uint64(&packer, 1 + pick(4));
	msgpack_pack_int64(&packer, (int64_t)pick(3) - 1);
	msgpack_pack_nil(&packer);
	msgpack_pack_uint64(&packer, pick(1 << 24));
	client_say(&client, PROTO_SETTLE, buffer.data, buffer.size);
	msgpack_sbuffer_destroy(&buffer);
}

static void say_leak(void)
{
	static const char report[] = "\x92\x1e\x91\x94\xa4$all\x1e\x1d\x07";
	client_say(&client, PROTO_LEAK, report, sizeof report - 1);
}

static void say_something(void)
{
	switch (pick(10)) {
	case 0:
	case 1:
		client_ack(&client, (uint64_t)pick_id(), 1 + pick(4));
		break;
	case 2:
		say_verdict();
		break;
	case 3:
		SAY(PROTO_EXTEND, pick_id(), (int64_t)pick(90000));
		break;
	case 4:
	case 5:
		SAY(PROTO_LIMIT, pick_id(), 1 + (int64_t)pick(4), 1 + (int64_t)pick(9000));
		break;
	case 6:
		SAY(PROTO_UNLIMIT, pick_id(), 1 + (int64_t)pick(4));
		break;
	case 7:
		SAY(PROTO_READ, pick_id(), (int64_t)pick(4000), 1 + (int64_t)pick(4000));
		break;
	case 8:
		SAY(PROTO_CREDIT, (int64_t)pick(5));
		break;
	default:
		say_leak();
	}
}

static void let_time_pass(void)
{
	static const int64_t whiles_us[] = {1000, 100000, 2000000, 31000000};
	stand.turned_us += whiles_us[pick(4)];
	stand_turn(&stand);
	if (stand.being_broken && pick(2))
		session_broken(stand.being_broken);
}

static void attach(void)
{
	first_id = next_id = 0;
	client_attach(&stand, &client, "orders", 4);
}

static void note_delivery(const struct heard *heard)
{
	struct value value = {heard->payload, heard->payload + heard->len};
	int64_t numbers[4];
	uint32_t n;
	assert_int_equal(value_array(&value, &n), 0);
	for (size_t i = 0; i < 4; i++) /* pipeline, first_id, attempt, remaining_ms */
		assert_int_equal(value_int(&value, &numbers[i]), 0);
	assert_int_equal(value_array(&value, &n), 0);
	first_id = first_id ? first_id : (uint64_t)numbers[1];
	assert_true(next_id == 0 || (uint64_t)numbers[1] == next_id);
	next_id = (uint64_t)numbers[1] + n;
}

/* Until this word. False: the session has ended, and said why. */
static bool hear_until(uint8_t word)
{
	struct heard heard;
	uint8_t last = 0;
	while ((heard = client_hear(&stand, &client)).payload && heard.word != word) {
		if (heard.word == PROTO_DELIVER)
			note_delivery(&heard);
		last = heard.word;
	}
	if (!heard.payload)
		assert_int_equal(last, PROTO_ERROR);
	return heard.payload;
}

static void attach_anew(size_t n_closed)
{
	client_close(&client);
	stand_until_closed(&stand, n_closed);
	client_open(&stand, &client);
	attach();
	n_ended++;
}

static void chat(uint64_t seed)
{
	dice = seed * 0x9e3779b97f4a7c15 + 1;
	attach();
	for (int i = 0; i < STEPS; i++) {
		size_t n_closed = stand.n_closed;
		for (uint64_t n = pick(4); n; n--)
			say_something();
		SAY(PROTO_SYNC, 7);
		bool is_there = hear_until(PROTO_SYNCED);
		if (is_there && pick(3) == 0) {
			let_time_pass();
			is_there = stand.n_closed == n_closed || hear_until(PROTO_SYNCED);
		}
		if (!is_there)
			attach_anew(n_closed + 1);
	}
}

static void the_books_are_right_whatever_a_worker_says(void **state)
{
	(void)state;
	struct pipeline_counts counts, total = {0};
	log_configure(LOG_ERROR, false);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		fixture_open(N_MESSAGES, BODY_BYTES);
		chat(seed);
		counts = stand_counts(&stand);
		total.acked += counts.acked, total.retried += counts.retried, total.deadlines += counts.deadlines;
		total.broken += counts.broken, total.limits_broken += counts.limits_broken, total.ended += counts.ended;
		fixture_close(NULL);
	}
	assert_true(total.acked && total.retried && total.deadlines && total.broken && total.limits_broken && total.ended);
	assert_true(n_ended > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_books_are_right_whatever_a_worker_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
