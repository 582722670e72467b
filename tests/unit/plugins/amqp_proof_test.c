/* SPDX-License-Identifier: MIT */
/* Which acks count as proven after which answer. Asking itself is driven with a broker, in amqp_test. */
#include "consumer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int64_t n_unproven;

bool connection_sent(struct connection *connection, const char *what, int status)
{
	(void)connection, (void)what;
	return status == AMQP_STATUS_OK;
}

static void measure(void *self, enum qb_measure what, uint64_t lane, int64_t value)
{
	(void)self, (void)lane;
	n_unproven += what == QB_UNPROVEN ? value : 0;
}

static const struct qb_host host = {.size = sizeof(host), .measure = measure};
static const amqp_queue_declare_ok_t answer;

/* Five have their verdict, the ack of one is not sent yet, and a question went out behind three. */
static struct consumer asked(void)
{
	n_unproven = 0;
	return (struct consumer){
		.host = &host, .tags = {.n_settled = 1}, .proof = {.n_answered = 5, .n_asked = 3, .is_asked = true}};
}

static void an_answer_proves_what_was_sent_before_its_question(void **state)
{
	struct consumer consumer = asked();

	(void)state;
	proof_answer(&consumer, &answer);
	proof_answer(&consumer, &answer); /* to a question that was never asked */
	assert_int_equal(consumer.proof.n_proven, 3);
	proof_end(&consumer);
	assert_int_equal(n_unproven, 2);
	assert_int_equal(consumer.proof.n_answered, 0);
}

static void an_answer_that_is_read_late_takes_nothing_back(void **state)
{
	struct consumer consumer = asked();

	(void)state;
	consumer.tags.n_settled = 0;
	proof_all(&consumer);
	proof_answer(&consumer, &answer);
	proof_end(&consumer);
	assert_int_equal(n_unproven, 0);
}

static void what_was_not_sent_is_never_proven(void **state)
{
	struct consumer consumer = asked();

	(void)state;
	proof_all(&consumer);
	proof_end(&consumer);
	assert_int_equal(n_unproven, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_proves_what_was_sent_before_its_question),
		cmocka_unit_test(an_answer_that_is_read_late_takes_nothing_back),
		cmocka_unit_test(what_was_not_sent_is_never_proven),
	};

	return cmocka_run_group_tests_name("amqp proof", tests, NULL, NULL);
}
