/* SPDX-License-Identifier: MIT */
/* A mailbox between two threads: posted one by one, taken all at once, in order. The only mutex of the house besides
 * the source's own. What is in it is bounded by its users: a source posts no more than its budget allows.
 *
 * A mailbox may have an eventfd, readable while it holds mail: the taker clears it by taking. */
#ifndef QBUS_BASE_MAILBOX_H
#define QBUS_BASE_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>

/* First member of what is posted. */
struct mail {
	struct mail *next;
};

struct mailbox {
	pthread_mutex_t lock;
	struct mail *first, **last;
	int fd; /* -1: none */
};

int mailbox_init(struct mailbox *mailbox, bool with_fd);       /* 0 or -errno */
void mailbox_done(struct mailbox *mailbox);                    /* must be empty */
bool mailbox_post(struct mailbox *mailbox, struct mail *mail); /* true: it was empty before */
struct mail *mailbox_take(struct mailbox *mailbox);            /* the whole chain, or NULL */

#endif
