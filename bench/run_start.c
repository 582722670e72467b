/* SPDX-License-Identifier: MIT */
/* Starts the two sides of a run: the proxy with a configuration made for it, and the plain consumer. */
#include "run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_SETTINGS = 64 };

/* In the order of the file. */
static const struct {
	const char *name, *parent, *heading, *indent;
} sections[] = {
	{"socket", "", "socket:\n", "  "},
	{"admin", "", "admin:\n", "  "},
	{"log", "", "log:\n", "  "},
	{"memory", "", "memory:\n", "  "},
	{"broker", "brokers:\n  bench:\n", "", "    "},
	{"pipeline", "pipelines:\n  bench:\n", "", "    "},
	{"source", "pipelines:\n  bench:\n", "    source:\n", "      "},
	{"fetch", "pipelines:\n  bench:\n", "    fetch:\n", "      "},
	{"pool", "pools:\n  bench:\n", "", "    "},
};

enum { N_SECTIONS = sizeof(sections) / sizeof(sections[0]) };

struct setting {
	const char *section;
	char key[64];
	char value[RUN_MAX_PATH]; /* YAML */
};

struct settings {
	struct setting list[MAX_SETTINGS];
	size_t n;
};

/* Adds, or replaces. section must be one of the table's. */
static void __attribute__((format(printf, 4, 5)))
set(struct settings *settings, const char *section, const char *key, const char *format, ...)
{
	size_t i = 0;
	va_list list;

	while (i < settings->n && (strcmp(settings->list[i].section, section) || strcmp(settings->list[i].key, key)))
		i++;
	if (i == MAX_SETTINGS)
		return;
	if (i == settings->n)
		settings->n++;
	settings->list[i].section = section;
	snprintf(settings->list[i].key, sizeof(settings->list[i].key), "%s", key);
	va_start(list, format);
	vsnprintf(settings->list[i].value, sizeof(settings->list[i].value), format, list);
	va_end(list);
}

/* option: SECTION.KEY=VALUE */
static int set_option(struct settings *settings, const char *option)
{
	char key[64];
	const char *dot = strchr(option, '.'), *equals = strchr(option, '=');

	for (size_t i = 0; dot && equals && dot < equals && i < N_SECTIONS; i++) {
		if (strncmp(option, sections[i].name, (size_t)(dot - option)) || sections[i].name[dot - option])
			continue;
		snprintf(key, sizeof(key), "%.*s", (int)(equals - dot - 1), dot + 1);
		set(settings, sections[i].name, key, "%s", equals + 1);
		return 0;
	}
	fprintf(stderr, "qbus-bench: '%s' is not SECTION.KEY=VALUE; the sections are", option);
	for (size_t i = 0; i < N_SECTIONS; i++)
		fprintf(stderr, " %s", sections[i].name);
	fputc('\n', stderr);
	return -1;
}

static void set_source(struct settings *settings, const struct run_conf *conf, const char *group)
{
	set(settings, "source", "broker", "bench");
	if (conf->bootstrap) {
		set(settings, "broker", "type", "kafka");
		set(settings, "broker", "bootstrap_servers", "\"%s\"", conf->bootstrap);
		set(settings, "source", "topics", "[\"%s\"]", conf->topic);
		set(settings, "source", "group_id", "\"%s\"", group);
		set(settings, "source", "start", "earliest");
	} else if (conf->is_generated) {
		set(settings, "broker", "type", "memory");
		set(settings, "source", "lanes", "%" PRIu64, conf->n_partitions);
		set(settings, "source", "body_bytes", "%s", conf->size);
		set(settings, "source", "rate", "%" PRIu64, conf->rate);
		set(settings, "pipeline", "max_message_bytes", "64MiB"); /* the most that --size takes */
	} else {
		set(settings, "broker", "type", "amqp");
		set(settings, "broker", "url", "\"%s\"", conf->url);
		set(settings, "source", "queue", "\"%s\"", conf->queue);
		set(settings, "source", "prefetch", "1000"); /* as the plain consumer */
	}
}

/* [php, -d, "NAME=VALUE", "FILE"] */
static int set_worker(struct settings *settings, const struct run_conf *conf)
{
	char words[RUN_MAX_PATH] = "";
	size_t len = 0;

	for (size_t i = 0; i < conf->n_php_options && len < sizeof(words); i++)
		len += (size_t)snprintf(words + len, sizeof(words) - len, " -d, \"%s\",", conf->php_options[i]);
	if (len + strlen(conf->worker) >= sizeof(words) - sizeof("[php, \"\"]")) {
		fputs("qbus-bench: so many --php-option do not fit into a command\n", stderr);
		return -1;
	}
	set(settings, "pool", "command", "[php,%s \"%s\"]", words, conf->worker);
	return 0;
}

static int set_all(struct settings *settings, const struct run_conf *conf, const char *group)
{
	int err = 0;

	settings->n = 0;
	set(settings, "socket", "path", "\"%s/qbus.sock\"", conf->directory);
	set(settings, "admin", "socket", "\"%s\"", conf->admin);
	set_source(settings, conf, group);
	set(settings, "pipeline", "ordering", "%s", conf->ordering);
	set(settings, "pipeline", "credit", "%s", conf->credit);
	set(settings, "pipeline", "pool", "bench");
	err = set_worker(settings, conf);
	set(settings, "pool", "num_workers", "%" PRIu64, conf->n_workers);
	for (size_t i = 0; i < conf->n_proxy_options && !err; i++)
		err = set_option(settings, conf->proxy_options[i]);
	return err;
}

static bool has_section(const struct settings *settings, size_t section)
{
	for (size_t i = 0; i < settings->n; i++) {
		if (strcmp(settings->list[i].section, sections[section].name) == 0)
			return true;
	}
	return false;
}

static void write_settings(FILE *file, const struct settings *settings)
{
	const char *parent = "";

	for (size_t section = 0; section < N_SECTIONS; section++) {
		if (!has_section(settings, section))
			continue;
		if (strcmp(parent, sections[section].parent) != 0)
			fputs(sections[section].parent, file);
		parent = sections[section].parent;
		fputs(sections[section].heading, file);
		for (size_t i = 0; i < settings->n; i++) {
			const struct setting *setting = &settings->list[i];

			if (strcmp(setting->section, sections[section].name) == 0)
				fprintf(file, "%s%s: %s\n", sections[section].indent, setting->key, setting->value);
		}
	}
}

static int write_conf(const struct run_conf *conf, const char *group)
{
	struct settings settings;

	if (set_all(&settings, conf, group))
		return -1;

	FILE *file = fopen(conf->file, "we");

	if (!file) {
		perror(conf->file);
		return -1;
	}
	write_settings(file, &settings);
	return fclose(file) ? -1 : 0;
}

int run_write_options(FILE *file, const char *const *options, size_t n)
{
	struct settings settings = {.n = 0};

	for (size_t i = 0; i < n; i++) {
		if (set_option(&settings, options[i]))
			return -1;
	}
	write_settings(file, &settings);
	return 0;
}

static int start_plain(const struct run_conf *conf, const char *group, struct child *child)
{
	const char *argv[10 + 2 * RUN_MAX_OPTIONS] = {conf->bench, "plain"};
	const char *const kafka[] = {"--kafka", conf->bootstrap, "--topic", conf->topic, "--group", group};
	const char *const amqp[] = {"--amqp", conf->url, "--queue", conf->queue};
	size_t n = 2;

	if (conf->bootstrap) {
		memcpy(argv + n, kafka, sizeof(kafka));
		n += sizeof(kafka) / sizeof(kafka[0]);
	} else {
		memcpy(argv + n, amqp, sizeof(amqp));
		n += sizeof(amqp) / sizeof(amqp[0]);
	}
	for (size_t i = 0; i < conf->n_plain_options; i++) {
		argv[n++] = "-X";
		argv[n++] = conf->plain_options[i];
	}
	return child_start(child, argv, conf->log);
}

static int start_echo(const struct run_conf *conf, const char *file, struct child *child)
{
	char socket[sizeof(conf->directory) + 16];
	const char *argv[6 + RUN_MAX_OPTIONS] = {conf->bench, "echo", socket, file, conf->size};

	memcpy(argv + 5, conf->php_options, sizeof(conf->php_options)); /* ends with NULL, as argv does */
	snprintf(socket, sizeof(socket), "%s/echo.sock", conf->directory);
	return child_start(child, argv, conf->log);
}

/* php [-d NAME=VALUE]... FILE BROKER QUEUE|TOPIC [GROUP] ARGUMENT... */
static int start_peer(const struct run_conf *conf, const struct side *side, const char *group, struct child *child)
{
	char file[RUN_MAX_PATH + 64];
	const char *argv[8 + SIDE_MAX_ARGUMENTS + 2 * RUN_MAX_OPTIONS] = {"php"};
	size_t n = 1;

	for (size_t i = 0; i < conf->n_php_options; i++) {
		argv[n++] = "-d";
		argv[n++] = conf->php_options[i];
	}
	argv[n++] = file;
	snprintf(file, sizeof(file), "%.*s/peers/%s", (int)(strrchr(conf->worker, '/') - conf->worker), conf->worker,
		side->script);
	if (conf->is_generated)
		return start_echo(conf, file, child);
	argv[n++] = conf->bootstrap ? conf->bootstrap : conf->url;
	argv[n++] = conf->bootstrap ? conf->topic : conf->queue;
	if (conf->bootstrap)
		argv[n++] = group;
	for (size_t i = 0; side->arguments[i]; i++)
		argv[n++] = side->arguments[i];
	return child_start(child, argv, conf->log);
}

bool run_is_there(const struct run_conf *conf, enum side_id id)
{
	const struct side *side = side_at(id);
	const char *const probe[] = {"php", "-r", side->probe, NULL};
	struct child child;

	if (!(conf->is_generated ? side->reads_generated : conf->bootstrap ? side->reads_kafka : side->reads_amqp))
		return false;
	if (!side->probe || (child_start(&child, probe, conf->log) == 0 && child_wait(&child) == 0))
		return true;
	fprintf(stderr, "qbus-bench: %s is not installed here and is left out\n", side->name);
	return false;
}

void run_group(const struct run_conf *conf, enum side_id side, size_t round, char ret_group[RUN_MAX_GROUP])
{
	snprintf(ret_group, RUN_MAX_GROUP, "%s-%zu-%d", conf->group, round, (int)side);
}

int run_start(const struct run_conf *conf, enum side_id side, size_t round, struct child *child)
{
	const char *const proxy[] = {conf->proxy, "serve", "-c", conf->file, NULL};
	char group[RUN_MAX_GROUP];

	run_group(conf, side, round, group);
	if (side == SIDE_PLAIN)
		return start_plain(conf, group, child);
	if (side != SIDE_PROXY)
		return start_peer(conf, side_at(side), group, child);
	return write_conf(conf, group) ? -1 : child_start(child, proxy, conf->log);
}

bool run_is_taken(const struct run_conf *conf)
{
	const char *const check[] = {conf->proxy, "check-config", "-c", conf->file, NULL};
	struct child child;

	return write_conf(conf, conf->group) == 0 && child_start(&child, check, conf->log) == 0 && child_wait(&child) == 0;
}
