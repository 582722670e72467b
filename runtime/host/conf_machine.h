/* SPDX-License-Identifier: MIT */
/* What a configuration needs of the machine that it is checked on. */
#ifndef QBUS_HOST_CONF_MACHINE_H
#define QBUS_HOST_CONF_MACHINE_H

#include "host/conf_check.h"

/* Complains of directories of sockets and of programs of workers that are not there. Needs the structs filled. */
void conf_machine_check(struct conf_draft *draft);

#endif
