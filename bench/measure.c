/* SPDX-License-Identifier: MIT */
/* Gathers tallies until all is handled; reads CPU time and memory from /proc. */
#include "measure.h"

#include "tally.h"

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

enum { PATIENCE_MS = 30000, LOOK_MS = 100 };

/* ---- /proc ---- */

/* User and system time; 0 when the process is gone. */
static double cpu_of(pid_t pid)
{
	char path[64];
	unsigned long user = 0, kernel = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);

	FILE *file = fopen(path, "re");

	if (!file)
		return 0;
	if (fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
		user = kernel = 0;
	fclose(file);
	return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static uint64_t peak_of(pid_t pid)
{
	char path[64], line[128];
	uint64_t kilobytes = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);

	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "VmHWM: %" SCNu64, &kilobytes) == 1)
			break;
	}
	if (file)
		fclose(file);
	return kilobytes * 1024;
}

/* ---- tallies ---- */

int measure_open(struct measure *measure, const char *directory, uint64_t every, uint64_t seconds)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char number[24];

	memset(measure, 0, sizeof(*measure));
	measure->limit_ns = (int64_t)seconds * 1000000000;
	snprintf(measure->path, sizeof(measure->path), "%s/tally.sock", directory);
	snprintf(number, sizeof(number), "%" PRIu64, every);
	memcpy(address.sun_path, measure->path, strlen(measure->path));
	measure->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (measure->fd < 0 || bind(measure->fd, (struct sockaddr *)&address, sizeof(address))) {
		perror("qbus-bench: cannot listen to the consumers");
		measure_close(measure);
		return -1;
	}
	setenv(TALLY_SOCKET, measure->path, 1);
	setenv(TALLY_EVERY, number, 1);
	return 0;
}

void measure_close(struct measure *measure)
{
	if (measure->fd >= 0)
		close(measure->fd);
	measure->fd = -1;
	unlink(measure->path);
}

/* NULL: there are too many. */
static struct measure_counter *counter_of(struct measure *measure, pid_t pid)
{
	for (size_t i = 0; i < measure->n_counters; i++) {
		if (measure->counters[i].pid == pid)
			return &measure->counters[i];
	}
	if (measure->n_counters == MEASURE_MAX_COUNTERS)
		return NULL;

	struct measure_counter *counter = &measure->counters[measure->n_counters++];

	*counter = (struct measure_counter){.pid = pid, .cpu_s = cpu_of(pid)};
	return counter;
}

/* Takes one datagram, waiting for it at most LOOK_MS. Returns whether one came. */
static bool take_tally(struct measure *measure)
{
	struct pollfd readable = {.fd = measure->fd, .events = POLLIN};
	char text[128];
	int pid;
	uint64_t count;
	int64_t moment_ns;

	if (poll(&readable, 1, LOOK_MS) != 1)
		return false;

	ssize_t len = recv(measure->fd, text, sizeof(text) - 1, 0);

	if (len <= 0)
		return false;
	text[len] = '\0';
	if (sscanf(text, "%d %" SCNu64 " %" SCNd64, &pid, &count, &moment_ns) != 3)
		return false;

	struct measure_counter *counter = counter_of(measure, (pid_t)pid);

	if (!counter)
		return false;
	measure->n_total += count - counter->count;
	counter->count = count;
	if (measure->first_ns == 0) {
		measure->first_ns = moment_ns;
		measure->n_first = measure->n_total;
	}
	measure->last_ns = moment_ns;
	return true;
}

static volatile sig_atomic_t is_cancelled;

void measure_cancel(void)
{
	is_cancelled = 1;
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* What makes waiting useless; NULL: nothing. */
static const char *trouble_of(pid_t main, int silent_ms)
{
	if (is_cancelled)
		return "a signal says stop";
	if (silent_ms > 0 && has_ended(main))
		return "the consumer has ended";
	return silent_ms >= PATIENCE_MS ? "nothing is handled any more" : NULL;
}

static bool is_enough(const struct measure *measure, uint64_t n_messages)
{
	return measure->n_total >= n_messages ||
	       (measure->limit_ns && measure->last_ns - measure->first_ns >= measure->limit_ns);
}

static void sum_up(const struct measure *measure, pid_t main, double cpu_s, struct measure_result *result)
{
	*result = (struct measure_result){
		.n_messages = measure->n_total - measure->n_first,
		.seconds = (double)(measure->last_ns - measure->first_ns) / 1e9,
		.start_s = (double)(measure->first_ns - measure->started_ns) / 1e9,
		.main = {cpu_of(main) - cpu_s, peak_of(main)},
	};
	for (size_t i = 0; i < measure->n_counters; i++) {
		const struct measure_counter *counter = &measure->counters[i];
		uint64_t peak_bytes = peak_of(counter->pid);

		if (counter->pid == main)
			continue;
		result->n_workers++;
		result->workers.cpu_s += cpu_of(counter->pid) - counter->cpu_s;
		if (peak_bytes > result->workers.peak_bytes)
			result->workers.peak_bytes = peak_bytes;
	}
}

int measure_wait(
	struct measure *measure, pid_t main, int64_t started_ns, uint64_t n_messages, struct measure_result *ret_result)
{
	int silent_ms = 0;
	double cpu_s = 0;
	const char *trouble = NULL;

	measure->started_ns = started_ns;
	while (!is_enough(measure, n_messages) && !trouble) {
		bool is_first = measure->first_ns == 0;
		bool is_told = take_tally(measure);

		if (is_told && is_first)
			cpu_s = cpu_of(main);
		silent_ms = is_told ? 0 : silent_ms + LOOK_MS;
		trouble = trouble_of(main, silent_ms);
	}
	if (trouble) {
		fprintf(stderr, "qbus-bench: %s after %" PRIu64 " messages\n", trouble, measure->n_total);
		return -1;
	}
	sum_up(measure, main, cpu_s, ret_result);
	return 0;
}
