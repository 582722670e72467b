/* SPDX-License-Identifier: MIT */
/* SIGHUP: everything is read anew, or nothing is. A process of the program as it lies on the disk by then judges the
 * configuration (`check-config`); when that is refused, all goes on as it was. When it is good, this process drains as
 * for a stop and becomes that program (execve): its number, its streams, its service manager stay. So what is new may
 * be anything: keys, secrets, certificates, the program itself. Main thread. */
#ifndef QBUS_HOST_RELOAD_H
#define QBUS_HOST_RELOAD_H

#include "pool/output.h"
#include "pool/process.h"

#include <stdbool.h>

struct event_base;

struct reload {
	struct event_base *base;
	const char *file; /* of the configuration */
	void (*judged)(void *ctx, bool is_good);
	void *ctx;
	struct process check;
	struct output out, err;
	struct event *exited, *late;
	bool is_checking, is_stale; /* stale: the file may be newer than what is being checked */
	bool is_refused;            /* the last one asked for: what is served is not what the file says */
};

/* How the program was called and with which environment, before anything changes that. argv lives for ever. */
void reload_remember(char **argv);

/* Begins the judgement; judged(ctx) is called from the loop when it is there, never from within. One that is under way
 * is followed by another, and that one counts. False: it could not begin, and the log says why. */
bool reload_check(struct reload *reload);
/* Gives up a judgement that is under way. */
void reload_done(struct reload *reload);

/* From now on SIGHUP waits until reload_let_signals: at a first start there is nobody yet to take it, and it would end
 * the process. Those that stop do end it then. */
void reload_hold_hangup(void);
/* From now on the signals of the loop wait, through reload_again, until reload_let_signals: in between there is nobody
 * to take them, and each would end the process. */
void reload_hold_signals(void);
void reload_let_signals(void);

/* Becomes the program, called as this one was. Returns only when that failed, and the log says why. */
void reload_again(void);

#endif
