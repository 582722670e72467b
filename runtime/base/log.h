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
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Before any thread starts. The default is text at LOG_INFO. */
void log_configure(enum log_level level, bool json);
bool log_is_on(enum log_level level);

/* who: what the line is about ("pipeline orders", "worker 3"); NULL: the process. */
void log_say(enum log_level level, const char *who, const char *format, ...) __attribute__((format(printf, 3, 4)));
void log_say_list(enum log_level level, const char *who, const char *format, va_list list)
	__attribute__((format(printf, 3, 0)));

/* A fact of a line that has not all of them each time: what is not there is left out. */
enum log_kind { LOG_NOTHING, LOG_NUMBER, LOG_WORD, LOG_TEXT };

struct log_fact {
	const char *name;
	enum log_kind kind;
	const char *text; /* LOG_WORD: as it is; LOG_TEXT: in quotes, cut after 200 bytes. NULL or empty: left out */
	int64_t number;
};

static inline struct log_fact log_number(const char *name, int64_t number)
{
	return (struct log_fact){name, LOG_NUMBER, NULL, number};
}

static inline struct log_fact log_word(const char *name, const char *word)
{
	return (struct log_fact){name, LOG_WORD, word, 0};
}

static inline struct log_fact log_text(const char *name, const char *text)
{
	return (struct log_fact){name, LOG_TEXT, text, 0};
}

/* The sentence as it is, and behind it the facts; in JSON they are members, a number without quotes. */
void log_tell(
	enum log_level level, const char *who, const char *sentence, const struct log_fact *facts, size_t n_facts);

uint64_t log_dropped(void); /* lines lost since the start */

#endif
