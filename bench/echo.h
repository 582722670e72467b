/* SPDX-License-Identifier: MIT */
/* What a frame of the worker protocol puts around one message of a small size, for a peer that says nothing else. */
#ifndef QBUS_BENCH_ECHO_H
#define QBUS_BENCH_ECHO_H

/* Bytes of a DELIVER around the body of one message that has neither key nor headers, and of a SETTLE that acks it. */
enum { ECHO_FRAMING = 53, ECHO_ANSWER = 26 };

#endif
