/* SPDX-License-Identifier: MIT */
/* A plugin that does nothing; built several times, each time with another flaw. */
#include <qbus/plugin.h>

#ifndef FAKE_NAME
#define FAKE_NAME FAKE_FILE /* of the file that is built */
#endif
#ifndef FAKE_ABI
#define FAKE_ABI QB_ABI
#endif
#ifndef FAKE_SIZE
#define FAKE_SIZE sizeof(struct qb_plugin)
#endif
#ifndef FAKE_TRAITS
#define FAKE_TRAITS QB_SETTLE_EACH
#endif
#ifndef FAKE_POLL
#define FAKE_POLL fake_poll
#endif
#ifndef FAKE_KIND
#define FAKE_KIND QB_STRING
#endif
#ifndef FAKE_SYMBOL
#define FAKE_SYMBOL qbus_plugin
#endif

static const char *fake_library(void)
{
	return "none 1";
}

static enum qb_result fake_open(const struct qb_host *host, const struct qb_source_conf *conf, void **ret_source)
{
	(void)host, (void)conf, (void)ret_source;
	return QB_FATAL;
}

__attribute__((unused)) static enum qb_result fake_poll(void *source, int timeout_ms, const struct qb_budget *budget)
{
	(void)source, (void)timeout_ms, (void)budget;
	return QB_LOST;
}

static void fake_settle(void *source, const struct qb_settlement *settlements, size_t n)
{
	(void)source, (void)settlements, (void)n;
}

static void fake_leave(void *source)
{
	(void)source;
}

static void fake_close(void *source, int timeout_ms)
{
	(void)source, (void)timeout_ms;
}

static const struct qb_option options[] = {
	{.path = "word", .kind = (enum qb_kind)FAKE_KIND, .scope = QB_SOURCE, .help = "Any word."},
};

extern const struct qb_plugin FAKE_SYMBOL;
__attribute__((visibility("default"))) const struct qb_plugin FAKE_SYMBOL = {
	.abi = FAKE_ABI,
	.size = FAKE_SIZE,
	.name = FAKE_NAME,
	.traits = FAKE_TRAITS,
	.options = options,
	.n_options = 1,
	.library = fake_library,
	.open = fake_open,
	.poll = FAKE_POLL,
	.settle = fake_settle,
	.drain = fake_leave,
	.close = fake_close,
	.wake = fake_leave,
};
