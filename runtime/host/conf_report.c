/* SPDX-License-Identifier: MIT */
/* Collects what is wrong with a configuration, and guesses what was meant. */
#include "host/conf_report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SENTENCE_MAX 512
#define WORD_MAX 48 /* longer words are not guessed at */

static bool report_has(const struct conf_report *report, struct conf_at at, const char *sentence)
{
	for (size_t i = 0; i < report->n_complaints; i++) {
		const struct conf_complaint *other = &report->complaints[i];
		if (other->line == at.line && other->column == at.column && strcmp(other->sentence, sentence) == 0)
			return true;
	}
	return false;
}

static void report_add(struct conf_report *report, struct conf_at at, bool is_error, const char *format, va_list list)
	__attribute__((format(printf, 4, 0)));

static void report_add(struct conf_report *report, struct conf_at at, bool is_error, const char *format, va_list list)
{
	char sentence[SENTENCE_MAX];
	vsnprintf(sentence, sizeof sentence, format, list);
	for (char *byte = sentence; *byte; byte++)
		if ((unsigned char)*byte < ' ' || *byte == 0x7f)
			*byte = '?';
	if (report_has(report, at, sentence))
		return;
	report->n_errors += is_error;
	if (report->n_complaints == CONF_REPORT_MAX) {
		report->n_lost++;
		return;
	}
	report->complaints[report->n_complaints++] = (struct conf_complaint){
		.line = at.line,
		.column = at.column,
		.is_error = is_error,
		.sentence = conf_arena_copy(report->arena, sentence, strlen(sentence)),
	};
}

void conf_report_error(struct conf_report *report, struct conf_at at, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	report_add(report, at, true, format, list);
	va_end(list);
}

void conf_report_warn(struct conf_report *report, struct conf_at at, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	report_add(report, at, false, format, list);
	va_end(list);
}

static int complaint_compare(const void *left, const void *right)
{
	const struct conf_complaint *a = left, *b = right;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return strcmp(a->sentence, b->sentence);
}

void conf_report_finish(struct conf_report *report, struct conf *conf)
{
	size_t n = report->n_complaints;
	struct conf_complaint *complaints = conf_arena_take_array(report->arena, n + 1, sizeof *complaints);
	memcpy(complaints, report->complaints, n * sizeof *complaints);
	qsort(complaints, n, sizeof *complaints, complaint_compare);
	if (report->n_lost) {
		complaints[n] = complaints[n - 1];
		complaints[n].is_error = report->n_errors > 0;
		complaints[n++].sentence = conf_arena_print(report->arena, "and %zu more complaints", report->n_lost);
	}
	conf->complaints = complaints;
	conf->n_complaints = n;
	conf->n_errors = report->n_errors;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;
	return least < c ? least : c;
}

static unsigned char lower(char letter)
{
	return (unsigned char)(letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter);
}

/* How many letters must be changed, added, dropped or swapped with a neighbour; both words at most WORD_MAX long. */
static size_t word_distance(const char *a, size_t len_a, const char *b, size_t len_b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];
	for (size_t j = 0; j <= len_b; j++)
		above[j] = j;
	for (size_t i = 1; i <= len_a; i++) {
		row[0] = i;
		for (size_t j = 1; j <= len_b; j++) {
			size_t change = above[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
			row[j] = smallest(change, above[j] + 1, row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		size_t *spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[len_b];
}

void conf_guess_offer(struct conf_guess *guess, const char *candidate)
{
	size_t len_word = strlen(guess->word), len_candidate = strlen(candidate);
	if (len_word > WORD_MAX || len_candidate > WORD_MAX || len_word == 0)
		return;
	size_t distance = word_distance(guess->word, len_word, candidate, len_candidate);
	size_t limit = len_word < 4 ? 1 : len_word < 7 ? 2 : 3;
	if (distance > limit || (guess->best && distance >= guess->distance))
		return;
	guess->best = candidate;
	guess->distance = distance;
}

const char *conf_guess_hint(const struct conf_guess *guess, struct conf_arena *arena)
{
	return guess->best ? conf_arena_print(arena, " (did you mean \"%s\"?)", guess->best) : "";
}
