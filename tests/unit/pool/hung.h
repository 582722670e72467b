/* SPDX-License-Identifier: MIT */
/* Processes that hang in a call, to be freed: made, waited for until they are blocked, driven, asked whether they live.
 */
#ifndef QBUS_TESTS_POOL_HUNG_H
#define QBUS_TESTS_POOL_HUNG_H

#include "pool/unblock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

struct hung {
	pid_t pid;
	int go;      /* ours: writing a byte lets it go on */
	int session; /* ours: what it says comes here, as a result would */
	int server;  /* listens on 127.0.0.1 and never accepts */
	uint16_t port;
	int64_t took_us; /* from begin to what it said */
	char said[256];  /* its line */
	struct unblock unblock;
};

/* What a child knows. */
struct hung_child {
	int session, go;
	uint16_t port;
};

/* Runs in the child; what it returns is said as a number. Then the child waits for the end of `go`. */
typedef long hung_body(const struct hung_child *child);

int hung_setup(void **state); /* of a group */
/* What the probe says of this machine. */
const struct unblock_stages *hung_stages(void);
/* The same with one way of reaching sockets only; skips the test where there is none. */
const struct unblock_stages *hung_way(bool is_traced);

void hung_fork(struct hung *hung, hung_body *body);
/* The same with PHP: the environment has the server's PORT and the number of its SESSION, into which it is to say
 * lines. */
void hung_php(struct hung *hung, const char *code);
/* Is PHP there, with this extension? */
bool hung_php_has(const char *extension);
/* Waits until the main thread is in that call. */
void hung_await(const struct hung *hung, const char *call);
/* Waits until one of the others is in it. */
void hung_await_thread(const struct hung *hung, const char *call);
/* Frees it as the host would, until it has said something or the unblocking is done. True: it has said something. */
bool hung_free(struct hung *hung, const struct unblock_stages *stages);
/* Lets it go on and reads the next line. */
const char *hung_next(struct hung *hung);
/* It must have lived up to now and end in order; gives all back. */
void hung_end(struct hung *hung);
/* The same for one that is still blocked. */
void hung_kill(struct hung *hung);

int hung_connect(uint16_t port); /* in the child: a socket connected to the silent server */

#endif
