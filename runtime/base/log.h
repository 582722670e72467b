/* SPDX-License-Identifier: MIT */
/* The log: one line an event to standard error, as text or JSON, each with one write. Any thread.
 *
 * A sentence is in the present tense, facts as key=value at its end, values with blanks in quotes; never a payload,
 * never a secret. JSON has the whole sentence as `msg`, and each fact that the format names as a member beside it.
 * Control bytes and invalid UTF-8 are escaped. A reader that does not keep up costs lines, never time: what cannot be
 * written at once is dropped and counted. */
#ifndef QBUS_BASE_LOG_H
#define QBUS_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Before any thread starts. The default is text at LOG_INFO. */
void log_configure(enum log_level level, bool json);
bool log_is_on(enum log_level level);

/* who: what the line is about ("pipeline orders", "worker 3"); NULL: the process. */
void log_say(enum log_level level, const char *who, const char *format, ...) __attribute__((format(printf, 3, 4)));
void log_say_list(enum log_level level, const char *who, const char *format, va_list list)
	__attribute__((format(printf, 3, 0)));

uint64_t log_dropped(void); /* lines lost since the start */

#endif
