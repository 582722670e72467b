/* SPDX-License-Identifier: MIT */
/* Fills `${NAME}` and `${NAME:-default}` into a text from the environment; `$${` stands for `${`. */
#ifndef QBUS_HOST_CONF_ENV_H
#define QBUS_HOST_CONF_ENV_H

#include "host/conf_report.h"

/* The text with its variables filled in, in the report's arena; NULL after a complaint. As in a shell, the default
 * counts when the variable is unset or empty. What was filled in is not looked at again. */
const char *conf_env_expand(struct conf_report *report, struct conf_at at, const char *text);

/* Calls each with the name of every variable that the text asks for. */
void conf_env_each(struct conf_arena *arena, const char *text, void (*each)(void *ctx, const char *name), void *ctx);

#endif
