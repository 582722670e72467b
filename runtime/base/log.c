/* SPDX-License-Identifier: MIT */
/* The log: one line an event to standard error.
 *
 * Never waits, and never changes the flags of standard error, which others may share. log_configure looks once what it
 * is: a pipe or a terminal is opened a second time without blocking, which gives flags of our own; a socket is sent to
 * without waiting; a file does not make one wait. Where the second opening is refused, room is asked for first: a line
 * is at most PIPE_BUF bytes, so a pipe that has room takes it whole. SIGPIPE is the business of the process. */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_BYTES = 4096, LOG_TAIL_BYTES = 8, LOG_WHO_BYTES = 256, LOG_FACT_BYTES = 200 };
_Static_assert(LOG_LINE_BYTES <= PIPE_BUF, "a line must go into a pipe in one piece");

enum log_sink { SINK_ASK, SINK_DIRECT, SINK_SOCKET };

struct log_line {
	char bytes[LOG_LINE_BYTES];
	size_t len, limit;
	bool is_cut, is_json;
};

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static struct {
	enum log_level level;
	bool is_json;
	enum log_sink sink;
	int fd;
} log_conf = {.level = LOG_INFO, .sink = SINK_ASK, .fd = STDERR_FILENO};

static atomic_uint_fast64_t n_dropped;
static atomic_bool is_torn; /* the last line went out in part */

void log_configure(enum log_level level, bool json)
{
	struct stat stat;
	if (log_conf.fd != STDERR_FILENO)
		close(log_conf.fd);
	log_conf.level = level;
	log_conf.is_json = json;
	log_conf.sink = SINK_ASK;
	log_conf.fd = STDERR_FILENO;
	if (fstat(STDERR_FILENO, &stat) != 0)
		return;
	if (S_ISSOCK(stat.st_mode)) {
		log_conf.sink = SINK_SOCKET;
	} else if (S_ISFIFO(stat.st_mode) || S_ISCHR(stat.st_mode)) {
		int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0) {
			log_conf.fd = fd;
			log_conf.sink = SINK_DIRECT;
		}
	}
}

bool log_is_on(enum log_level level)
{
	return level <= log_conf.level;
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&n_dropped, memory_order_relaxed);
}

/* All of it or nothing; after the first piece that does not fit nothing more is put. */
static void log_put(struct log_line *line, const char *bytes, size_t n)
{
	if (line->is_cut || line->len + n > line->limit) {
		line->is_cut = true;
		return;
	}
	memcpy(line->bytes + line->len, bytes, n);
	line->len += n;
}

static void log_put_string(struct log_line *line, const char *string)
{
	log_put(line, string, strlen(string));
}

/* Length of the printable character at the start of text, 0: a control character or not UTF-8. */
static size_t log_rune(const unsigned char *text)
{
	static const struct {
		unsigned char first_low, first_high, second_low, second_high;
		size_t len;
	} forms[] = {
		{0xc2, 0xc2, 0xa0, 0xbf, 2}, /* from U+00A0: below are control characters */
		{0xc3, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, /* no surrogates */
		{0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};
	if (text[0] < 0x80)
		return text[0] >= 0x20 && text[0] != 0x7f;
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		if (text[0] < forms[i].first_low || text[0] > forms[i].first_high)
			continue;
		size_t len = 1; /* the terminating '\0' fails every comparison, so nothing beyond it is read */
		if (text[1] >= forms[i].second_low && text[1] <= forms[i].second_high)
			len = 2;
		while (len > 1 && len < forms[i].len && (text[len] & 0xc0) == 0x80)
			len++;
		return len == forms[i].len ? len : 0;
	}
	return 0;
}

/* What is not printable is shown as \xHH, in both formats. */
static void log_put_text(struct log_line *line, const char *text)
{
	while (*text && !line->is_cut) {
		size_t n = log_rune((const unsigned char *)text);
		if (n == 0) {
			char shown[8];
			int len = snprintf(shown, sizeof shown, line->is_json ? "\\\\x%02x" : "\\x%02x", (unsigned char)*text);
			log_put(line, shown, (size_t)len);
			n = 1;
		} else if (line->is_json && (*text == '"' || *text == '\\')) {
			log_put(line, (const char[]){'\\', *text}, 2);
		} else {
			log_put(line, text, n);
		}
		text += n;
	}
}

/* Cut short by itself, so that the sentence always has room. */
static void log_put_who(struct log_line *line, const char *who)
{
	line->limit = line->len + LOG_WHO_BYTES;
	log_put_text(line, who);
	line->limit = LOG_LINE_BYTES - LOG_TAIL_BYTES;
	line->is_cut = false;
}

static void log_put_time(struct log_line *line)
{
	char text[48];
	int64_t now_ms = clock_unix_ms();
	time_t seconds = (time_t)(now_ms / 1000);
	struct tm tm = {0};
	gmtime_r(&seconds, &tm);
	size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	len += (size_t)snprintf(text + len, sizeof text - len, ".%03dZ", (int)(now_ms % 1000));
	log_put(line, text, len);
}

static void log_form_text(struct log_line *line, enum log_level level, const char *who, const char *sentence)
{
	char shown[8];
	log_put_time(line);
	log_put(line, shown, (size_t)snprintf(shown, sizeof shown, " %-5s ", level_names[level]));
	if (who) {
		log_put_who(line, who);
		log_put_string(line, ": ");
	}
	log_put_text(line, sentence);
}

static void log_form_json(struct log_line *line, enum log_level level, const char *who, const char *sentence)
{
	log_put_string(line, "{\"ts\":\"");
	log_put_time(line);
	log_put_string(line, "\",\"level\":\"");
	log_put_string(line, level_names[level]);
	log_put_string(line, who ? "\",\"who\":\"" : "\",\"who\":null,\"msg\":\"");
	if (who) {
		log_put_who(line, who);
		log_put_string(line, "\",\"msg\":\"");
	}
	log_put_text(line, sentence);
}

/* ---- facts, which JSON has as members too ---- */

/* The next " key=" of a format; returns its key, or NULL. Only a format is searched: what it is filled with may come
 * from anybody, and could name facts of its own. */
static const char *fact_find(const char *format, size_t *ret_len)
{
	for (; (format = strchr(format, ' ')); format++) {
		*ret_len = strspn(format + 1, "abcdefghijklmnopqrstuvwxyz_");
		if (*ret_len && format[1 + *ret_len] == '=')
			return format + 1;
	}
	return NULL;
}

static const char *fact_end(const char *value)
{
	const char *quote = *value == '"' ? strchr(value + 1, '"') : NULL;
	if (quote)
		return quote + 1;
	while (*value && *value != ' ' && !(strchr(":,", *value) && (!value[1] || value[1] == ' ')))
		value++;
	return value;
}

/* "%d", "%lld", "%zu" and the like, alone. */
static bool fact_is_number(const char *value, const char *end)
{
	return value + 1 < end && *value == '%' && strspn(value + 1, "lzdiu") == (size_t)(end - value - 1);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the front part of a format that was checked as a whole */
static size_t fact_offset(const char *format, const char *to, va_list list)
{
	char front[LOG_LINE_BYTES];
	size_t n = (size_t)(to - format);
	va_list copy;
	if (n >= sizeof front)
		return LOG_LINE_BYTES;
	memcpy(front, format, n);
	front[n] = '\0';
	va_copy(copy, list);
	int len = vsnprintf(NULL, 0, front, copy);
	va_end(copy);
	return len < 0 ? LOG_LINE_BYTES : (size_t)len;
}
#pragma GCC diagnostic pop

/* A member that has no room is left out whole, and those behind it. */
static void log_put_member(
	struct log_line *line, const char *key, size_t key_len, const char *value, size_t value_len, bool is_number)
{
	char text[LOG_LINE_BYTES];
	size_t before = line->len;
	memcpy(text, value, value_len);
	text[value_len] = '\0';
	log_put_string(line, ",\"");
	log_put(line, key, key_len);
	log_put_string(line, is_number ? "\":" : "\":\"");
	log_put_text(line, text);
	log_put_string(line, is_number ? "" : "\"");
	if (line->is_cut)
		line->len = before;
}

static void log_put_facts(struct log_line *line, const char *format, va_list list, const char *sentence)
{
	const char *key, *end = format;
	for (size_t len; !line->is_cut && (key = fact_find(end, &len));) {
		const char *value = key + len + 1;
		end = fact_end(value);
		bool is_quoted = *value == '"' && end[-1] == '"' && end - value > 1;
		size_t from = fact_offset(format, value, list) + is_quoted, to = fact_offset(format, end, list) - is_quoted;
		if (to >= LOG_LINE_BYTES || from > to)
			return;
		log_put_member(line, key, len, sentence + from, to - from, fact_is_number(value, end));
	}
}

static ssize_t log_write(const char *bytes, size_t len)
{
	struct pollfd room = {.fd = log_conf.fd, .events = POLLOUT};
	if (log_conf.sink == SINK_SOCKET)
		return send(log_conf.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (log_conf.sink == SINK_ASK && (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT)))
		return -1;
	return write(log_conf.fd, bytes, len);
}

/* What stands before the members. LOG_TAIL_BYTES were kept for what ends the sentence and the line. */
static void log_begin(struct log_line *line, enum log_level level, const char *who, const char *sentence)
{
	line->len = 0;
	line->limit = LOG_LINE_BYTES - LOG_TAIL_BYTES;
	line->is_cut = false;
	line->is_json = log_conf.is_json;
	if (atomic_exchange(&is_torn, false))
		log_put_string(line, "\n");
	(line->is_json ? log_form_json : log_form_text)(line, level, who, sentence);
	line->len += (size_t)snprintf(line->bytes + line->len, sizeof line->bytes - line->len, "%s%s",
		line->is_cut ? "..." : "", line->is_json ? "\"" : "");
}

static void log_end(struct log_line *line)
{
	line->len +=
		(size_t)snprintf(line->bytes + line->len, sizeof line->bytes - line->len, "%s\n", line->is_json ? "}" : "");
	ssize_t n = log_write(line->bytes, line->len);
	if (n != (ssize_t)line->len)
		atomic_fetch_add_explicit(&n_dropped, 1, memory_order_relaxed);
	if (n > 0 && n != (ssize_t)line->len)
		atomic_store(&is_torn, true);
}

void log_say_list(enum log_level level, const char *who, const char *format, va_list list)
{
	if (!log_is_on(level))
		return;
	int saved_errno = errno;
	char sentence[LOG_LINE_BYTES] = "";
	struct log_line line;
	va_list copy;
	va_copy(copy, list);
	vsnprintf(sentence, sizeof sentence, format, copy);
	va_end(copy);
	log_begin(&line, level, who, sentence);
	if (line.is_json)
		log_put_facts(&line, format, list, sentence);
	log_end(&line);
	errno = saved_errno;
}

void log_say(enum log_level level, const char *who, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	log_say_list(level, who, format, list);
	va_end(list);
}

/* ---- facts that are handed over as such ---- */

/* The value as it is shown; "": it is left out. */
static void fact_show(const struct log_fact *fact, char text[LOG_FACT_BYTES + 1])
{
	if (fact->kind == LOG_NUMBER)
		snprintf(text, LOG_FACT_BYTES + 1, "%lld", (long long)fact->number);
	else
		snprintf(text, LOG_FACT_BYTES + 1, "%s", fact->kind != LOG_NOTHING && fact->text ? fact->text : "");
}

void log_tell(enum log_level level, const char *who, const char *sentence, const struct log_fact *facts, size_t n_facts)
{
	if (!log_is_on(level))
		return;
	int saved_errno = errno;
	char whole[LOG_LINE_BYTES], text[LOG_FACT_BYTES + 1];
	struct log_line line;
	size_t len = (size_t)snprintf(whole, sizeof whole, "%s", sentence);
	for (size_t i = 0; i < n_facts && len < sizeof whole; i++) {
		const char *quote = facts[i].kind == LOG_TEXT ? "\"" : "";
		fact_show(&facts[i], text);
		if (*text)
			len += (size_t)snprintf(whole + len, sizeof whole - len, " %s=%s%s%s", facts[i].name, quote, text, quote);
	}
	log_begin(&line, level, who, whole);
	for (size_t i = 0; i < n_facts && line.is_json && !line.is_cut; i++) {
		fact_show(&facts[i], text);
		if (*text)
			log_put_member(
				&line, facts[i].name, strlen(facts[i].name), text, strlen(text), facts[i].kind == LOG_NUMBER);
	}
	log_end(&line);
	errno = saved_errno;
}
