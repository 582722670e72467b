/* SPDX-License-Identifier: MIT */
/* Turns numbers of a configuration into messages, bytes and seconds, and says what the broker does about them. */
#include "explain.h"

#include "command.h"
#include "effective.h"
#include "number.h"
#include "round.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"Usage: qbus-bench tune --explain -c FILE [OPTION]...\n"
	"\n"
	"Reads a configuration of qbus-proxy and says for each pipeline how much it holds, how many seconds of work that is,\n"
	"and what the broker does when that takes long. Nothing is started, no broker is asked.\n"
	"\n"
	"  --handler-ms N           milliseconds that a handler takes (default 10)\n"
	"  --size BYTES             of a message (default 1024)\n"
	"  --partitions N           of Kafka that one process reads (default 12)\n"
	"  --consumer-timeout N     minutes, of RabbitMQ (default 30, as the broker's)\n"
	"  --proxy FILE             the proxy (default: next to this program)\n";

enum { OPT_HELP = 256, OPT_PROXY, OPT_HANDLER, OPT_SIZE, OPT_PARTITIONS, OPT_TIMEOUT };

static const struct option options[] = {
	{"help", no_argument, NULL, OPT_HELP},
	{"proxy", required_argument, NULL, OPT_PROXY},
	{"handler-ms", required_argument, NULL, OPT_HANDLER},
	{"size", required_argument, NULL, OPT_SIZE},
	{"partitions", required_argument, NULL, OPT_PARTITIONS},
	{"consumer-timeout", required_argument, NULL, OPT_TIMEOUT},
	{NULL, 0, NULL, 0},
};

struct explain {
	const char *file;
	uint64_t handler_ms, size, n_partitions, timeout_minutes;
	struct effective effective;
};

/* One pipeline, and what follows from its numbers. */
struct view {
	const struct explain *explain;
	const char *name;
	bool is_kafka;
	int64_t n_workers; /* of its pool; 0: the proxy starts none */
	double attempt_s;  /* the longest that a worker can be with one message */
	int64_t n_held;    /* messages of this size, at most */
	double handler_s;
	double work_s; /* of all that is held, for each worker */
};

static int64_t number(const struct view *view, const char *key)
{
	return effective_number(&view->explain->effective, "pipelines", view->name, key);
}

static double seconds(const struct view *view, const char *key)
{
	int64_t us = number(view, key);

	return us > 0 ? (double)us / 1e6 : 0;
}

/* "3.2 s", "12 min", "5.0 h"; of the last few that were made, at once usable in one call of printf. */
static const char *period(double s)
{
	static char texts[4][24];
	static size_t i;
	char *text = texts[i++ % 4];
	double shown = s < 1 ? s * 1000 : s < 180 ? s : s < 7200 ? s / 60 : s / 3600;

	snprintf(text, sizeof(texts[0]), "%.*f %s", shown < 10 ? 1 : 0, shown,
		s < 1      ? "ms"
		: s < 180  ? "s"
		: s < 7200 ? "min"
				   : "h");
	return text;
}

static struct view view_of(const struct explain *explain, const char *name)
{
	const struct effective *effective = &explain->effective;
	const char *broker = effective_text(effective, "pipelines", name, "source.broker");
	const char *type = broker ? effective_text(effective, "brokers", broker, "type") : NULL;
	const char *pool = effective_text(effective, "pipelines", name, "pool");
	struct view view = {.explain = explain, .name = name, .is_kafka = type && strcmp(type, "kafka") == 0};
	int64_t prefetch = number(&view, "source.prefetch");
	int64_t n_bytes = number(&view, "max_outstanding_bytes") / (int64_t)explain->size;

	view.n_workers = pool ? effective_number(effective, "pools", pool, "num_workers") : 0;
	view.attempt_s = seconds(&view, "handler_timeout") + seconds(&view, "handler_grace");
	if (pool)
		view.attempt_s += (double)effective_number(effective, "pools", pool, "destroy_timeout") / 1e6;
	view.n_held = number(&view, "max_outstanding_messages");
	if (n_bytes < view.n_held)
		view.n_held = n_bytes > 0 ? n_bytes : 1;
	if (prefetch > 0 && prefetch < view.n_held)
		view.n_held = prefetch;
	view.handler_s = (double)explain->handler_ms / 1000;
	view.work_s = (double)view.n_held * view.handler_s / (double)(view.n_workers > 0 ? view.n_workers : 1);
	return view;
}

/* ---- what all brokers have ---- */

static void tell_held(const struct view *view)
{
	const char *most_bytes =
		effective_text(&view->explain->effective, "pipelines", view->name, "max_outstanding_bytes");
	double mebibytes = (double)view->n_held * (double)view->explain->size / 1048576;

	printf("  holds       %" PRId64 " messages of %" PRIu64 " bytes at most, %.1f MiB: the least of\n              ",
		view->n_held, view->explain->size, mebibytes);
	if (number(view, "source.prefetch") > 0)
		printf("prefetch %" PRId64 ", ", number(view, "source.prefetch"));
	printf("max_outstanding_messages %" PRId64 ", max_outstanding_bytes %s\n", number(view, "max_outstanding_messages"),
		most_bytes ? most_bytes : "-");
}

static void tell_work(const struct view *view)
{
	printf("  work        that is %s for each of %" PRId64 " worker%s when a handler takes %s%s\n",
		period(view->work_s), view->n_workers > 0 ? view->n_workers : 1, view->n_workers > 1 ? "s" : "",
		period(view->handler_s), view->n_workers > 0 ? "" : " (the proxy starts none; one is assumed)");
	if (view->handler_s > seconds(view, "handler_timeout"))
		printf("  deadline    NO HANDLER OF %s SUCCEEDS: handler_timeout is %s\n", period(view->handler_s),
			period(seconds(view, "handler_timeout")));
}

/* How long one message can be held by its own failures, retries included; 0: nothing ends it. */
static double failures_s(const struct view *view)
{
	int64_t n = number(view, "max_attempts");
	double sum_s = 0;
	double wait_s = seconds(view, "backoff.initial"), most_s = seconds(view, "backoff.max");
	const char *factor = effective_text(&view->explain->effective, "pipelines", view->name, "backoff.multiplier");
	double max_age_s = seconds(view, "max_age");

	for (int64_t i = 0; i < n; i++) {
		sum_s += view->attempt_s + (i + 1 < n ? wait_s : 0);
		wait_s = wait_s * (factor ? strtod(factor, NULL) : 1);
		wait_s = wait_s < most_s ? wait_s : most_s;
	}
	if (max_age_s > 0 && (n == 0 || max_age_s + view->attempt_s < sum_s))
		sum_s = max_age_s + view->attempt_s;
	return sum_s;
}

static void tell_failures(const struct view *view)
{
	double most_s = failures_s(view);

	printf("  failures    an attempt ends after %s at the latest (handler_timeout + handler_grace%s);\n              ",
		period(view->attempt_s), view->n_workers > 0 ? " + the pool's destroy_timeout" : "");
	if (most_s > 0)
		printf("a message that waits for nobody is given up after %s at the latest\n", period(most_s));
	else
		puts("no max_attempts and no max_age: a message that always fails is tried for ever");
}

/* ---- Kafka ---- */

static void tell_kafka(const struct view *view)
{
	double revoke_s = seconds(view, "revoke_timeout"), poll_s = seconds(view, "source.max_poll_interval");
	double size = (double)view->explain->size, n = (double)view->explain->n_partitions;
	double partition = (double)number(view, "fetch.max_partition_bytes"),
		   answer = (double)number(view, "fetch.max_bytes");
	/* A message comes whole, whatever its size. */
	double of_lane = (double)number(view, "fetch.queue_bytes") + (partition > size ? partition : size);
	double of_broker = answer > size ? answer : size;

	printf("  fetched     beside, librdkafka holds up to %.1f MiB a partition and %.1f MiB a broker: %.0f MiB of %.0f\n"
		   "              partitions on one broker\n",
		of_lane / 1048576, of_broker / 1048576, (of_lane * n + of_broker) / 1048576, n);
	printf("  rebalance   waits %s (revoke_timeout) for running handlers:\n              ", period(revoke_s));
	if (view->handler_s > revoke_s)
		printf("HANDLERS OF %s ARE REPEATED by the next owner; raise it\n", period(view->handler_s));
	else if (seconds(view, "handler_timeout") > revoke_s)
		printf("enough for %s, but one that takes up to its handler_timeout (%s) is repeated\n",
			period(view->handler_s), period(seconds(view, "handler_timeout")));
	else
		puts("enough for every handler");
	printf(
		"  max.poll    %s (max_poll_interval) does not bound handlers: the proxy polls on while they run; a rebalance\n"
		"              waits so long for this member\n",
		period(poll_s));
	printf(
		"  a kill      repeats what is open and what was acked within %s (commit_interval); behind one slow message at\n"
		"              most %" PRId64 " go on (max_ack_gap)\n",
		period(seconds(view, "commit_interval")), number(view, "max_ack_gap"));
}

/* ---- RabbitMQ ---- */

/* The last message prefetched waits for all others and then may fail as often as it is allowed to. */
static void tell_amqp(const struct view *view)
{
	double timeout_s = (double)view->explain->timeout_minutes * 60, failures = failures_s(view);
	double n_workers = (double)(view->n_workers > 0 ? view->n_workers : 1);

	printf(
		"  timeout     RabbitMQ's consumer_timeout of %s runs from a message's delivery to the proxy; then the channel is\n"
		"              closed and all that is held comes again. The last one prefetched is handled after %s: ",
		period(timeout_s), period(view->work_s));
	if (view->work_s > timeout_s)
		printf("TOO LATE;\n              prefetch at most %.0f\n", timeout_s * n_workers / view->handler_s / 2);
	else if (failures == 0 || view->work_s + failures > timeout_s)
		puts("in time,\n              but not with its retries; max_attempts or max_age bound them");
	else
		printf("in time,\n              and with all its retries after %s\n", period(view->work_s + failures));
	printf("  a kill      hands the %" PRId64
		   " messages held back to the queue; those that handlers had are repeated\n",
		view->n_held);
}

static void tell_pipeline(const struct explain *explain, const char *name)
{
	struct view view = view_of(explain, name);

	printf("%s\n", name);
	tell_held(&view);
	tell_work(&view);
	tell_failures(&view);
	if (view.is_kafka)
		tell_kafka(&view);
	else if (number(&view, "source.prefetch") > 0)
		tell_amqp(&view);
	putchar('\n');
}

/* ---- the command ---- */

/* 0, or after a sentence what to exit with. */
static int read_conf(struct explain *explain, const struct run_conf *conf)
{
	const char *const argv[] = {conf->proxy, "check-config", "-c", explain->file, "--print", NULL};
	struct child child;
	char line[512];
	int err = child_start(&child, argv, conf->log);

	if (err)
		return EXIT_ERROR;
	err = child_wait(&child);

	FILE *file = fopen(conf->log, "re");

	if (!file)
		return EXIT_ERROR;
	while (err && fgets(line, sizeof(line), file))
		fputs(line, stderr);
	if (!err)
		err = effective_read(&explain->effective, file);
	fclose(file);
	return err && err != EXIT_CONFIG ? EXIT_ERROR : err;
}

static bool take_option(struct explain *explain, struct run_conf *conf, int option)
{
	switch (option) {
	case 'c':
		explain->file = optarg;
		return true;
	case OPT_PROXY:
		return snprintf(conf->proxy, sizeof(conf->proxy), "%s", optarg) < RUN_MAX_PATH;
	case OPT_HANDLER:
		return number_read(optarg, 1, 86400000, &explain->handler_ms);
	case OPT_SIZE:
		return number_read(optarg, 1, INT32_MAX, &explain->size);
	case OPT_PARTITIONS:
		return number_read(optarg, 1, 100000, &explain->n_partitions);
	case OPT_TIMEOUT:
		return number_read(optarg, 1, 1000000, &explain->timeout_minutes);
	default:
		return false;
	}
}

static void tell_all(const struct explain *explain)
{
	const struct effective *effective = &explain->effective;
	static const char above[] = "pipelines.";

	for (size_t i = 0; i < effective->n_rows; i++) {
		const struct effective_row *row = &effective->rows[i];

		if (row->depth == 1 && strncmp(row->path, above, strlen(above)) == 0)
			tell_pipeline(explain, row->path + strlen(above));
	}
	fputs(effective->ceiling, stdout);
}

int explain_command(int argc, char **argv)
{
	static struct explain explain = {.handler_ms = 10, .size = 1024, .n_partitions = 12, .timeout_minutes = 30};
	struct run_conf conf = run_conf_default(argc, argv);
	int option;

	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (option == OPT_HELP) {
			fputs(usage, stdout);
			return EXIT_CLEAN;
		}
		if (!take_option(&explain, &conf, option))
			return EXIT_USAGE;
	}
	if (optind != argc || !explain.file) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (round_prepare(&conf)) {
		round_clean_up(&conf, false);
		return EXIT_ERROR;
	}

	int err = read_conf(&explain, &conf);

	if (!err) {
		puts("# Assumed where the options do not say: --size 1024, --handler-ms 10, --partitions 12\n");
		tell_all(&explain);
	}
	effective_done(&explain.effective);
	round_clean_up(&conf, false);
	return err;
}
