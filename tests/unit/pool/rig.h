/* SPDX-License-Identifier: MIT */
/* What the tests of this room share: a loop that runs until something is so, and the log to look into. */
#ifndef QBUS_TESTS_POOL_RIG_H
#define QBUS_TESTS_POOL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

struct event_base;

struct rig {
	struct event_base *base;
	int log_fd, stderr_fd;
	char *log; /* all that was said so far; renewed by rig_log */
};

enum { RIG_LEFT_OUT = 77 };
/* First in main: false, after a word about it, where pidfds are not known, as in valgrind 3.19; then there is nothing
 * to be tested and main returns RIG_LEFT_OUT. */
bool rig_has_pidfds(void);

/* A test's setup and teardown: *state is a struct rig; the log goes into the rig. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Runs the loop until done says true; fails the test after ten seconds. */
void rig_until(struct rig *rig, bool (*done)(void *ctx), void *ctx);
/* The same, until the log contains text n times. */
void rig_until_said(struct rig *rig, const char *text, size_t n);
/* Runs the loop for a while, for what must not happen. */
void rig_for(struct rig *rig, int64_t duration_us);

const char *rig_log(struct rig *rig);
size_t rig_n_said(struct rig *rig, const char *text);
/* The number that follows the nth occurrence (from 0) of text in the log; fails when there is none. */
long rig_number(struct rig *rig, const char *text, size_t nth);

/* Does the process exist and run, that is, is it more than a zombie? */
bool rig_is_running(pid_t pid);
/* Children of this process, zombies included. */
size_t rig_n_children(void);

#endif
