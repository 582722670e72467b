/* SPDX-License-Identifier: MIT */
/* Reads CPU time and memory from /proc. */
#include "proc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

double proc_cpu_s(pid_t pid)
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

/* A line of status that is a name and kibibytes. */
static uint64_t bytes_of(pid_t pid, const char *name)
{
	char path[64], line[128];
	size_t len = strlen(name);
	uint64_t kibibytes = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);

	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, len) == 0 && sscanf(line + len, ": %" SCNu64, &kibibytes) == 1)
			break;
	}
	if (file)
		fclose(file);
	return kibibytes * 1024;
}

uint64_t proc_rss_bytes(pid_t pid)
{
	return bytes_of(pid, "VmRSS");
}

uint64_t proc_peak_bytes(pid_t pid)
{
	return bytes_of(pid, "VmHWM");
}
