/* SPDX-License-Identifier: MIT */
/* Versions: our own and every library's that is linked or loaded. */
#ifndef QBUS_HOST_VERSION_H
#define QBUS_HOST_VERSION_H

#include "host/loader.h"

#include <stdbool.h>
#include <stdio.h>

const char *version_own(void); /* "0.1.0" */
void version_print(FILE *out, struct loader *loader, bool json);

#endif
