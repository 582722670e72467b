/* SPDX-License-Identifier: MIT */
/* Option values of a rig: reads the texts of a test as the runtime would read a file. */
#include "rig_values.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

static const struct rig_unit {
	const char *name;
	int64_t factor;
} units[] = {
	{"us", 1},
	{"ms", 1000},
	{"s", 1000000},
	{"m", 60000000},
	{"h", 3600000000},
	{"KiB", 1024},
	{"MiB", 1048576},
	{"GiB", 1073741824},
	{"", 1},
};

static bool number_read(const char *text, int64_t *ret_number)
{
	char *end;
	long long number = strtoll(text, &end, 10);

	for (size_t i = 0; end != text && i < sizeof(units) / sizeof(*units); i++) {
		if (!strcmp(end, units[i].name)) {
			*ret_number = number * units[i].factor;
			return true;
		}
	}
	return false;
}

static void items_read(struct qb_value *value, const char *text, bool is_map)
{
	char *list = strdup(text), *at = list, *word;
	struct qb_pair *items = NULL;

	while ((word = strsep(&at, ";"))) {
		char *equals = is_map ? strchr(word, '=') : NULL;
		struct qb_pair *pair;

		if (!*word)
			continue;
		assert_true(!is_map || equals);
		items = realloc(items, (value->n_items + 1) * sizeof(*items));
		assert_non_null(items);
		pair = &items[value->n_items++];
		memset(pair, 0, sizeof(*pair));
		if (equals)
			*equals = '\0';
		pair->name = equals ? strdup(word) : NULL;
		pair->text = strdup(equals ? equals + 1 : word);
		pair->kind = number_read(pair->text, &pair->number) ? QB_INT : QB_STRING;
	}
	value->items = items;
	free(list);
}

/* A path that is given again counts as it was given last. */
static void value_done(struct qb_value *value)
{
	free((void *)(uintptr_t)value->text);
	for (size_t i = 0; i < value->n_items; i++) {
		free((void *)(uintptr_t)value->items[i].name);
		free((void *)(uintptr_t)value->items[i].text);
	}
	free((void *)(uintptr_t)value->items);
	*value = (struct qb_value){.is_set = value->is_set};
}

static void value_read(struct qb_value *value, const struct qb_option *option, const char *text)
{
	value_done(value);
	switch (option->kind) {
	case QB_STRING:
	case QB_SECRET:
	case QB_FILE:
		value->text = strdup(text);
		break;
	case QB_BOOL:
		value->number = !strcasecmp(text, "true");
		break;
	case QB_INT:
	case QB_DURATION:
	case QB_SIZE:
		if (!number_read(text, &value->number))
			fail_msg("%s: cannot read %s", option->path, text);
		break;
	case QB_LIST:
	case QB_MAP:
		items_read(value, text, option->kind == QB_MAP);
		break;
	}
}

void rig_values_read(struct rig *rig, const char *path, va_list args)
{
	const struct qb_option *options = rig->plugin->options;
	size_t n = rig->plugin->n_options, i;

	rig->values = calloc(n, sizeof(*rig->values));
	assert_non_null(rig->values);
	rig->conf.values = rig->values;
	for (; path; path = va_arg(args, const char *)) {
		for (i = 0; i < n && strcmp(options[i].path, path); i++)
			;
		if (i == n)
			fail_msg("the plugin has no option %s", path);
		rig->values[i].is_set = true;
		value_read(&rig->values[i], &options[i], va_arg(args, const char *));
	}
	for (i = 0; i < n; i++)
		if (!rig->values[i].is_set && options[i].fallback)
			value_read(&rig->values[i], &options[i], options[i].fallback);
}

void rig_values_free(struct rig *rig)
{
	for (size_t i = 0; i < rig->plugin->n_options; i++)
		value_done(&rig->values[i]);
	free(rig->values);
}
