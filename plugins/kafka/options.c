/* SPDX-License-Identifier: MIT */
/* What the options of a source say. */
#include "options.h"

#include <string.h>

const struct qb_value *options_value(const struct qb_source_conf *conf, enum option option)
{
	return &conf->values[option];
}

const char *options_text(const struct qb_source_conf *conf, enum option option)
{
	const char *text = conf->values[option].text;

	return text ? text : "";
}

int64_t options_number(const struct qb_source_conf *conf, enum option option)
{
	return conf->values[option].number;
}

bool options_is_embedded(const struct qb_source_conf *conf)
{
	return !strcmp(options_text(conf, OPTION_BOOTSTRAP_SERVERS), "embedded");
}

bool options_is_cooperative(const struct qb_source_conf *conf)
{
	return !strcmp(options_text(conf, OPTION_ASSIGNMENT), "cooperative-sticky");
}
