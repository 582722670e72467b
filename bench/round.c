/* SPDX-License-Identifier: MIT */
/* One round of a run, and what has to be there before and gone after all of them. */
#include "round.h"

#include "child.h"
#include "embedded.h"
#include "tally.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void on_signal(int number)
{
	(void)number;
	child_interrupt();
}

static void export(const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	setenv(name, text, 1);
}

/* Where we are, the proxy next to us, and our worker in share/: the same places in the build tree and when
 * installed. */
static int find_programs(struct run_conf *conf)
{
	ssize_t len = readlink("/proc/self/exe", conf->bench, sizeof(conf->bench) - 1);

	if (len <= 0)
		return -1;
	conf->bench[len] = '\0';
	int folder = (int)(strrchr(conf->bench, '/') - conf->bench);
	if (!*conf->proxy)
		snprintf(conf->proxy, sizeof(conf->proxy), "%.*s/qbus-proxy", folder, conf->bench);
	if (!conf->worker) {
		snprintf(conf->own_worker, sizeof(conf->own_worker), "%.*s/" QBUS_BENCH_WORKER, folder, conf->bench);
		conf->worker = conf->own_worker;
	}
	if (access(conf->proxy, X_OK) == 0 && access(conf->worker, R_OK) == 0)
		return 0;
	fprintf(stderr, "qbus-bench: %s or %s is not there; see --proxy and --worker\n", conf->proxy, conf->worker);
	return -1;
}

static bool is_embedded(const struct run_conf *conf)
{
	return conf->bootstrap && strcmp(conf->bootstrap, "embedded") == 0;
}

/* What is read again and again must stay in it. */
static int open_embedded(struct run_conf *conf)
{
	enum { AROUND = 100 }; /* bytes of a record beside its body */
	uint64_t n_bytes = conf->rate ? 0 : run_n_needed(conf) * (conf->largest + AROUND);
	uint64_t n = n_bytes / EMBEDDED_PARTITION_BYTES + 1;

	if (n > EMBEDDED_MAX_PARTITIONS) {
		fprintf(stderr, "qbus-bench: the embedded cluster holds %d MiB; take fewer --messages, or a --rate\n",
			EMBEDDED_MAX_PARTITIONS * (EMBEDDED_PARTITION_BYTES >> 20));
		return -1;
	}
	if (n > conf->n_partitions)
		conf->n_partitions = n;
	conf->embedded = embedded_open(conf->topic, conf->n_partitions);
	if (!conf->embedded)
		return -1;
	conf->bootstrap = embedded_address(conf->embedded);
	return 0;
}

/* Sockets will lie in it, whose paths are short. */
static int make_directory(struct run_conf *conf)
{
	enum { MAX_FOLDER = 40 };
	const char *folder = getenv("TMPDIR");

	if (!folder)
		folder = "/tmp";
	if (strlen(folder) > MAX_FOLDER) {
		fprintf(stderr, "qbus-bench: TMPDIR is too long for sockets, it may have %d bytes: %s\n", MAX_FOLDER, folder);
		return -1;
	}
	snprintf(conf->directory, sizeof(conf->directory), "%.*s/qbus-bench.XXXXXX", MAX_FOLDER, folder);
	if (mkdtemp(conf->directory))
		return 0;
	perror(conf->directory);
	*conf->directory = '\0';
	return -1;
}

int round_prepare(struct run_conf *conf)
{
	snprintf(conf->name, sizeof(conf->name), "qbus-bench-%s", conf->size);
	for (char *sign = conf->name; (sign = strpbrk(sign, ",%:"));)
		*sign = '-'; /* Kafka takes no such names */
	if (!conf->topic)
		conf->topic = conf->name;
	if (!conf->queue)
		conf->queue = conf->name;
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	conf->every = conf->n_messages < 100000 ? conf->n_messages / 100 + 1 : 1000;
	if (find_programs(conf))
		return -1;
	if (make_directory(conf))
		return -1;
	snprintf(conf->group, sizeof(conf->group), "%s", strrchr(conf->directory, '/') + 1);
	snprintf(conf->log, sizeof(conf->log), "%s/log", conf->directory);
	snprintf(conf->file, sizeof(conf->file), "%s/qbus.yaml", conf->directory);
	snprintf(conf->admin, sizeof(conf->admin), "%s/admin.sock", conf->directory);
	return is_embedded(conf) ? open_embedded(conf) : 0;
}

/* A process that ended by itself has said why at the end. */
static void tell_end_of_log(const struct run_conf *conf)
{
	enum { N_LAST = 3 };
	char lines[N_LAST][512] = {"", "", ""}; /* in a ring */
	size_t n = 0;
	FILE *file = fopen(conf->log, "re");

	while (file && fgets(lines[n % N_LAST], sizeof(lines[0]), file))
		n++;
	for (size_t i = n > N_LAST ? n - N_LAST : 0; i < n; i++)
		fprintf(stderr, "  %s", lines[i % N_LAST]);
	if (file)
		fclose(file);
}

void round_clean_up(const struct run_conf *conf, bool keep_log)
{
	struct stat log;

	embedded_close(conf->embedded);
	if (keep_log && !child_is_interrupted() && stat(conf->log, &log) == 0 && log.st_size > 0) {
		fprintf(stderr, "qbus-bench: what the processes wrote is in %s; its end:\n", conf->log);
		tell_end_of_log(conf);
		return;
	}

	if (!*conf->directory) /* the preparing did not come so far */
		return;

	DIR *directory = opendir(conf->directory);

	for (const struct dirent *entry; directory && (entry = readdir(directory));)
		unlinkat(dirfd(directory), entry->d_name, 0); /* refused for . and .. */
	if (directory)
		closedir(directory);
	rmdir(conf->directory);
}

/* What is to be read is there, or comes while it is read. */
static int prepare_load(const struct run_conf *conf, const char *group)
{
	return run_is_live(conf) ? run_live(conf, group) : run_load(conf, false);
}

/* What a proxy is asked of its times: it tells those of its whole life, so two moments make those between. */
struct asking {
	const struct run_conf *conf;
	struct times_question before, after;
};

static void ask_before(void *ctx)
{
	struct asking *asking = ctx;
	char file[TIMES_MAX_PATH];

	snprintf(file, sizeof(file), "%s/status-before", asking->conf->directory);
	times_ask(&asking->before, asking->conf->proxy, asking->conf->admin, file);
}

static int ask_after(struct asking *asking, struct measure_result *result)
{
	static struct times_told before, after;
	char file[TIMES_MAX_PATH];

	snprintf(file, sizeof(file), "%s/status", asking->conf->directory);
	if (times_ask(&asking->after, asking->conf->proxy, asking->conf->admin, file) ||
		times_answer(&asking->before, &before) || times_answer(&asking->after, &after))
		return -1;
	histogram_subtract(&after.wait, &before.wait);
	histogram_subtract(&after.handler, &before.handler);
	result->wait = times_of(&after.wait);
	result->handler = times_of(&after.handler);
	return 0;
}

/* What handlers do, for those who will be started. */
static void tell_handlers(const struct run_conf *conf)
{
	export(TALLY_WORK, conf->work_us);
	export(TALLY_SLEEP, conf->sleep_us);
	export(TALLY_BATCH, conf->batch);
	setenv(TALLY_READ, conf->read ? conf->read : "", 1);
}

/* On a terminal it takes the place of the line that told the progress. */
static void tell_round(const struct run_conf *conf, enum side_id side, size_t round, double rate)
{
	fprintf(stderr, "%sround %zu %-26s %10.0f messages/s%s%s%s\n", isatty(STDERR_FILENO) ? MEASURE_CLEAR : "",
		round + 1, side_at(side)->name, rate, conf->counts_calls ? ", system calls counted" : "",
		conf->trial ? "  " : "", conf->trial ? conf->trial : "");
}

int round_measure(const struct run_conf *conf, enum side_id side, size_t round, struct measure_result *ret_result)
{
	static struct measure measure;
	struct asking asking = {.conf = conf};
	const struct measure_plan plan = {.every = conf->every,
		.n_messages = conf->n_messages,
		.seconds = conf->seconds,
		.n_workers = side == SIDE_PROXY ? conf->n_workers : 1,
		.warms_up = conf->rate > 0,
		.is_live = run_is_live(conf),
		.counts_calls = conf->counts_calls,
		.begun = side == SIDE_PROXY ? ask_before : NULL,
		.ctx = &asking,
		.trial = conf->trial ? conf->trial : ""};
	struct child child = {0}, feeder = {0};
	char group[RUN_MAX_GROUP];

	run_group(conf, side, round, group);

	int err = prepare_load(conf, group);

	if (err)
		return err;
	tell_handlers(conf);
	err = measure_open(&measure, conf->directory, &plan);
	if (err)
		return err;
	err = run_start(conf, side, round, &child);
	if (!err)
		err = measure_wait_first(&measure, child.pid, child.started_ns);
	if (!err && run_is_live(conf))
		err = run_feed(conf, &feeder);
	if (!err)
		err = measure_wait(&measure, ret_result);
	if (!err && side == SIDE_PROXY)
		err = ask_after(&asking, ret_result);
	measure_close(&measure); /* who still has something to tell must not wait for a reader, or the stop waits for it */
	child_stop(&asking.before.child);
	child_stop(&asking.after.child);
	child_stop(&feeder);
	child_stop(&child);
	run_forget(conf, group);
	if (!err)
		tell_round(conf, side, round, column_value(COLUMN_RATE, ret_result));
	return err;
}
