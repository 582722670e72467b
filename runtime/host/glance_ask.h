/* SPDX-License-Identifier: MIT */
/* Asks a running qbus-proxy at its admin socket. Blocks, with a bound. */
#ifndef QBUS_HOST_GLANCE_ASK_H
#define QBUS_HOST_GLANCE_ASK_H

enum { GLANCE_ASK_ERROR_BYTES = 512, GLANCE_ASK_DONE = 200 };

/* The body of the answer, to be freed, and its status; NULL with one sentence in ret_error. */
char *glance_ask(
	const char *socket, const char *method, const char *target, int *ret_code, char ret_error[GLANCE_ASK_ERROR_BYTES]);

#endif
