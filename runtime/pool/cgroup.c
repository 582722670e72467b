/* SPDX-License-Identifier: MIT */
/* One worker's cgroup: made, limited, killed, removed; and the list of those that are not empty yet. */
#include "pool/cgroup_inside.h"

#include "base/alloc.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A worker's that has ended, while processes in it are still dying. */
struct cgroup_dying {
	struct list link;
	char name[sizeof(((struct cgroup *)NULL)->name)];
};

int cgroup_write(const char *folder, const char *file, const char *text)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path))
		return -ENAMETOOLONG;

	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written = fd < 0 ? -1 : write(fd, text, strlen(text));
	int err = written < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

bool cgroup_read(const char *folder, const char *file, char *text, size_t size)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path))
		return false;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[len > 0 ? len : 0] = '\0';
	return len >= 0;
}

/* ---- one ---- */

static bool path_of(const struct cgroups *all, const char *name, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/%s", all->workers, name) < PATH_MAX;
}

/* A name that no file of the kernel's can have: those have a dot after their first word. */
static void name_it(struct cgroup *cgroup, const char *name)
{
	int len = snprintf(cgroup->name, sizeof(cgroup->name) - 24, "%s", name);

	if (len >= (int)sizeof(cgroup->name) - 24)
		len = (int)sizeof(cgroup->name) - 25;
	for (int i = 0; i < len; i++) {
		if (!isalnum((unsigned char)cgroup->name[i]) && cgroup->name[i] != '_')
			cgroup->name[i] = '-';
	}
	snprintf(cgroup->name + len, 24, "-%" PRIu64, ++cgroup->all->n_made);
}

static int set_limit(const char *path, const char *file, uint64_t limit)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, limit);
	return limit ? cgroup_write(path, file, text) : 0;
}

static int set_limits(const struct cgroups *all, const char *path, const struct cgroup_limits *limits)
{
	int err = all->has[CGROUP_MEMORY] ? set_limit(path, "memory.max", limits->memory_bytes) : 0;

	if (all->has[CGROUP_MEMORY] && limits->memory_bytes)
		cgroup_write(path, "memory.swap.max", "0"); /* not there without swap, or where the kernel does not count it */
	if (!err && all->has[CGROUP_PIDS])
		err = set_limit(path, "pids.max", limits->n_processes);
	return err;
}

int cgroup_open(struct cgroup *cgroup, struct cgroups *all, const char *name, const struct cgroup_limits *limits)
{
	char path[PATH_MAX], entry[PATH_MAX];

	*cgroup = (struct cgroup){.all = all};
	name_it(cgroup, name);
	if (!path_of(all, cgroup->name, path) || snprintf(entry, PATH_MAX, "%s/cgroup.procs", path) >= PATH_MAX)
		return -ENAMETOOLONG;

	int err = mkdir(path, 0755) && errno != EEXIST ? -errno : set_limits(all, path, limits);

	if (!err && (cgroup->entry = open(entry, O_WRONLY | O_CLOEXEC)) < 0)
		err = -errno;
	if (err) {
		rmdir(path);
		*cgroup = (struct cgroup){0};
	}
	return err;
}

int cgroup_enter(const struct cgroup *cgroup)
{
	return write(cgroup->entry, "0", 1) == 1 ? 0 : -1;
}

void cgroup_kill(const struct cgroup *cgroup)
{
	char path[PATH_MAX];

	if (cgroup->all && path_of(cgroup->all, cgroup->name, path))
		cgroup_write(path, "cgroup.kill", "1");
}

bool cgroup_is_out_of_memory(const struct cgroup *cgroup)
{
	char path[PATH_MAX], text[512];

	if (!cgroup->all || !path_of(cgroup->all, cgroup->name, path) ||
		!cgroup_read(path, "memory.events", text, sizeof(text)))
		return false;

	const char *kills = strstr(text, "oom_kill ");

	return kills && strtoull(kills + strlen("oom_kill "), NULL, 10) > 0;
}

static bool remove_it(const struct cgroups *all, const char *name)
{
	char path[PATH_MAX];

	return !path_of(all, name, path) || rmdir(path) == 0 || errno != EBUSY;
}

void cgroup_close(struct cgroup *cgroup)
{
	struct cgroups *all = cgroup->all;

	if (!all)
		return;
	cgroup_kill(cgroup);
	close(cgroup->entry);
	if (!remove_it(all, cgroup->name)) {
		struct cgroup_dying *dying = alloc_zero(sizeof(*dying));

		memcpy(dying->name, cgroup->name, sizeof(dying->name));
		list_add_tail(&all->dying, &dying->link);
	}
	*cgroup = (struct cgroup){0};
}

/* ---- all ---- */

size_t cgroups_tidy(struct cgroups *all)
{
	size_t n = 0;

	if (!all)
		return 0;
	list_each_safe(link, after, &all->dying)
	{
		struct cgroup_dying *dying = list_item(link, struct cgroup_dying, link);

		if (!remove_it(all, dying->name)) {
			n++;
			continue;
		}
		list_remove(&dying->link);
		free(dying);
	}
	return n;
}

void cgroup_forget_dying(struct cgroups *all)
{
	list_each_safe(link, after, &all->dying)
	{
		list_remove(link);
		free(list_item(link, struct cgroup_dying, link));
	}
}
