/* SPDX-License-Identifier: MIT */
/* One source: opens, polls and closes a member of a consumer group. */
#include "consumer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "leave.h"

/* While a revoke or a refused commit waits for a moment to pass, nothing wakes us but time. */
#define IMPATIENT_MS 10
#define PATIENT_MS 1000

/* Less than that no session feels. */
#define WALL_STEP_US 100000

/* For leaving the group, when nobody wants to wait: a LeaveGroup is answered in less, unless a JoinGroup is out. */
#define HURRY_US 300000

/* What destroying cannot be trusted with: librdkafka below 2.3 before the first cooperative assignment. */
#define VERSION_DESTROYABLE 0x02030000
#define VERSION_COMMITS_SAFELY 0x020a0000

/* ---- open ---- */

static enum qb_result refuse(const struct qb_host *host, const char *reason)
{
	host->condition(host->self, QB_CONNECTED, 0, false, reason);
	return QB_FATAL;
}

/* A fetcher of an old library has to be woken; a newer one looks again by itself. */
static void wake_plan(struct consumer *consumer, rd_kafka_conf_t *settings)
{
	if (settings_number(settings, "fetch.queue.backoff.ms") >= 0)
		return;
	consumer->batch.wake_bytes = (size_t)settings_number(settings, "queued.max.messages.kbytes") * 1000 / 2 + 1;
	consumer->batch.wake_messages = (size_t)settings_number(settings, "queued.min.messages") / 2 + 1;
}

static int client_open(struct consumer *consumer, char *ret_error, size_t size)
{
	rd_kafka_conf_t *settings = rd_kafka_conf_new();
	uint64_t one = 1;

	if (settings_consumer(settings, consumer->conf, NULL, NULL)) {
		snprintf(ret_error, size, "librdkafka refuses the configuration; the configuration check says why");
		rd_kafka_conf_destroy(settings);
		return -EINVAL;
	}
	if (consumer->embedded)
		rd_kafka_conf_set(settings, "bootstrap.servers", embedded_servers(consumer->embedded), NULL, 0);
	rd_kafka_conf_set_events(settings, RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_FETCH | RD_KAFKA_EVENT_OFFSET_COMMIT |
										   RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_STATS);
	wake_plan(consumer, settings);
	if (settings_try(settings, ret_error, size)) {
		rd_kafka_conf_destroy(settings);
		return -EINVAL;
	}
	gate_install(consumer->gate, settings);
	consumer->rk = rd_kafka_new(RD_KAFKA_CONSUMER, settings, ret_error, size);
	if (!consumer->rk) {
		rd_kafka_conf_destroy(settings);
		return -EINVAL;
	}
	rd_kafka_poll_set_consumer(consumer->rk);
	consumer->events = rd_kafka_queue_get_consumer(consumer->rk);
	if (!consumer->events) {
		snprintf(ret_error, size, "librdkafka has no consumer queue: the group_id is empty");
		return -EINVAL;
	}
	rd_kafka_set_log_queue(consumer->rk, consumer->events);
	rd_kafka_queue_io_event_enable(consumer->events, consumer->events_fd, &one, sizeof(one));
	return 0;
}

static int topics_subscribe(struct consumer *consumer, char *ret_error, size_t size)
{
	const struct qb_value *topics = options_value(consumer->conf, OPTION_TOPICS);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)topics->n_items);
	rd_kafka_resp_err_t error;

	for (size_t i = 0; i < topics->n_items; i++)
		rd_kafka_topic_partition_list_add(list, topics->items[i].text, RD_KAFKA_PARTITION_UA);
	error = rd_kafka_subscribe(consumer->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (!error)
		return 0;
	snprintf(ret_error, size, "topics cannot be subscribed to: %s", rd_kafka_err2str(error));
	return -EINVAL;
}

static int consumer_init(struct consumer *consumer, char *ret_error, size_t size)
{
	int status = lanes_init(&consumer->lanes);

	if (status < 0) {
		consumer->lanes.pipe_read = consumer->lanes.pipe_write = -1;
		snprintf(ret_error, size, "no pipe: %s", strerror(-status));
		return status;
	}
	consumer->events_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	consumer->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (consumer->events_fd < 0 || consumer->wake_fd < 0) {
		snprintf(ret_error, size, "no eventfd: %s", strerror(errno));
		return -errno;
	}
	if (options_is_embedded(consumer->conf)) {
		consumer->embedded = embedded_ref(consumer->host, consumer->conf, ret_error, size);
		if (!consumer->embedded)
			return -EIO;
	}
	status = client_open(consumer, ret_error, size);
	return status < 0 ? status : topics_subscribe(consumer, ret_error, size);
}

/* Frees what is not given to a leave. */
static void consumer_free(struct consumer *consumer)
{
	lanes_done(&consumer->lanes);
	batch_done(&consumer->batch);
	embedded_unref(consumer->embedded);
	if (consumer->events_fd >= 0)
		close(consumer->events_fd);
	if (consumer->wake_fd >= 0)
		close(consumer->wake_fd);
	free(consumer);
}

enum qb_result consumer_open(const struct qb_host *host, const struct qb_source_conf *conf, void **ret_source)
{
	struct consumer *consumer = calloc(1, sizeof(*consumer));
	char error[512] = "";

	if (!consumer)
		abort();
	consumer->host = host;
	consumer->conf = conf;
	consumer->events_fd = consumer->wake_fd = -1;
	ahead_init(&consumer->ahead, options_number(conf, OPTION_QUEUE_BYTES),
		options_number(conf, OPTION_MAX_PARTITION_BYTES), options_number(conf, OPTION_MAX_BYTES));
	consumer->gate = gate_new(options_is_cooperative(conf) && rd_kafka_version() < VERSION_COMMITS_SAFELY);
	if (consumer_init(consumer, error, sizeof(error)) == 0) {
		*ret_source = consumer;
		return QB_OK;
	}
	if (consumer->events)
		rd_kafka_queue_destroy(consumer->events);
	if (consumer->rk)
		rd_kafka_destroy(consumer->rk);
	gate_free(consumer->gate);
	consumer_free(consumer);
	return refuse(host, error);
}

/* ---- poll ---- */

static void number_drain(int fd)
{
	uint64_t number;
	ssize_t size;

	do
		size = read(fd, &number, sizeof(number));
	while (size < 0 && errno == EINTR);
}

void consumer_wait(struct consumer *consumer, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = consumer->lanes.pipe_read, .events = POLLIN},
		{.fd = consumer->events_fd, .events = POLLIN},
		{.fd = consumer->wake_fd, .events = POLLIN},
	};

	if (poll(fds, sizeof(fds) / sizeof(*fds), timeout_ms) <= 0)
		return;
	if (fds[1].revents)
		number_drain(consumer->events_fd);
	if (fds[2].revents)
		number_drain(consumer->wake_fd);
}

/* The only public call that wakes all fetchers of an old library; the credentials stay what they are. */
static void fetchers_wake(struct consumer *consumer)
{
	const char *name = options_text(consumer->conf, OPTION_USERNAME);
	const char *password = options_text(consumer->conf, OPTION_PASSWORD);

	consumer->batch.wants_wake = false;
	rd_kafka_error_destroy(rd_kafka_sasl_set_credentials(consumer->rk, *name ? name : "-", *password ? password : "-"));
}

/* The library's threads sleep by the time of day. Set back by an hour it would have them sleep for an hour, and a group
 * without work would get no heartbeat. Whoever is woken looks at the clock anew. */
static void wall_look(struct consumer *consumer, int64_t now_us)
{
	int64_t ahead_us = clock_wall_us() - now_us;

	if (ahead_us < consumer->wall_ahead_us - WALL_STEP_US) {
		fetchers_wake(consumer);
		rd_kafka_mem_free(consumer->rk, rd_kafka_memberid(consumer->rk)); /* asks the main thread */
	}
	consumer->wall_ahead_us = ahead_us;
}

/* Main queue first, always: it may say that lanes are lost, before anything is committed or delivered for them. */
static enum qb_result serve(struct consumer *consumer, int64_t now_us)
{
	enum qb_result result;

	wall_look(consumer, now_us);
	result = event_serve(consumer, now_us);
	rebalance_turn(consumer, now_us);
	commit_turn(consumer, now_us);
	publish_serve(consumer, now_us);
	fault_turn(consumer);
	wedge_turn(consumer, now_us);
	target_turn(consumer, now_us);
	event_measure(consumer, now_us);
	lanes_wake(&consumer->lanes, now_us);
	return result;
}

static void lane_error(void *ctx, struct lane *lane, rd_kafka_resp_err_t error, const char *text)
{
	fault_lane(ctx, lane, error, text, clock_now_us());
}

static void lanes_heal(struct consumer *consumer)
{
	uint64_t id = 0;

	for (size_t i = 0; i < consumer->batch.n; i++) {
		struct lane *lane;

		if (consumer->batch.messages[i].lane == id)
			continue;
		id = consumer->batch.messages[i].lane;
		lane = lanes_find(&consumer->lanes, id);
		if (lane->is_healed)
			fault_lane_healed(consumer, lane);
	}
}

/* What stands between the last message and the end of the partition is no message: marks of transactions, and what
 * aborted ones have left. Else the position would stay below them, and a lag would for ever be told. */
static void ends_tell(struct consumer *consumer)
{
	const struct qb_host *host = consumer->host;
	bool can_pass = QB_HAS(host, passed);

	for (size_t i = 0; i < consumer->lanes.n; i++) {
		struct lane *lane = consumer->lanes.sorted[i];

		if (can_pass && lane->end > 0 && lane->end > lane->next) {
			lane->next = lane->end;
			host->passed(host->self, lane->id, lane->end - 1);
		}
		lane->end = 0;
	}
	consumer->batch.has_ends = false;
}

static size_t deliver(struct consumer *consumer, const struct qb_budget *budget)
{
	const struct qb_host *host = consumer->host;
	struct batch *batch = &consumer->batch;
	size_t n;

	if (consumer->is_draining || !budget->messages)
		return 0;
	batch_gather(batch, &consumer->lanes, budget, lane_error, consumer);
	n = batch->n;
	if (n) {
		lanes_heal(consumer);
		if ((int64_t)batch->largest > consumer->ahead.largest)
			event_limit(consumer); /* before there is more of that kind */
		host->deliver(host->self, batch->messages, n);
		batch_release(batch);
	}
	if (batch->has_ends)
		ends_tell(consumer);
	if (batch->wants_wake)
		fetchers_wake(consumer);
	return n;
}

static int patience_ms(const struct consumer *consumer, int timeout_ms)
{
	bool is_impatient = consumer->rebalance.state != REBALANCE_NONE ||
	                    (!consumer->commits.under_way && commit_is_pending(consumer, false));
	int limit = is_impatient ? IMPATIENT_MS : PATIENT_MS;

	return timeout_ms < 0 || timeout_ms > limit ? limit : timeout_ms;
}

enum qb_result consumer_poll(void *source, int timeout_ms, const struct qb_budget *budget)
{
	struct consumer *consumer = source;
	enum qb_result result = serve(consumer, clock_now_us()), later;

	if (result != QB_OK || deliver(consumer, budget) || !timeout_ms)
		return result;
	consumer_wait(consumer, patience_ms(consumer, timeout_ms));
	later = serve(consumer, clock_now_us());
	deliver(consumer, budget);
	return later;
}

void consumer_wake(void *source)
{
	struct consumer *consumer = source;
	uint64_t one = 1;
	ssize_t size;

	do
		size = write(consumer->wake_fd, &one, sizeof(one));
	while (size < 0 && errno == EINTR);
}

/* Without lanes there is nothing to lose; a session that has not ended by the broker's clock has lost none. */
bool consumer_is_current(void *source)
{
	const struct consumer *consumer = source;

	return !consumer->lanes.n ||
	       gate_is_member(consumer->gate, settings_session_ms(consumer->conf) * 1000, clock_boot_us());
}

/* ---- what the runtime says ---- */

void consumer_settle(void *source, const struct qb_settlement *settlements, size_t n)
{
	struct consumer *consumer = source;

	for (size_t i = 0; i < n; i++)
		commit_take(consumer, &settlements[i]);
}

void consumer_flow(void *source, uint64_t id, bool open)
{
	struct consumer *consumer = source;
	struct lane *lane = lanes_find(&consumer->lanes, id);

	if (lane)
		lanes_flow(&consumer->lanes, lane, open);
}

void consumer_drain(void *source)
{
	struct consumer *consumer = source;

	consumer->is_draining = true;
}

void consumer_lane_drained(void *source, uint64_t id)
{
	struct consumer *consumer = source;
	struct lane *lane = lanes_find(&consumer->lanes, id);

	if (lane)
		rebalance_drained(consumer, lane);
}

/* The embedded cluster makes every topic that is used. */
void consumer_aim(void *source, const char *target)
{
	struct consumer *consumer = source;

	if (!consumer->embedded)
		consumer->target.topic = target;
}

void consumer_publish(void *source, const struct qb_outgoing *message, uint64_t token)
{
	publish_send(source, message, token);
}

/* ---- close ---- */

/* The library tells of a rebalance by taking lanes away; where there is none to take, it just joins again. */
static bool is_joining(const struct consumer *consumer, int64_t now_us)
{
	bool is_told = consumer->lanes.n && !options_is_cooperative(consumer->conf);

	return consumer->rebalance.awaits_assign ||
	       (is_told ? gate_is_joining(consumer->gate, now_us) : gate_may_join(consumer->gate, now_us));
}

static bool is_hurried(const struct qb_host *host)
{
	return QB_HAS(host, is_hurried) && host->is_hurried(host->self);
}

/* A member that leaves while its JoinGroup is out, or is about to be sent, stays in the group as a ghost until its
 * session ends, and all others wait for it: so wait for the join, and for the assignment that follows a revoke, unless
 * the brokers do not answer anyway, or nobody wants to wait. */
static bool is_unsettled(const struct consumer *consumer, int64_t now_us)
{
	return consumer->rebalance.state != REBALANCE_NONE || commit_is_pending(consumer, false) ||
	       (consumer->faults.is_connected && !is_hurried(consumer->host) && is_joining(consumer, now_us));
}

static int left_ms(int64_t end_us)
{
	int64_t left = (end_us - clock_now_us()) / 1000;

	return left > 0 ? (int)left : 0;
}

void consumer_close(void *source, int timeout_ms)
{
	struct consumer *consumer = source;
	const struct qb_host *host = consumer->host;
	int64_t now_us = clock_now_us(), end_us = now_us + (int64_t)timeout_ms * 1000;
	int64_t settled_us = now_us + (int64_t)timeout_ms * 700; /* the rest is for leaving the group */
	struct leave *group, *producer;
	bool is_destroyable;

	consumer->is_draining = true;
	rebalance_leave(consumer, now_us);
	for (; timeout_ms && now_us < settled_us && serve(consumer, now_us) == QB_OK; now_us = clock_now_us()) {
		if (!is_unsettled(consumer, now_us))
			break;
		consumer_wait(consumer, IMPATIENT_MS);
	}
	if (is_hurried(host) && now_us + HURRY_US < end_us)
		end_us = now_us + HURRY_US;
	rebalance_void(consumer);
	rebalance_done(&consumer->rebalance);
	rd_kafka_queue_io_event_enable(consumer->events, -1, NULL, 0);
	is_destroyable = consumer->rebalance.was_assigned || !options_is_cooperative(consumer->conf) ||
	                 rd_kafka_version() >= VERSION_DESTROYABLE;
	producer = publish_end(consumer, settled_us);
	group = leave_start(consumer->rk, consumer->events, consumer->gate, is_destroyable);
	if (!leave_wait(group, left_ms(end_us)) && timeout_ms)
		host->log(host->self, QB_WARN, "group is not left in time; the client is left behind");
	leave_wait(producer, left_ms(end_us));
	consumer_free(consumer);
}
