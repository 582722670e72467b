/* SPDX-License-Identifier: MIT */
/* Our own cgroup: found, divided among the workers, given back. */
#include "pool/cgroup_inside.h"

#include "base/alloc.h"
#include "pool/strays.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define WORKERS "qbus-workers."
#define PROXY "qbus-proxy."

enum { N_TRIES = 100, PAUSE_NS = 5000000 /* what is killed takes a moment to go */, TRY_MS = 500 };

static const char *const controllers[CGROUP_N_CONTROLLERS] = {[CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids"};

/* ---- where we are ---- */

/* Copies the nth word of a line, from 0. False: there is none, or it is too long. */
static bool word_of(const char *line, int nth, char *word, size_t size)
{
	for (int i = 0; i < nth; i++) {
		line += strcspn(line, " \n");
		if (*line != ' ')
			return false;
		line++;
	}

	size_t len = strcspn(line, " \n");

	if (len == 0 || len >= size)
		return false;
	memcpy(word, line, len);
	word[len] = '\0';
	return true;
}

static const char *line_after(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : line + strlen(line);
}

/* A line of mountinfo: its fourth and fifth words are what of the hierarchy is mounted, and where. */
static bool find_below(const char *mount, const char *inside, char *path, size_t size)
{
	char root[PATH_MAX], point[PATH_MAX];

	if (!word_of(mount, 3, root, sizeof(root)) || !word_of(mount, 4, point, sizeof(point)))
		return false;

	size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strncmp(root, inside, len) != 0 || (inside[len] != '/' && inside[len] != '\0'))
		return false;
	inside += len;
	if (strcmp(inside, "/") == 0)
		inside++;
	return (size_t)snprintf(path, size, "%s%s", point, inside) < size;
}

bool cgroups_find(const char *self, const char *mounts, char *path, size_t size)
{
	char inside[PATH_MAX];

	while (*self && strncmp(self, "0::/", 4) != 0)
		self = line_after(self);
	if (!*self || !word_of(self + 3, 0, inside, sizeof(inside)) || strncmp(inside, "/..", 3) == 0)
		return false;
	for (const char *line = mounts; *line; line = line_after(line)) {
		const char *kind = strstr(line, " - ");

		if (kind && kind < line_after(line) && strncmp(kind, " - cgroup2 ", 11) == 0 &&
			find_below(line, inside, path, size))
			return true;
	}
	return false;
}

static bool has_file(const char *folder, const char *file, int mode)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", folder, file) < (int)sizeof(path) && access(path, mode) == 0;
}

/* Where systemd rules, root could write everywhere, also to what systemd means to keep. */
static bool is_kept_by_systemd(const char *own)
{
	char value[4];

	return geteuid() == 0 && access("/run/systemd/system", F_OK) == 0 &&
	       getxattr(own, "trusted.delegate", value, sizeof(value)) < 0 &&
	       getxattr(own, "user.delegate", value, sizeof(value)) < 0;
}

const char *cgroups_obstacle(const char *own)
{
	if (!has_file(own, "cgroup.type", R_OK))
		return "the proxy is in the root cgroup";
	if (!has_file(own, "cgroup.kill", F_OK))
		return "this kernel has no cgroup.kill (Linux 5.14 has)";
	if (access(own, W_OK) || !has_file(own, "cgroup.procs", W_OK) || is_kept_by_systemd(own))
		return "the proxy's cgroup is not delegated to it";
	return NULL;
}

/* ---- removing ---- */

static void pause_a_moment(void)
{
	nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}

static void remove_workers(const char *workers)
{
	DIR *folder = opendir(workers);
	char path[PATH_MAX];

	for (const struct dirent *entry; folder && (entry = readdir(folder));) {
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
			snprintf(path, sizeof(path), "%s/%s", workers, entry->d_name) < (int)sizeof(path))
			rmdir(path);
	}
	if (folder)
		closedir(folder);
}

/* False: some of what was killed is still dying. */
static bool try_end_workers(const char *workers)
{
	cgroup_write(workers, "cgroup.kill", "1");
	remove_workers(workers);
	return rmdir(workers) == 0 || errno != EBUSY;
}

static void end_workers(const char *workers)
{
	for (int i = 0; i < N_TRIES && !try_end_workers(workers); i++)
		pause_a_moment();
}

static bool try_remove_left(const char *own)
{
	DIR *folder = opendir(own);
	char path[PATH_MAX];
	bool is_done = true;

	for (const struct dirent *entry; folder && (entry = readdir(folder));) {
		bool is_workers = strncmp(entry->d_name, WORKERS, strlen(WORKERS)) == 0;
		bool is_proxy = strncmp(entry->d_name, PROXY, strlen(PROXY)) == 0;

		if ((!is_workers && !is_proxy) || !strays_is_dead(strchr(entry->d_name, '.') + 1) ||
			snprintf(path, sizeof(path), "%s/%s", own, entry->d_name) >= (int)sizeof(path))
			continue;
		if (is_workers)
			is_done &= try_end_workers(path);
		else
			rmdir(path);
	}
	if (folder)
		closedir(folder);
	return is_done;
}

/* They die together, however many they are. */
void cgroups_remove_left(const char *own)
{
	for (int i = 0; i < N_TRIES && !try_remove_left(own); i++)
		pause_a_moment();
}

/* ---- dividing ---- */

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += len) {
		if ((at == text || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\n' || at[len] == '\0'))
			return true;
	}
	return false;
}

static bool is_alone(const struct cgroups *all)
{
	char text[64];
	char *end;

	return cgroup_read(all->own, "cgroup.procs", text, sizeof(text)) && strtol(text, &end, 10) == (long)getpid() &&
	       strtol(end, NULL, 10) == 0;
}

static bool move_to(const char *folder)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)getpid());
	return cgroup_write(folder, "cgroup.procs", text) == 0;
}

/* Out of the way of the controllers, when that helps: others are not ours to move. */
static void step_aside(struct cgroups *all, const char *marker)
{
	char path[PATH_MAX];

	if (!is_alone(all) || snprintf(path, sizeof(path), "%s/" PROXY "%s", all->own, marker) >= (int)sizeof(path))
		return;
	if ((mkdir(path, 0755) && errno != EEXIST) || !move_to(path))
		rmdir(path);
	else
		memcpy(all->proxy, path, sizeof(path));
}

static int hand_down(const char *folder, enum cgroup_controller controller, char sign)
{
	char text[16];

	snprintf(text, sizeof(text), "%c%s", sign, controllers[controller]);
	return cgroup_write(folder, "cgroup.subtree_control", text);
}

static void hand_all_down(struct cgroups *all, const char *marker)
{
	char there[512];

	if (!cgroup_read(all->own, "cgroup.controllers", there, sizeof(there)))
		return;
	for (int i = 0; i < CGROUP_N_CONTROLLERS; i++) {
		if (!has_word(there, controllers[i]))
			continue;
		if (!*all->proxy)
			step_aside(all, marker);
		all->has[i] = hand_down(all->own, i, '+') == 0 && hand_down(all->workers, i, '+') == 0;
	}
}

struct cgroups *cgroups_new(const char *own, const char *marker)
{
	struct cgroups *all = alloc_zero(sizeof(*all));
	int len = snprintf(all->own, sizeof(all->own), "%s", own);

	list_init(&all->dying);
	if (len >= PATH_MAX ||
		snprintf(all->workers, sizeof(all->workers), "%s/" WORKERS "%s", own, marker) >= (int)sizeof(all->workers))
		errno = ENAMETOOLONG;
	else if (mkdir(all->workers, 0755) == 0 || errno == EEXIST) {
		hand_all_down(all, marker);
		return all;
	}
	free(all);
	return NULL;
}

/* ---- trying ---- */

static _Noreturn void child_run(const struct cgroup *cgroup, int report)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (cgroup_enter(cgroup) == 0 && write(report, "", 1) == 1)
		pause();
	_exit(0);
}

/* Whether the child says so many bytes in time; 0: it has died, for it holds the other end of the pipe until then. */
static bool child_says(int report, ssize_t n_bytes)
{
	struct pollfd child = {.fd = report, .events = POLLIN};
	char byte;

	return poll(&child, 1, TRY_MS) == 1 && read(report, &byte, 1) == n_bytes;
}

static bool is_ended_by_kill(const struct cgroup *cgroup, int report)
{
	if (!child_says(report, 1))
		return false;
	cgroup_kill(cgroup);
	return child_says(report, 0);
}

bool cgroups_try(struct cgroups *all)
{
	struct cgroup cgroup = {0};
	int pipes[2] = {-1, -1};
	bool is_opened =
		cgroup_open(&cgroup, all, "probe", &(struct cgroup_limits){0}) == 0 && pipe2(pipes, O_CLOEXEC) == 0;
	pid_t pid = is_opened ? fork() : -1;

	if (pid == 0)
		child_run(&cgroup, pipes[1]);
	if (pipes[1] >= 0)
		close(pipes[1]);

	bool is_killed = pid > 0 && is_ended_by_kill(&cgroup, pipes[0]);

	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	if (pipes[0] >= 0)
		close(pipes[0]);
	cgroup_close(&cgroup);
	return is_killed;
}

/* ---- all of it ---- */

/* An empty text where the file cannot be read. Free it. */
static char *text_of(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (!file || getdelim(&text, &size, '\0', file) < 0) {
		free(text);
		text = alloc_string("", 0);
	}
	if (file)
		fclose(file);
	return text;
}

static bool find_own(char *path, size_t size)
{
	char *self = text_of("/proc/self/cgroup"), *mounts = text_of("/proc/self/mountinfo");
	bool is_found = cgroups_find(self, mounts, path, size);

	free(self);
	free(mounts);
	return is_found;
}

struct cgroups *cgroups_open(const char **ret_why)
{
	char own[PATH_MAX];
	struct cgroups *all = NULL;

	*ret_why = find_own(own, sizeof(own)) ? cgroups_obstacle(own) : "there is no cgroup v2 here";
	if (*ret_why)
		return NULL;
	cgroups_remove_left(own);
	all = cgroups_new(own, strays_marker());
	if (!all)
		*ret_why = "the proxy's cgroup cannot be divided";
	else if (!cgroups_try(all))
		*ret_why = "a process in a cgroup of its own was not ended with it";
	if (*ret_why) {
		cgroups_close(all);
		return NULL;
	}
	return all;
}

void cgroups_end(const struct cgroups *all)
{
	end_workers(all->workers);
}

void cgroups_close(struct cgroups *all)
{
	if (!all)
		return;
	cgroups_end(all);
	if (*all->proxy) {
		for (int i = 0; i < CGROUP_N_CONTROLLERS; i++) {
			if (all->has[i])
				hand_down(all->own, i, '-');
		}
		move_to(all->own);
		rmdir(all->proxy);
	}
	cgroup_forget_dying(all);
	free(all);
}

const char *cgroups_describe(const struct cgroups *all, char *text, size_t size)
{
	snprintf(text, size, "kill%s%s", all->has[CGROUP_MEMORY] ? " memory" : "", all->has[CGROUP_PIDS] ? " pids" : "");
	return text;
}
