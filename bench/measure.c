/* SPDX-License-Identifier: MIT */
/* Gathers tallies until all is handled, and looks at the processes meanwhile. */
#include "measure.h"

#include "child.h"
#include "proc.h"
#include "tally.h"
#include "traffic.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, LOOK_MS = 100, SEE_MS = 100, MAX_DATAGRAM = 16384 };

static const int64_t SECOND_NS = 1000000000, MILLISECOND_NS = 1000000;

/* ---- tallies ---- */

int measure_open(struct measure *measure, const char *directory, const struct measure_plan *plan)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char number[24];

	memset(measure, 0, sizeof(*measure));
	measure->plan = *plan;
	measure->fd = -1;
	if (plan->is_live && !(measure->latency = calloc(1, sizeof(*measure->latency)))) {
		perror("qbus-bench");
		return -1;
	}
	snprintf(measure->path, sizeof(measure->path), "%s/tally.sock", directory);
	snprintf(number, sizeof(number), "%" PRIu64, plan->every);
	memcpy(address.sun_path, measure->path, strlen(measure->path));
	measure->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (measure->fd < 0 || bind(measure->fd, (struct sockaddr *)&address, sizeof(address))) {
		perror("qbus-bench: cannot listen to the consumers");
		measure_close(measure);
		return -1;
	}
	setenv(TALLY_SOCKET, measure->path, 1);
	setenv(TALLY_EVERY, number, 1);
	setenv(TALLY_LIVE, plan->is_live ? "1" : "", 1);
	return 0;
}

void measure_close(struct measure *measure)
{
	if (measure->fd >= 0)
		close(measure->fd);
	measure->fd = -1;
	unlink(measure->path);
	series_done(&measure->series);
	syscalls_done(&measure->main_calls);
	syscalls_done(&measure->worker_calls);
	free(measure->latency);
	measure->latency = NULL;
}

void measure_result_done(struct measure_result *result)
{
	series_done(&result->series);
	free(result->latency);
	result->latency = NULL;
}

static void count_calls(struct measure *measure, pid_t pid)
{
	if (measure->plan.counts_calls)
		syscalls_add(pid == measure->main ? &measure->main_calls : &measure->worker_calls, pid);
}

/* What was used until now, as long as /proc knows the process. */
static void see(struct measure_counter *counter, int64_t now_ns)
{
	double cpu_s = proc_cpu_s(counter->pid);
	uint64_t peak_bytes = proc_peak_bytes(counter->pid);

	counter->seen_ns = now_ns;
	if (cpu_s > counter->cpu_s)
		counter->cpu_s = cpu_s;
	if (peak_bytes > counter->peak_bytes)
		counter->peak_bytes = peak_bytes;
}

static double measured_s(const struct measure_counter *counter)
{
	return counter->former_s + counter->cpu_s - counter->began_s;
}

/* The place of one that is gone; NULL: all are alive. */
static struct measure_counter *free_place(struct measure *measure)
{
	for (size_t i = 0; i < measure->n_counters; i++) {
		if (measure->counters[i].pid != measure->main && kill(measure->counters[i].pid, 0) && errno == ESRCH)
			return &measure->counters[i];
	}
	return NULL;
}

/* What a renewed worker uses from its start on is part of the measured time, as the end of the former one was. */
static void take_over(struct measure *measure, struct measure_counter *counter, pid_t pid, int64_t now_ns)
{
	*counter = (struct measure_counter){.pid = pid,
		.former = counter->pid,
		.former_count = counter->count,
		.former_s = measure->first_ns ? measured_s(counter) : 0,
		.peak_bytes = counter->peak_bytes};
	see(counter, now_ns);
}

/* NULL: there are too many at one time. */
static struct measure_counter *counter_add(struct measure *measure, pid_t pid, int64_t now_ns)
{
	struct measure_counter *counter = free_place(measure);

	if (!counter && measure->n_counters == MEASURE_MAX_COUNTERS)
		return NULL;
	if (counter) {
		take_over(measure, counter, pid, now_ns);
	} else {
		counter = &measure->counters[measure->n_counters++];
		*counter = (struct measure_counter){.pid = pid};
		see(counter, now_ns);
		counter->began_s = counter->cpu_s;
	}
	if (measure->first_ns && pid != measure->main)
		count_calls(measure, pid);
	return counter;
}

/* Whose count this is; also that of one whose place was taken while its last words were under way. NULL: nobody's
 * yet. */
static uint64_t *count_of(struct measure *measure, pid_t pid, int64_t now_ns)
{
	for (size_t i = 0; i < measure->n_counters; i++) {
		struct measure_counter *counter = &measure->counters[i];

		if (counter->former == pid)
			return &counter->former_count;
		if (counter->pid != pid)
			continue;
		if (now_ns - counter->seen_ns >= SEE_MS * MILLISECOND_NS)
			see(counter, now_ns);
		return &counter->count;
	}

	struct measure_counter *counter = counter_add(measure, pid, now_ns);

	return counter ? &counter->count : NULL;
}

/* A load of a rate has its warm-up, a live one's from its first message on: the one that lay there before it has no
 * time when it was due, and the producer starts after that one. What lies ready is only so much: it is counted from
 * when all workers are there, but one that comes late must not cost more than a tenth of it. */
static bool is_time_to_begin(const struct measure *measure, int64_t moment_ns)
{
	int64_t from_ns = measure->plan.is_live ? measure->loaded_ns : measure->opened_ns;
	bool is_warm = from_ns && moment_ns - from_ns >= MEASURE_WARM_UP_MS * MILLISECOND_NS;

	if (measure->plan.warms_up)
		return is_warm;
	return is_warm || measure->n_counters >= measure->plan.n_workers ||
	       measure->n_total >= measure->plan.n_messages / 10;
}

/* What was used before does not count. */
static void begin(struct measure *measure, int64_t moment_ns)
{
	measure->first_ns = moment_ns;
	measure->n_first = measure->n_total;
	measure->main_cpu_s = proc_cpu_s(measure->main);
	measure->received_before = traffic_received(measure->main);
	count_calls(measure, measure->main);
	for (size_t i = 0; i < measure->n_counters; i++) {
		see(&measure->counters[i], tally_now_ns());
		measure->counters[i].began_s = measure->counters[i].cpu_s;
		measure->counters[i].former_s = 0;
		if (measure->counters[i].pid != measure->main)
			count_calls(measure, measure->counters[i].pid);
	}
	if (measure->plan.begun)
		measure->plan.begun(measure->plan.ctx);
}

/* text: "MICROSECONDS MICROSECONDS ...", a number for each message */
static void take_latencies(struct measure *measure, char *text)
{
	char *end;

	for (int64_t us = strtoll(text, &end, 10); end != text; us = strtoll(text, &end, 10)) {
		histogram_record(measure->latency, us, 1);
		text = end;
	}
}

/* Takes one datagram, waiting for it at most LOOK_MS. Returns whether one came. */
static bool take_tally(struct measure *measure)
{
	struct pollfd readable = {.fd = measure->fd, .events = POLLIN};
	char text[MAX_DATAGRAM];
	int pid, n_read;
	uint64_t count;
	int64_t moment_ns;

	if (poll(&readable, 1, LOOK_MS) != 1)
		return false;

	ssize_t len = recv(measure->fd, text, sizeof(text) - 1, 0);

	if (len <= 0)
		return false;
	text[len] = '\0';
	if (sscanf(text, "%d %" SCNu64 " %" SCNd64 "%n", &pid, &count, &moment_ns, &n_read) != 3)
		return false;

	uint64_t *known = count_of(measure, (pid_t)pid, tally_now_ns());

	if (!known)
		return true;
	measure->n_total += count - *known;
	*known = count;
	if (moment_ns > measure->last_ns) /* several workers' datagrams come in any order */
		measure->last_ns = moment_ns;
	if (measure->opened_ns == 0)
		measure->opened_ns = moment_ns;
	if (measure->loaded_ns == 0 && strpbrk(text + n_read, "0123456789"))
		measure->loaded_ns = moment_ns;
	if (measure->first_ns && measure->latency)
		take_latencies(measure, text + n_read);
	else if (measure->first_ns == 0 && is_time_to_begin(measure, moment_ns))
		begin(measure, moment_ns);
	return true;
}

/* ---- while it runs ---- */

/* What the workers have used; of those that are alive the largest one's memory in bytes. */
static uint64_t look_at_workers(struct measure *measure, int64_t now_ns)
{
	uint64_t largest = 0;
	size_t n_alive = 0;

	for (size_t i = 0; i < measure->n_counters; i++) {
		struct measure_counter *counter = &measure->counters[i];
		uint64_t bytes = counter->pid == measure->main ? 0 : proc_rss_bytes(counter->pid);

		see(counter, now_ns);
		n_alive += bytes > 0;
		if (bytes > largest)
			largest = bytes;
	}
	if (n_alive > measure->n_alive)
		measure->n_alive = n_alive;
	return largest;
}

/* A point of the series, if it is time for one; on a terminal a line that is written over. */
static void look(struct measure *measure)
{
	int64_t now_ns = tally_now_ns();
	struct series_point point = {.at_s = (double)(now_ns - measure->started_ns) / 1e9};

	if (now_ns - measure->looked_ns < SERIES_STEP_MS * MILLISECOND_NS)
		return;
	if (measure->looked_ns)
		point.messages_per_second =
			(double)(measure->n_total - measure->n_looked) * 1e9 / (double)(now_ns - measure->looked_ns);
	measure->looked_ns = now_ns;
	measure->n_looked = measure->n_total;
	point.rss_bytes = proc_rss_bytes(measure->main);
	point.worker_rss_bytes = look_at_workers(measure, now_ns);
	series_add(&measure->series, point);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, MEASURE_CLEAR "%6.1f s %10" PRIu64 " messages %10.0f messages/s %6.0f MiB  %s", point.at_s,
			measure->n_total, point.messages_per_second, (double)point.rss_bytes / 1048576, measure->plan.trial);
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* What makes waiting useless; NULL: nothing. */
static const char *trouble_of(pid_t main, bool is_told, int64_t silent_ns)
{
	if (child_is_interrupted())
		return "a signal says stop";
	if (!is_told && has_ended(main))
		return "the consumer has ended";
	return silent_ns >= PATIENCE_MS * MILLISECOND_NS ? "nothing is handled any more" : NULL;
}

static bool has_begun(const struct measure *measure)
{
	return measure->opened_ns != 0;
}

/* Of what was there before, no more than n_messages are, so the first ones count. */
static bool is_enough(const struct measure *measure)
{
	const struct measure_plan *plan = &measure->plan;
	uint64_t n_before = plan->warms_up ? measure->n_first : 0;
	bool is_late = plan->seconds && measure->last_ns - measure->first_ns >= (int64_t)plan->seconds * SECOND_NS;

	return measure->first_ns && (measure->n_total - n_before >= plan->n_messages || is_late);
}

static int gather(struct measure *measure, bool (*is_over)(const struct measure *measure))
{
	int64_t heard_ns = tally_now_ns();
	const char *trouble = NULL;

	while (!is_over(measure) && !trouble) {
		bool is_told = take_tally(measure);
		int64_t now_ns = tally_now_ns();

		look(measure);
		if (is_told)
			heard_ns = now_ns;
		trouble = trouble_of(measure->main, is_told, now_ns - heard_ns);
	}
	if (trouble)
		fprintf(stderr, "qbus-bench: %s after %" PRIu64 " messages\n", trouble, measure->n_total);
	return trouble ? -1 : 0;
}

/* Bytes that came since the measuring began; a connection that was closed meanwhile takes its bytes along. */
static int64_t received(const struct measure *measure)
{
	int64_t now = measure->received_before < 0 ? -1 : traffic_received(measure->main);

	return now >= measure->received_before ? now - measure->received_before : -1;
}

static void sum_up_worker(const struct measure_counter *counter, struct measure_result *result)
{
	struct measure_cost *cost = &result->each[result->n_each++];

	*cost = (struct measure_cost){measured_s(counter), counter->peak_bytes};
	result->workers.cpu_s += cost->cpu_s;
	if (cost->peak_bytes > result->workers.peak_bytes)
		result->workers.peak_bytes = cost->peak_bytes;
}

static void sum_up(struct measure *measure, struct measure_result *result)
{
	*result = (struct measure_result){
		.n_messages = measure->n_total - measure->n_first,
		.seconds = (double)(measure->last_ns - measure->first_ns) / 1e9,
		.start_s = (double)(measure->opened_ns - measure->started_ns) / 1e9,
		.main = {proc_cpu_s(measure->main) - measure->main_cpu_s, proc_peak_bytes(measure->main)},
		.received = received(measure),
		.received_ever = traffic_received(measure->main),
		.n_ever = measure->n_total,
		.main_calls = syscalls_read(&measure->main_calls),
		.worker_calls = syscalls_read(&measure->worker_calls),
		.series = measure->series,
		.latency = measure->latency,
	};
	if (result->latency)
		result->end_to_end = times_of(result->latency);
	measure->series = (struct series){0};
	measure->latency = NULL;
	look_at_workers(measure, tally_now_ns());
	for (size_t i = 0; i < measure->n_counters; i++) {
		if (measure->counters[i].pid != measure->main)
			sum_up_worker(&measure->counters[i], result);
	}
	result->n_workers = measure->n_alive && measure->n_alive < result->n_each ? measure->n_alive : result->n_each;
}

int measure_wait_first(struct measure *measure, pid_t main, int64_t started_ns)
{
	measure->main = main;
	measure->started_ns = started_ns;
	return gather(measure, has_begun);
}

int measure_wait(struct measure *measure, struct measure_result *ret_result)
{
	int err = gather(measure, is_enough);

	if (!err)
		sum_up(measure, ret_result);
	return err;
}
