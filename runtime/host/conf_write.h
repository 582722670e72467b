/* SPDX-License-Identifier: MIT */
/* Values as they would stand in the file, secrets masked. */
#ifndef QBUS_HOST_CONF_WRITE_H
#define QBUS_HOST_CONF_WRITE_H

#include <stdio.h>

#include "host/conf_value.h"

/* Whether there is something to write: a default or a value. */
bool conf_write_is_needed(const struct conf_key *key, const struct conf_value *value);
/* Masked are secrets, the password of a URL, and free keys whose name tells of a secret. */
void conf_write_value(FILE *out, const struct conf_key *key, const struct conf_value *value);
/* `NAME:` */
void conf_write_name(FILE *out, const char *name);

#endif
