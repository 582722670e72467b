/* SPDX-License-Identifier: MIT */
/* What the kernel knows of this process and of workers. */
#include "host/glance_take.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

struct pages {
	uint64_t size, resident;
};

static bool pages_read(const char *path, struct pages *ret_pages)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	bool is_read = fscanf(file, "%" SCNu64 " %" SCNu64, &ret_pages->size, &ret_pages->resident) == 2;
	fclose(file);
	return is_read;
}

static uint64_t count_descriptors(void)
{
	uint64_t n = 0;
	DIR *folder = opendir("/proc/self/fd");
	if (!folder)
		return 0;
	for (const struct dirent *item; (item = readdir(folder));)
		n += item->d_name[0] != '.';
	closedir(folder);
	return n - 1; /* the folder's own */
}

static double seconds(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

void glance_process(struct snapshot_process *ret_process)
{
	struct pages pages = {0};
	struct rusage usage = {0};
	struct rlimit limit = {0};
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	pages_read("/proc/self/statm", &pages);
	getrusage(RUSAGE_SELF, &usage);
	getrlimit(RLIMIT_NOFILE, &limit);
	*ret_process = (struct snapshot_process){
		.pid = getpid(),
		.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime),
		.resident_bytes = pages.resident * page,
		.virtual_bytes = pages.size * page,
		.n_descriptors = count_descriptors(),
		.max_descriptors = limit.rlim_cur,
	};
}
