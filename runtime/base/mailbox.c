/* SPDX-License-Identifier: MIT */
/* A mailbox between two threads. */
#include "base/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *mailbox, bool with_fd)
{
	*mailbox = (struct mailbox){.fd = -1};
	mailbox->last = &mailbox->first;
	if (with_fd && (mailbox->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
		return -errno;
	pthread_mutex_init(&mailbox->lock, NULL);
	return 0;
}

void mailbox_done(struct mailbox *mailbox)
{
	assert(!mailbox->first);
	pthread_mutex_destroy(&mailbox->lock);
	if (mailbox->fd >= 0)
		close(mailbox->fd);
	mailbox->fd = -1;
}

bool mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
	mail->next = NULL;
	pthread_mutex_lock(&mailbox->lock);
	bool was_empty = !mailbox->first;
	*mailbox->last = mail;
	mailbox->last = &mail->next;
	if (was_empty && mailbox->fd >= 0) {
		uint64_t one = 1;
		ssize_t ignored = write(mailbox->fd, &one, sizeof one);
		(void)ignored; /* cannot fail short of 2^64 - 1 unread posts */
	}
	pthread_mutex_unlock(&mailbox->lock);
	return was_empty;
}

struct mail *mailbox_take(struct mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	struct mail *mail = mailbox->first;
	if (mail && mailbox->fd >= 0) { /* written once for each time it was filled, so cleared once; both under the lock */
		uint64_t count;
		ssize_t ignored = read(mailbox->fd, &count, sizeof count);
		(void)ignored;
	}
	mailbox->first = NULL;
	mailbox->last = &mailbox->first;
	pthread_mutex_unlock(&mailbox->lock);
	return mail;
}
