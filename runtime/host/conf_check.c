/* SPDX-License-Identifier: MIT */
/* What is wrong between keys: one small function a rule, each one clear sentence. */
#include "host/conf_check.h"

#include <inttypes.h>
#include <string.h>
#include <sys/un.h>

#include "host/conf_overlap.h"
#include "host/conf_plugin.h"
#include "host/units.h"

static void check_socket_path(struct conf_draft *draft, const char *key, const char *path)
{
	const struct sockaddr_un *address = NULL;
	if (path && strlen(path) >= sizeof address->sun_path)
		conf_report_error(&draft->report, conf_section_at(&draft->root, key),
			"the path of a socket may have at most %zu bytes, this one has %zu", sizeof address->sun_path - 1,
			strlen(path));
	else if (path && !*path)
		conf_report_error(&draft->report, conf_section_at(&draft->root, key), "the path of a socket cannot be empty");
}

static void check_root(struct conf_draft *draft)
{
	const struct conf *conf = draft->conf;
	check_socket_path(draft, "socket.path", conf->socket.path);
	check_socket_path(draft, "admin.socket", conf->admin.socket);
	if (conf->admin.socket && strcmp(conf->socket.path, conf->admin.socket) == 0)
		conf_report_error(&draft->report, conf_section_at(&draft->root, "admin.socket"),
			"\"socket.path\" and \"admin.socket\" must be two different files");
	if ((conf->socket.mode & 02) && !conf->socket.n_allow_uids && !conf->socket.n_allow_gids)
		conf_report_warn(&draft->report, conf_section_at(&draft->root, "socket.mode"),
			"this mode lets every user of the machine in; \"socket.allow_uids\" would say who may");
}

/* ---- a pipeline: conf, and the section that says where its keys stand ---- */

typedef void pipeline_rule(
	struct conf_draft *draft, const struct conf_pipeline *pipeline, const struct conf_section *section);

static void check_message_size(
	struct conf_draft *draft, const struct conf_pipeline *pipeline, const struct conf_section *section)
{
	char small[UNITS_TEXT_MAX], large[UNITS_TEXT_MAX];
	int64_t memory = draft->conf->memory_max_bytes, message = pipeline->conf.max_message_bytes;
	int64_t outstanding = pipeline->conf.max_outstanding_bytes;
	if (message > memory)
		conf_report_error(&draft->report, conf_section_at(section, "max_message_bytes"),
			"\"max_message_bytes\" (%s) is above \"memory.max_bytes\" (%s)", units_print_size(message, large),
			units_print_size(memory, small));
	else if (message > outstanding)
		conf_report_warn(&draft->report, conf_section_at(section, "max_message_bytes"),
			"one message of \"max_message_bytes\" (%s) goes beyond \"max_outstanding_bytes\" (%s)",
			units_print_size(message, large), units_print_size(outstanding, small));
	if (outstanding > memory)
		conf_report_warn(&draft->report, conf_section_at(section, "max_outstanding_bytes"),
			"\"max_outstanding_bytes\" (%s) is above \"memory.max_bytes\" (%s), which is reached first",
			units_print_size(outstanding, large), units_print_size(memory, small));
}

/* What a library has fetched nobody can take from it but by handling it: one partition and one answer have to fit. */
static void check_fetch(
	struct conf_draft *draft, const struct conf_pipeline *pipeline, const struct conf_section *section)
{
	char text[UNITS_TEXT_MAX], memory[UNITS_TEXT_MAX];
	int64_t answer = conf_plugin_number(pipeline, QB_FETCH, "max_bytes");
	int64_t queue = conf_plugin_number(pipeline, QB_FETCH, "queue_bytes");
	int64_t partition = conf_plugin_number(pipeline, QB_FETCH, "max_partition_bytes");
	if (queue >= 0 && partition >= 0 && answer + queue + partition > draft->conf->memory_max_bytes)
		conf_report_error(&draft->report, conf_section_at(section, "fetch"),
			"\"fetch\" may take %s (max_bytes + queue_bytes + max_partition_bytes), \"memory.max_bytes\" is %s",
			units_print_size(answer + queue + partition, text),
			units_print_size(draft->conf->memory_max_bytes, memory));
}

static void check_times(
	struct conf_draft *draft, const struct conf_pipeline *pipeline, const struct conf_section *section)
{
	char handler[UNITS_TEXT_MAX], drain[UNITS_TEXT_MAX];
	if (pipeline->conf.handler_timeout_us > draft->conf->drain_timeout_us)
		conf_report_warn(&draft->report, conf_section_at(section, "handler_timeout"),
			"\"handler_timeout\" (%s) is above \"shutdown.drain_timeout\" (%s): a stop can cut a handler short",
			units_print_duration(pipeline->conf.handler_timeout_us, handler),
			units_print_duration(draft->conf->drain_timeout_us, drain));
	if (pipeline->conf.backoff.initial_us > pipeline->conf.backoff.max_us)
		conf_report_error(&draft->report, conf_section_at(section, "backoff.initial"),
			"\"backoff.initial\" is above \"backoff.max\"");
}

static void check_breaker(
	struct conf_draft *draft, const struct conf_pipeline *pipeline, const struct conf_section *section)
{
	static const char *const others[] = {"breaker.window", "breaker.min_samples", "breaker.open_for"};
	(void)pipeline;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (conf_section_find(section, others[i]) && !conf_section_find(section, "breaker.failure_ratio")) {
			conf_report_error(&draft->report, conf_section_at(section, others[i]),
				"a breaker needs \"breaker.failure_ratio\", as in 0.5");
			return;
		}
}

static void check_dead_letter(
	struct conf_draft *draft, const struct conf_pipeline *pipeline, const struct conf_section *section)
{
	struct conf_report *report = &draft->report;
	bool has_topic = pipeline->dead_letter_topic, has_exchange = pipeline->dead_letter_exchange;
	bool is_reject = pipeline->conf.dead_letter.reject, has_key = pipeline->conf.dead_letter.routing_key;
	const char *last = is_reject ? "dead_letter.reject" : has_exchange ? "dead_letter.exchange" : "dead_letter.topic";
	if (has_topic + has_exchange + is_reject > 1)
		conf_report_error(report, conf_section_at(section, last),
			"a dead letter goes to one place: a topic, an exchange, or reject: true");
	else if (has_key && !has_exchange)
		conf_report_error(report, conf_section_at(section, "dead_letter.routing_key"),
			"\"dead_letter.routing_key\" needs \"dead_letter.exchange\" (\"\" is the default exchange)");
	else if (has_exchange && !*pipeline->dead_letter_exchange && (!has_key || !*pipeline->conf.dead_letter.routing_key))
		conf_report_error(report, conf_section_at(section, "dead_letter.exchange"),
			"the default exchange (\"\") needs \"dead_letter.routing_key\": the name of a queue");
	else if (conf_section_find(section, "dead_letter.reject") && !has_topic && !has_exchange && !is_reject)
		conf_report_error(report, conf_section_at(section, "dead_letter.reject"),
			"\"dead_letter\" names no place: write a topic, an exchange, or reject: true");
	if (has_topic && !*pipeline->dead_letter_topic)
		conf_report_error(report, conf_section_at(section, "dead_letter.topic"), "the name of a topic cannot be empty");
	const struct conf_node *oversize = conf_section_find(section, "oversize");
	if (oversize && pipeline->conf.oversize == OVERSIZE_DEAD_LETTER && has_topic + has_exchange + is_reject == 0)
		conf_report_error(report, oversize->at, "\"oversize: dead_letter\" needs a \"dead_letter\"");
}

static void check_ordering(
	struct conf_draft *draft, const struct conf_pipeline *pipeline, const struct conf_section *section)
{
	const struct conf_node *header = conf_section_find(section, "ordering_header");
	if (header && pipeline->conf.ordering != ORDERING_KEY)
		conf_report_error(&draft->report, header->at, "\"ordering_header\" needs \"ordering: key\"");
}

/* What the kind of broker makes of it: those with one position a lane have topics, the others exchanges and reject. */
static void check_dead_letter_broker(
	struct conf_draft *draft, const struct conf_pipeline *pipeline, const struct conf_section *section)
{
	const struct qb_plugin *plugin = pipeline->broker ? pipeline->broker->plugin : NULL;
	if (!plugin)
		return;
	bool has_topics = plugin->traits & QB_SETTLE_PREFIX;
	const char *wrong = NULL;
	if (has_topics && pipeline->conf.dead_letter.reject)
		wrong = "dead_letter.reject";
	if (has_topics && pipeline->dead_letter_exchange)
		wrong = "dead_letter.exchange";
	if (!has_topics && pipeline->dead_letter_topic)
		wrong = "dead_letter.topic";
	if (wrong)
		conf_report_error(&draft->report, conf_section_at(section, wrong),
			"\"%s\" does not suit a broker of type %s (write %s)", wrong, plugin->name,
			has_topics ? "topic" : "exchange and routing_key, or reject: true");
	else if (pipeline->conf.dead_letter.target && !plugin->publish)
		conf_report_error(&draft->report,
			conf_section_at(section, has_topics ? "dead_letter.topic" : "dead_letter.exchange"),
			"the plugin %s cannot publish, so it cannot write dead letters", plugin->name);
}

static void check_pool_name(
	struct conf_draft *draft, const struct conf_pipeline *pipeline, const struct conf_section *section)
{
	const struct conf *conf = draft->conf;
	const char *name = pipeline->conf.pool;
	struct conf_guess guess = {.word = name};
	for (size_t i = 0; name && i < conf->n_pools; i++) {
		if (strcmp(conf->pools[i].name, name) == 0)
			return;
		conf_guess_offer(&guess, conf->pools[i].name);
	}
	if (name)
		conf_report_error(&draft->report, conf_section_at(section, "pool"), "there is no \"%.60s\" under pools%s", name,
			conf_guess_hint(&guess, draft->report.arena));
}

/* ---- names that nobody uses ---- */

static void check_unused(struct conf_draft *draft)
{
	const struct conf *conf = draft->conf;
	for (size_t i = 0; i < conf->n_brokers; i++) {
		size_t n = 0;
		for (size_t k = 0; k < conf->n_pipelines; k++)
			n += conf->pipelines[k].broker == &conf->brokers[i];
		if (!n)
			conf_report_warn(
				&draft->report, draft->brokers[i].at, "no pipeline uses the broker \"%s\"", conf->brokers[i].name);
	}
	for (size_t i = 0; i < conf->n_pools; i++) {
		size_t n = 0;
		for (size_t k = 0; k < conf->n_pipelines; k++)
			n += conf->pipelines[k].conf.pool && strcmp(conf->pipelines[k].conf.pool, conf->pools[i].name) == 0;
		if (!n)
			conf_report_warn(
				&draft->report, draft->pools[i].at, "no pipeline uses the pool \"%s\"", conf->pools[i].name);
	}
}

static void check_pool(struct conf_draft *draft, const struct conf_pool *pool, const struct conf_section *section)
{
	struct conf_report *report = &draft->report;
	const struct conf_node *command = conf_section_find(section, "command");
	if (command && command->kind != NODE_BROKEN && pool->command && (!pool->n_command || !*pool->command[0].text))
		conf_report_error(report, command->at, "\"command\" names no program");
	if (command && command->kind == NODE_SCALAR && strpbrk(command->text, " \t"))
		conf_report_error(
			report, command->at, "write \"command\" as a list, as in [php, worker.php]; no shell reads it");
	if (pool->hard_memory && pool->soft_memory > pool->hard_memory)
		conf_report_error(report, conf_section_at(section, "max_worker_memory.soft"),
			"\"max_worker_memory.soft\" is above \"max_worker_memory.hard\"");
	for (size_t i = 0; i < pool->n_environment; i++)
		if (!*pool->environment[i].name || strchr(pool->environment[i].name, '='))
			conf_report_error(report, conf_section_at(section, "environment"),
				"\"%.60s\" cannot be the name of a variable", pool->environment[i].name);
}

void conf_check(struct conf_draft *draft)
{
	static pipeline_rule *const rules[] = {
		check_message_size,
		check_fetch,
		check_times,
		check_breaker,
		check_ordering,
		check_dead_letter,
		check_dead_letter_broker,
		check_pool_name,
	};
	const struct conf *conf = draft->conf;
	check_root(draft);
	for (size_t i = 0; i < conf->n_pipelines; i++)
		for (size_t rule = 0; rule < sizeof rules / sizeof *rules; rule++)
			rules[rule](draft, &conf->pipelines[i], &draft->pipelines[i]);
	for (size_t i = 0; i < conf->n_pools; i++)
		check_pool(draft, &conf->pools[i], &draft->pools[i]);
	conf_overlap_check(draft);
	if (!draft->report.n_errors) /* else a name may be unused only because its user is broken */
		check_unused(draft);
}
