/* SPDX-License-Identifier: MIT */
/* Option values of a rig. */
#ifndef RIG_VALUES_H
#define RIG_VALUES_H

#include <stdarg.h>

#include "rig.h"

/* Fills rig->values from the pairs of rig_new and the fallbacks of the options; what cannot be read fails the test. */
void rig_values_read(struct rig *rig, const char *path, va_list args);
void rig_values_free(struct rig *rig);

#endif
