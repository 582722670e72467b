/* SPDX-License-Identifier: MIT */
/* Values as they would stand in the file, secrets masked. */
#include "host/conf_write.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "host/units.h"

#define MASK "***"

/* Whether YAML reads the text back as this string without quotes. */
static bool text_is_plain(const char *text)
{
	static const char *const taken[] = {"true", "false", "null", "yes", "no", "on", "off"};
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-";
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		if (strcasecmp(text, taken[i]) == 0)
			return false;
	return (strspn(text, letters) > 0 || *text == '/') && text[strspn(text, safe)] == '\0';
}

static void print_quoted(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)text[i];
		if (byte == '"' || byte == '\\')
			fprintf(out, "\\%c", byte);
		else if (byte < ' ' || byte == 0x7f)
			fprintf(out, "\\x%02X", byte);
		else if (byte == '$' && i + 1 < len && text[i + 1] == '{')
			fputs("$$", out);
		else
			fputc(byte, out);
	}
}

void conf_write_name(FILE *out, const char *name)
{
	if (text_is_plain(name)) {
		fprintf(out, "%s:", name);
		return;
	}
	fputc('"', out);
	for (; *name;
		 name++) /* one byte at a time: variables are not filled into names, so nothing is to be kept from that */
		print_quoted(out, name, 1);
	fputs("\":", out);
}

/* A URL's password lies between the colon behind "://USER" and the last '@'. Prints the text without it. */
static void print_text(FILE *out, const char *text)
{
	if (text_is_plain(text)) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (const char *scheme; (scheme = strstr(text, "://")) != NULL;) {
		const char *user = scheme + 3;
		size_t len = strcspn(user, ", ");
		const char *colon = memchr(user, ':', len), *at = memrchr(user, '@', len);
		if (colon && at && colon < at) {
			print_quoted(out, text, (size_t)(colon + 1 - text));
			fputs(MASK, out);
			text = at;
		} else {
			print_quoted(out, text, (size_t)(user - text));
			text = user;
		}
	}
	print_quoted(out, text, strlen(text));
	fputc('"', out);
}

/* Free keys are not declared as secrets; their names have to tell. */
static bool name_is_secret(const char *name)
{
	static const char *const words[] = {"pass", "secret", "token", "key", "credential", "jaas", "pem"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcasestr(name, words[i]))
			return true;
	return false;
}

static void print_pair(FILE *out, const struct qb_pair *pair)
{
	if (pair->name) {
		conf_write_name(out, pair->name);
		fputc(' ', out);
	}
	if (pair->name && name_is_secret(pair->name))
		fputs("\"" MASK "\"", out);
	else if (pair->kind == QB_INT || pair->kind == QB_BOOL)
		fputs(pair->text, out);
	else
		print_text(out, pair->text);
}

static void print_items(FILE *out, const struct conf_key *key, const struct qb_value *value)
{
	bool is_map = key->kind == CONF_MAP;
	fputc(is_map ? '{' : '[', out);
	for (size_t i = 0; i < value->n_items; i++) {
		fputs(i ? ", " : is_map ? " " : "", out);
		print_pair(out, &value->items[i]);
	}
	fputs(is_map ? " }" : "]", out);
}

static const char *word_of(const struct conf_key *key, int64_t number)
{
	const struct conf_word *word = key->words;
	while (word->name && word->value != number)
		word++;
	return word->name ? word->name : "?";
}

static bool is_off(const struct conf_key *key, const struct conf_value *value)
{
	if (!key->off_word)
		return false;
	if (key->kind == CONF_DURATION)
		return value->plain.number < 0;
	return key->kind == CONF_INT ? value->plain.number == 0 : value->plain.text == NULL;
}

void conf_write_value(FILE *out, const struct conf_key *key, const struct conf_value *value)
{
	char text[UNITS_TEXT_MAX];
	const struct qb_value *plain = &value->plain;
	if (is_off(key, value))
		fputs(key->off_word, out);
	else if (key->kind == CONF_SECRET)
		fputs("\"" MASK "\"", out);
	else if (key->kind == CONF_LIST || key->kind == CONF_MAP || key->kind == CONF_NUMBERS)
		print_items(out, key, plain);
	else if (key->kind == CONF_BOOL)
		fputs(plain->number ? "true" : "false", out);
	else if (key->kind == CONF_INT)
		fprintf(out, "%" PRId64, plain->number);
	else if (key->kind == CONF_DURATION)
		fputs(units_print_duration(plain->number, text), out);
	else if (key->kind == CONF_SIZE)
		fputs(units_print_size(plain->number, text), out);
	else if (key->kind == CONF_WORD)
		fputs(word_of(key, plain->number), out);
	else if (key->kind == CONF_RATIO)
		fprintf(out, "%.15g", value->ratio);
	else if (key->kind == CONF_MODE)
		fprintf(out, "\"%04" PRIo64 "\"", plain->number);
	else
		print_text(out, plain->text ? plain->text : "");
}

bool conf_write_is_needed(const struct conf_key *key, const struct conf_value *value)
{
	const struct qb_value *plain = &value->plain;
	if (key->kind == CONF_PART)
		return false;
	if (key->fallback || key->kind == CONF_WORD || (key->is_option && plain->is_set))
		return true;
	return plain->text || plain->n_items || plain->number;
}
