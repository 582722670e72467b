/* SPDX-License-Identifier: MIT */
/* Two plugins that only have options, for what reads configurations: "kafka" has topics, "amqp" has queues. */
#ifndef QBUS_TESTS_CONF_FAKE_H
#define QBUS_TESTS_CONF_FAKE_H

#include <qbus/plugin.h>

/* A conf_lookup. */
const struct qb_plugin *conf_fake_find(void *ctx, const char *type, const char **ret_reason);

#endif
