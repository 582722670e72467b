/* SPDX-License-Identifier: MIT */
/* UTF-8, as RFC 3629 has it. */
#include "admin/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* By the first byte: what lies in between, how many bytes, and what the second may be. */
struct sequence {
	uint8_t first, last, n_bytes, second_first, second_last;
};

static const struct sequence sequences[] = {
	{0x01, 0x7f, 1, 0, 0},
	{0xc2, 0xc2, 2, 0xa0, 0xbf}, /* below are control characters that a terminal may obey */
	{0xc3, 0xdf, 2, 0x80, 0xbf},
	{0xe0, 0xe0, 3, 0xa0, 0xbf},
	{0xe1, 0xec, 3, 0x80, 0xbf},
	{0xed, 0xed, 3, 0x80, 0x9f},
	{0xee, 0xef, 3, 0x80, 0xbf},
	{0xf0, 0xf0, 4, 0x90, 0xbf},
	{0xf1, 0xf3, 4, 0x80, 0xbf},
	{0xf4, 0xf4, 4, 0x80, 0x8f},
};

/* What turns the direction of writing, so that a line reads as another than it is. */
static const struct {
	uint32_t first, last;
} turns[] = {{0x61c, 0x61c}, {0x200e, 0x200f}, {0x202a, 0x202e}, {0x2066, 0x2069}};

static bool sequence_turns(const uint8_t *text, size_t n)
{
	uint32_t code = n > 1 ? text[0] & (0x7fu >> n) : text[0];
	for (size_t i = 1; i < n; i++)
		code = code << 6 | (text[i] & 0x3fu);
	for (size_t i = 0; i < sizeof turns / sizeof *turns; i++)
		if (code >= turns[i].first && code <= turns[i].last)
			return true;
	return false;
}

static bool sequence_fits(const struct sequence *sequence, const uint8_t *text)
{
	if (text[0] < sequence->first || text[0] > sequence->last)
		return false;
	if (sequence->n_bytes > 1 && (text[1] < sequence->second_first || text[1] > sequence->second_last))
		return false;
	for (size_t i = 2; i < sequence->n_bytes; i++)
		if (text[i] < 0x80 || text[i] > 0xbf)
			return false;
	return !sequence_turns(text, sequence->n_bytes);
}

size_t text_sequence(const char *text)
{
	for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++)
		if (sequence_fits(&sequences[i], (const uint8_t *)text))
			return sequences[i].n_bytes;
	return 0;
}

char *text_clean(const char *text, char *ret, size_t size)
{
	size_t len = 0;
	while (*text) {
		size_t n = text_sequence(text);
		if (len + (n ? n : 1) >= size)
			break;
		memcpy(ret + len, n ? text : "?", n ? n : 1);
		len += n ? n : 1;
		text += n ? n : 1;
	}
	ret[len] = '\0';
	return ret;
}
