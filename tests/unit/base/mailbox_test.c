/* SPDX-License-Identifier: MIT */
/* Mail posted by one thread is taken by another: whole, in order, and never without a wake-up. */
#include "base/mailbox.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct letter {
	struct mail mail;
	int number;
};

static bool is_readable(const struct mailbox *mailbox, int timeout_ms)
{
	struct pollfd fd = {.fd = mailbox->fd, .events = POLLIN};
	return poll(&fd, 1, timeout_ms) == 1;
}

static void all_mail_is_taken_at_once_in_order(void **state)
{
	(void)state;
	struct mailbox mailbox;
	struct letter letters[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
	assert_int_equal(mailbox_init(&mailbox, false), 0);
	assert_null(mailbox_take(&mailbox));
	assert_true(mailbox_post(&mailbox, &letters[0].mail));
	assert_false(mailbox_post(&mailbox, &letters[1].mail));
	assert_false(mailbox_post(&mailbox, &letters[2].mail));
	int expected = 1;
	for (struct mail *mail = mailbox_take(&mailbox); mail; mail = mail->next)
		assert_int_equal(((struct letter *)mail)->number, expected++);
	assert_int_equal(expected, 4);
	assert_null(mailbox_take(&mailbox));
	mailbox_done(&mailbox);
}

static void the_descriptor_is_readable_while_there_is_mail(void **state)
{
	(void)state;
	struct mailbox mailbox;
	struct letter one, two;
	assert_int_equal(mailbox_init(&mailbox, true), 0);
	assert_false(is_readable(&mailbox, 0));
	mailbox_post(&mailbox, &one.mail);
	mailbox_post(&mailbox, &two.mail);
	assert_true(is_readable(&mailbox, 0));
	assert_non_null(mailbox_take(&mailbox));
	assert_false(is_readable(&mailbox, 0));
	mailbox_post(&mailbox, &one.mail);
	assert_true(is_readable(&mailbox, 0));
	mailbox_take(&mailbox);
	mailbox_done(&mailbox);
}

enum { N_LETTERS = 50000 };

static void *post_all(void *ctx)
{
	for (int i = 0; i < N_LETTERS; i++) {
		struct letter *letter = malloc(sizeof *letter);
		letter->number = i;
		mailbox_post(ctx, &letter->mail);
	}
	return NULL;
}

static void a_taker_that_sleeps_on_the_descriptor_misses_nothing(void **state)
{
	(void)state;
	struct mailbox mailbox;
	pthread_t poster;
	int expected = 0;
	assert_int_equal(mailbox_init(&mailbox, true), 0);
	assert_int_equal(pthread_create(&poster, NULL, post_all, &mailbox), 0);
	while (expected < N_LETTERS) {
		assert_true(is_readable(&mailbox, 20000)); /* a lost wake-up ends here */
		for (struct mail *mail = mailbox_take(&mailbox), *next; mail; mail = next) {
			next = mail->next;
			assert_int_equal(((struct letter *)mail)->number, expected++);
			free(mail);
		}
	}
	pthread_join(poster, NULL);
	assert_null(mailbox_take(&mailbox));
	mailbox_done(&mailbox);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_mail_is_taken_at_once_in_order),
		cmocka_unit_test(the_descriptor_is_readable_while_there_is_mail),
		cmocka_unit_test(a_taker_that_sleeps_on_the_descriptor_misses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
