/* SPDX-License-Identifier: MIT */
/* Prints a configuration as YAML, and the reference of all keys; both by the tables that reading goes by. */
#include <string.h>

#include "host/conf.h"
#include "host/conf_plugin.h"
#include "host/conf_write.h"
#include "host/units.h"

/* What is printed of one table: the keys that have a value. */
struct printing {
	FILE *out;
	struct conf_table table;
	const void *target;
	const struct qb_value *options;
};

static bool printing_fetch(const struct printing *printing, const struct conf_key *key, struct conf_value *ret_value)
{
	if (key->kind == CONF_PART)
		return false;
	if (key->is_option)
		*ret_value = (struct conf_value){.plain = printing->options[key->offset]};
	else
		conf_value_fetch(key, printing->target, ret_value);
	return conf_write_is_needed(key, ret_value);
}

/* Whether an earlier key that is printed lies in the same mapping, so that its head stands already. */
static bool head_is_printed(const struct printing *printing, size_t index, size_t len)
{
	struct conf_value value;
	for (size_t i = 0; i < index; i++)
		if (strncmp(printing->table.keys[i].path, printing->table.keys[index].path, len) == 0 &&
			printing_fetch(printing, &printing->table.keys[i], &value))
			return true;
	return false;
}

/* Whether all that is printed below this prefix is what a plugin does by default. Such lines are comments: to a plugin
 * it can make a difference whether a value is given. */
static bool level_is_default(const struct printing *printing, const char *prefix, size_t len)
{
	for (size_t i = 0; i < printing->table.n_keys; i++) {
		const struct conf_key *key = &printing->table.keys[i];
		struct conf_value value;
		if (strncmp(key->path, prefix, len) == 0 && printing_fetch(printing, key, &value) && value.plain.is_set)
			return false;
	}
	return true;
}

static void print_start(const struct printing *printing, const char *prefix, size_t len, int depth)
{
	fprintf(printing->out, "%*s%s", depth * 2, "", level_is_default(printing, prefix, len) ? "# " : "");
}

/* Prints the keys whose path begins with the first len bytes of prefix; those of one mapping together. */
static void print_level(const struct printing *printing, const char *prefix, size_t len, int depth)
{
	for (size_t i = 0; i < printing->table.n_keys; i++) {
		const struct conf_key *key = &printing->table.keys[i];
		struct conf_value value;
		if (strncmp(key->path, prefix, len) != 0 || !printing_fetch(printing, key, &value))
			continue;
		size_t len_name = strcspn(key->path + len, ".");
		bool is_leaf = key->path[len + len_name] == '\0';
		size_t len_path = len + len_name + 1; /* with the dot, or with the zero byte */
		if (!is_leaf && head_is_printed(printing, i, len_path))
			continue;
		print_start(printing, key->path, len_path, depth);
		fprintf(printing->out, "%.*s:", (int)len_name, key->path + len);
		if (is_leaf) {
			fputc(' ', printing->out);
			conf_write_value(printing->out, key, &value);
		}
		fputc('\n', printing->out);
		if (!is_leaf)
			print_level(printing, key->path, len_path, depth + 1);
	}
}

/* One mapping called name, if anything is in it. printing->table is set here. */
static void print_part(struct printing *printing, struct conf_arena *arena, enum conf_part part,
	const struct qb_plugin *plugin, const char *name, int depth)
{
	printing->table = conf_plugin_table(arena, part, plugin);
	if (!printing->table.n_keys)
		return;
	print_start(printing, "", 0, depth);
	conf_write_name(printing->out, name);
	fputc('\n', printing->out);
	print_level(printing, "", 0, depth + 1);
}

static void print_pipeline(FILE *out, struct conf_arena *arena, const struct conf_pipeline *pipeline)
{
	const struct qb_plugin *plugin = pipeline->broker->plugin;
	struct printing printing = {.out = out, .target = pipeline, .options = pipeline->source.values};
	fputs("  ", out);
	conf_write_name(out, pipeline->conf.name);
	fputc('\n', out);
	print_part(&printing, arena, CONF_SOURCE, plugin, "source", 2);
	print_part(&printing, arena, CONF_FETCH, plugin, "fetch", 2);
	printing.table = *conf_schema_table(CONF_PIPELINE);
	print_level(&printing, "", 0, 2);
}

static void print_broker(FILE *out, struct conf_arena *arena, const struct conf_broker *broker)
{
	struct printing printing = {.out = out, .target = broker, .options = broker->values};
	print_part(&printing, arena, CONF_BROKER, broker->plugin, broker->name, 1);
}

/* ---- the ceiling ---- */

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The same sum as a running proxy makes of its partitions and of the largest message that came (its
 * metric qbus_library_queue_limit_bytes). */
static void print_partitions(FILE *out, int64_t queue, int64_t partition, int64_t answer, int64_t message)
{
	enum { PARTITIONS = 100 };
	char lane[UNITS_TEXT_MAX], broker[UNITS_TEXT_MAX], all[UNITS_TEXT_MAX], size[UNITS_TEXT_MAX], most[UNITS_TEXT_MAX];
	fprintf(out,
		"%s a partition (queue_bytes + max_partition_bytes) and %s a broker (max_bytes);\n"
		"#                               %d partitions on one broker: %s, with messages of %s (max_message_bytes) %s",
		units_print_size(queue + partition, lane), units_print_size(answer, broker), PARTITIONS,
		units_print_size(PARTITIONS * (queue + partition) + answer, all), units_print_size(message, size),
		units_print_size(PARTITIONS * (queue + larger(partition, message)) + larger(answer, message), most));
}

/* What a client library may hold beside what we count: known by the names of the options that bound it. */
static void print_library(FILE *out, const struct conf_pipeline *pipeline)
{
	char most[UNITS_TEXT_MAX];
	int64_t queue = conf_plugin_number(pipeline, QB_FETCH, "queue_bytes");
	int64_t partition = conf_plugin_number(pipeline, QB_FETCH, "max_partition_bytes");
	int64_t prefetch = conf_plugin_number(pipeline, QB_SOURCE, "prefetch"), message = pipeline->conf.max_message_bytes;
	if (queue >= 0 && partition >= 0)
		print_partitions(out, queue, partition, conf_plugin_number(pipeline, QB_FETCH, "max_bytes"), message);
	else if (prefetch >= 0)
		fprintf(out, "%s (prefetch x max_message_bytes; prefetch shrinks with the sizes seen)",
			units_print_size(message > INT64_MAX / (prefetch + 1) ? INT64_MAX : prefetch * message, most));
	else
		fputs("nothing", out);
}

/* Ours is exact; what a library fetches ahead depends on the partitions and on the sizes of their messages, which
 * nobody knows before. */
static void print_ceiling(const struct conf *conf, FILE *out)
{
	char text[UNITS_TEXT_MAX], floor[UNITS_TEXT_MAX];
	fputs("\n# Memory, at most:\n#   pipeline          held here   fetched ahead by the client library\n", out);
	for (size_t i = 0; i < conf->n_pipelines; i++) {
		const struct conf_pipeline *pipeline = &conf->pipelines[i];
		fprintf(out, "#   %-16s %10s   ", pipeline->conf.name,
			units_print_size(pipeline->conf.max_outstanding_bytes, text));
		print_library(out, pipeline);
		fputc('\n', out);
	}
	fprintf(out,
		"#   all together     %10s   memory.max_bytes, libraries included: what these may fetch ahead comes off "
		"first\n",
		units_print_size(conf->memory_max_bytes, text));
	fprintf(out,
		"# Kafka sends a batch that is bigger than max_partition_bytes whole, one in an answer: its size, unpacked, then "
		"counts in\n"
		"# place of max_partition_bytes, and of max_bytes where it is above that. What was seen so far is in\n"
		"# qbus_library_queue_limit_bytes; librdkafka has no limit for what gzip, lz4 and snappy unpack.\n"
		"# Beyond it: one message of any size a pipeline, %s of minima where the libraries alone take it all, about "
		"315 bytes for\n"
		"# each message fetched ahead, 16MiB that were freed and not given back, and the program itself (about 10MiB).\n",
		units_print_size(conf->memory_max_bytes / 32, floor));
}

void conf_print(const struct conf *conf, FILE *out)
{
	struct conf_arena *arena = conf_arena_new();
	struct printing root = {.out = out, .table = *conf_schema_table(CONF_ROOT), .target = conf};
	print_level(&root, "", 0, 0);
	fputs("brokers:\n", out);
	for (size_t i = 0; i < conf->n_brokers; i++)
		print_broker(out, arena, &conf->brokers[i]);
	fputs("pipelines:\n", out);
	for (size_t i = 0; i < conf->n_pipelines; i++)
		print_pipeline(out, arena, &conf->pipelines[i]);
	if (conf->n_pools)
		fputs("pools:\n", out);
	for (size_t i = 0; i < conf->n_pools; i++) {
		struct printing pool = {.out = out, .target = &conf->pools[i]};
		print_part(&pool, arena, CONF_POOL, NULL, conf->pools[i].name, 1);
	}
	print_ceiling(conf, out);
	conf_arena_free(arena);
}

static void reference_table(FILE *out, enum conf_part part, const struct conf_table *table)
{
	const char *place = conf_schema_place(part);
	for (size_t i = 0; i < table->n_keys; i++) {
		const struct conf_key *key = &table->keys[i];
		if (key->kind == CONF_PART)
			continue;
		fprintf(out, "%s%s%s\t%s\t%s\t%s\n", place, *place ? "." : "", key->path, conf_schema_kind_name(key->kind),
			key->is_required ? "required"
			: key->fallback  ? key->fallback
							 : "",
			key->help);
		if (key->kind == CONF_SECRET)
			fprintf(out, "%s%s%s_file\t%s\t\tThe file that holds it.\n", place, *place ? "." : "", key->path,
				conf_schema_kind_name(CONF_FILE));
	}
}

void conf_reference(const struct qb_plugin *const *plugins, size_t n_plugins, FILE *out)
{
	for (enum conf_part part = CONF_ROOT; part < CONF_N_PARTS; part++)
		reference_table(out, part, conf_schema_table(part));
	struct conf_arena *arena = conf_arena_new();
	for (size_t i = 0; i < n_plugins; i++)
		for (enum conf_part part = CONF_ROOT; part < CONF_N_PARTS; part++) {
			size_t n_own = conf_schema_table(part)->n_keys;
			struct conf_table table = conf_plugin_table(arena, part, plugins[i]);
			table.keys += n_own;
			table.n_keys -= n_own;
			reference_table(out, part, &table);
		}
	conf_arena_free(arena);
}
