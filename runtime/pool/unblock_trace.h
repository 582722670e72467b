/* SPDX-License-Identifier: MIT */
/* System calls run by a blocked thread of another process on our behalf, by ptrace. Loop thread: it is the tracer.
 *
 * Internal to unblock. Only for a thread that waits in a call: the call goes on afterwards as if nothing had been. On
 * x86-64 and arm64; elsewhere unblock_trace_open says -ENOSYS. Never reaps a process. */
#ifndef QBUS_POOL_UNBLOCK_TRACE_H
#define QBUS_POOL_UNBLOCK_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct unblock_trace;

/* Interrupts the thread. proc: /proc/PID, to be open until it is let go. 0; -EAGAIN: it waits no more; -EPERM: we may
 * not; -EBUSY: it does not stop now, *ret_trace is set and must be let go. */
int unblock_trace_open(int proc, pid_t thread, struct unblock_trace **ret_trace);
/* Runs a call that must not block; returns what it returns, or -EBUSY: nothing more can be done but letting go. Of the
 * arguments those that point into data (size bytes, at most 512) are passed by value both ways. */
long unblock_trace_call(struct unblock_trace *trace, long number, const unsigned long args[6], void *data, size_t size);
/* The thread shall not make its own call again but see this result of it. */
void unblock_trace_answer(struct unblock_trace *trace, long result);
/* Lets the thread go on and frees the trace. False: it could not be reached within some milliseconds; try again. */
bool unblock_trace_close(struct unblock_trace *trace);
/* The same without waiting: a look costs some microseconds. */
bool unblock_trace_close_now(struct unblock_trace *trace);
/* Frees the trace of a thread that cannot be let go and whose process has been killed. */
void unblock_trace_abandon(struct unblock_trace *trace);

#endif
