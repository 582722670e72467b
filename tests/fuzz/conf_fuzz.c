/* SPDX-License-Identifier: MIT */
/* Any text as a configuration: it is refused with complaints, or what is printed of it can be read back and is the
 * same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/host/conf_fake.h"
#include "host/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *printed(const struct conf *conf, void (*print)(const struct conf *conf, FILE *out))
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	print(conf, out);
	fclose(out);
	return text;
}

static void check_again(const struct conf *conf)
{
	char *first = printed(conf, conf_print);
	struct conf *again = conf_parse("again", first, strlen(first), conf_fake_find, NULL);
	char *second = again->n_errors ? printed(again, conf_complain) : printed(again, conf_print);
	/* A mask is a text of its own, which may be too long or too short for its place. */
	if (strcmp(first, second) != 0 && !strstr(first, "***")) {
		fprintf(stderr, "%s\n%s\n", first, second);
		abort();
	}
	conf_free(again);
	free(first);
	free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *conf = conf_parse("fuzz", (const char *)data, size, conf_fake_find, NULL);
	free(printed(conf, conf_complain));
	if (!conf->n_errors)
		check_again(conf);
	conf_free(conf);
	return 0;
}
