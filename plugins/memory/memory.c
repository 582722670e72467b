/* SPDX-License-Identifier: MIT */
/* The memory broker: a source that makes its own messages, for tests, demonstrations and measurements without a broker.
 *
 * Every lane is an endless or bounded row of receipts. What is settled is kept in the store of the pipeline, so that a
 * source that opens again goes on where the settlements ended, as with a real broker. All on the source's thread. */
#include "generator.h"
#include "script.h"
#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { OPT_LANES, OPT_MESSAGES, OPT_BODY_BYTES, OPT_KEYS, OPT_HEADERS, OPT_RATE, OPT_FIRST, OPT_REFUSE, OPT_SCRIPT };

#define LANES_MAX 1024

static const struct qb_option options[] = {
	[OPT_LANES] = {"lanes", QB_INT, QB_SOURCE, false, "1", 1, LANES_MAX, NULL, "How many lanes there are."},
	[OPT_MESSAGES] = {"messages", QB_INT, QB_SOURCE, false, "0", 0, INT64_MAX, NULL,
		"How many messages there are in all lanes together; 0: no end."},
	[OPT_BODY_BYTES] = {"body_bytes", QB_SIZE, QB_SOURCE, false, "200", 0, INT64_C(1) << 30, NULL,
		"Size of a body, which reads lane:receipt and is filled up with dots."},
	[OPT_KEYS] = {"keys", QB_INT, QB_SOURCE, false, "0", 0, INT64_MAX, NULL,
		"How many different keys a lane has; 0: messages have no key."},
	[OPT_HEADERS] = {"headers", QB_INT, QB_SOURCE, false, "0", 0, GENERATOR_HEADERS_MAX, NULL,
		"How many headers a message has."},
	[OPT_RATE] = {"rate", QB_INT, QB_SOURCE, false, "0", 0, INT64_C(1000000000), NULL,
		"Messages a second in all; 0: as fast as they are taken."},
	[OPT_FIRST] = {"first", QB_INT, QB_SOURCE, false, "0", 0, INT64_MAX / 2, NULL, "The first receipt of each lane."},
	[OPT_REFUSE] = {"refuse_publishing", QB_INT, QB_SOURCE, false, "0", 0, INT64_MAX, NULL,
		"How many publications are refused before the first is confirmed."},
	[OPT_SCRIPT] = {"script", QB_LIST, QB_SOURCE, false, NULL, 0, 0, NULL,
		"Faults, each after so many deliveries: lost@N, fatal@N, close@N, revoke@N, wedge@N, in ascending order."},
};

struct memory_lane {
	uint64_t number; /* the host's */
	int64_t cursor;  /* next receipt to deliver */
	int64_t end;     /* first receipt that is never made */
	bool is_shut;
	bool is_closing;
	bool is_wedged;
};

struct memory {
	const struct qb_host *host;
	struct store *store;
	struct script script;
	struct generator generator;
	struct memory_lane *lanes;
	int n_lanes;
	int turn; /* the lane that delivers next */
	int wake_fd;
	bool is_draining;
	int64_t rate;
	int64_t rate_since_us; /* when the messages counted in n_rated began to fall due */
	int64_t n_rated;
	uint64_t n_to_refuse;
};

static int64_t clock_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static const char *memory_library(void)
{
	return "memory 1";
}

static void memory_check(const struct qb_source_conf *conf, qb_complain *complain, void *ctx)
{
	const struct qb_value *steps = &conf->values[OPT_SCRIPT];
	struct script script = {.n_steps = 0};

	for (size_t i = 0; i < steps->n_items; i++) {
		int status = script_add(&script, steps->items[i].text);

		if (status == -EINVAL)
			complain(ctx, OPT_SCRIPT, true, "a step of the script is lost@N, fatal@N, close@N, revoke@N or wedge@N");
		else if (status)
			complain(ctx, OPT_SCRIPT, true, "the steps of the script must ascend and be 64 at most");
	}
}

static void lane_begin(struct memory *memory, int partition)
{
	struct memory_lane *lane = &memory->lanes[partition];
	const struct store_lane *kept = &memory->store->lanes[partition];
	const struct qb_lane_info info = {
		.source = {.data = "memory", .len = 6},
		.partition = partition,
		.next = kept->next,
		.memo = {.data = kept->memo, .len = kept->memo_len},
	};

	lane->cursor = kept->next;
	lane->is_shut = false;
	lane->is_closing = false;
	lane->is_wedged = false;
	lane->number = memory->host->lane_open(memory->host->self, &info);
}

static struct memory_lane *lane_find(struct memory *memory, uint64_t number)
{
	for (int i = 0; i < memory->n_lanes; i++)
		if (memory->lanes[i].number == number)
			return &memory->lanes[i];
	return NULL;
}

static enum qb_result memory_open(const struct qb_host *host, const struct qb_source_conf *conf, void **ret_source)
{
	const struct qb_value *values = conf->values;
	int64_t first = values[OPT_FIRST].number, n_messages = values[OPT_MESSAGES].number;
	struct memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		abort();
	memory->host = host;
	memory->n_lanes = (int)values[OPT_LANES].number;
	memory->rate = values[OPT_RATE].number;
	memory->rate_since_us = clock_us(CLOCK_MONOTONIC);
	memory->n_to_refuse = (uint64_t)values[OPT_REFUSE].number;
	memory->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (memory->wake_fd < 0) {
		host->condition(host->self, QB_CONNECTED, 0, false, "no descriptor is left for the memory source");
		free(memory);
		return QB_LOST;
	}
	for (size_t i = 0; i < values[OPT_SCRIPT].n_items; i++)
		(void)script_add(&memory->script, values[OPT_SCRIPT].items[i].text);
	generator_init(&memory->generator, (size_t)values[OPT_BODY_BYTES].number, values[OPT_KEYS].number,
		(size_t)values[OPT_HEADERS].number);
	memory->store = store_open(conf->pipeline, memory->n_lanes, first);
	memory->lanes = calloc((size_t)memory->n_lanes, sizeof(*memory->lanes));
	if (!memory->lanes)
		abort();
	host->condition(host->self, QB_CONNECTED, 0, true, NULL);
	for (int i = 0; i < memory->n_lanes; i++) {
		/* Message number i goes to lane i modulo lanes, so the first lanes hold the remainder. */
		int64_t share = n_messages / memory->n_lanes + (i < n_messages % memory->n_lanes);

		memory->lanes[i].end = n_messages && share < INT64_MAX - first ? first + share : INT64_MAX;
		lane_begin(memory, i);
	}
	*ret_source = memory;
	return QB_OK;
}

/* ---- delivering ---- */

/* How many messages the rate allows now; *ret_wait_us: until the next one is due, -1: time brings none. */
static uint64_t rate_room(struct memory *memory, int64_t now_us, int64_t *ret_wait_us)
{
	*ret_wait_us = -1;
	if (!memory->rate)
		return UINT64_MAX;

	int64_t elapsed_us = now_us - memory->rate_since_us;

	/* Arrears of more than a second are forgotten: a shut lane does not become a flood. */
	if (elapsed_us > 1000000) {
		int64_t owed = elapsed_us / 1000000 * memory->rate;

		if (owed - memory->n_rated > memory->rate)
			memory->n_rated = owed - memory->rate;
		memory->rate_since_us += elapsed_us / 1000000 * 1000000;
		memory->n_rated -= owed;
		elapsed_us %= 1000000;
	}

	int64_t room = elapsed_us * memory->rate / 1000000 - memory->n_rated;

	if (room > 0)
		return (uint64_t)room;
	*ret_wait_us = (memory->n_rated + 1) * 1000000 / memory->rate + 1 - elapsed_us;
	return 0;
}

/* The lane whose turn it is, NULL: none has anything to deliver. */
static struct memory_lane *lane_next(struct memory *memory)
{
	for (int i = 0; i < memory->n_lanes; i++) {
		struct memory_lane *lane = &memory->lanes[memory->turn];

		memory->turn = (memory->turn + 1) % memory->n_lanes;
		if (!lane->is_shut && !lane->is_closing && !lane->is_wedged && lane->cursor < lane->end)
			return lane;
	}
	return NULL;
}

/* Delivers one batch of at most `room` messages that begins within `bytes`. Returns how many. */
static size_t batch_deliver(struct memory *memory, uint64_t room, size_t bytes)
{
	struct generator *generator = &memory->generator;
	int64_t now_ms = clock_us(CLOCK_REALTIME) / 1000;
	struct memory_lane *lane;

	generator_clear(generator);
	while (generator->n < generator->n_max && generator->n < room && generator->n_bytes < bytes &&
		   (lane = lane_next(memory)))
		generator_add(generator, lane->number, (int)(lane - memory->lanes), lane->cursor++, "memory", now_ms);
	if (generator->n)
		memory->host->deliver(memory->host->self, generator->batch, generator->n);
	memory->store->n_delivered += generator->n;
	memory->n_rated += memory->rate ? (int64_t)generator->n : 0;
	return generator->n;
}

static enum qb_result fault_play(struct memory *memory, enum script_fault fault)
{
	const struct qb_host *host = memory->host;
	int partition = memory->turn;
	struct memory_lane *lane = &memory->lanes[partition];

	memory->store->script_step++;
	host->log(host->self, QB_INFO, "script step=%zu delivered=%" PRIu64 " partition=%d", memory->store->script_step,
		memory->store->n_delivered, partition);
	switch (fault) {
	case SCRIPT_LOST:
		host->condition(host->self, QB_CONNECTED, 0, false, "the script loses the connection");
		return QB_LOST;
	case SCRIPT_FATAL:
		host->condition(host->self, QB_CONNECTED, 0, false, "the script refuses to go on");
		return QB_FATAL;
	case SCRIPT_CLOSE:
		host->lane_close(host->self, lane->number);
		lane_begin(memory, partition);
		return QB_OK;
	case SCRIPT_REVOKE:
		if (!lane->is_closing) {
			lane->is_closing = true;
			host->lane_closing(host->self, lane->number);
		}
		return QB_OK;
	case SCRIPT_WEDGE:
		lane->is_wedged = true;
		host->condition(host->self, QB_WEDGED, lane->number, true, "the script makes it unreadable");
		return QB_OK;
	case SCRIPT_NONE:
		break;
	}
	return QB_OK;
}

/* Delivers what the budget, the rate and the script allow. *ret_wait_us: when to look again, -1: at a wake-up. */
static enum qb_result memory_serve(
	struct memory *memory, const struct qb_budget *budget, size_t *ret_n, int64_t *ret_wait_us)
{
	struct store *store = memory->store;
	size_t n_bytes = 0;

	*ret_n = 0;
	*ret_wait_us = -1;
	for (;;) {
		enum script_fault fault = script_due(&memory->script, store->script_step, store->n_delivered);

		if (fault != SCRIPT_NONE) {
			enum qb_result result = fault_play(memory, fault);

			if (result != QB_OK)
				return result;
			continue;
		}
		if (memory->is_draining || *ret_n >= budget->messages || n_bytes >= budget->bytes)
			return QB_OK;

		uint64_t room = rate_room(memory, clock_us(CLOCK_MONOTONIC), ret_wait_us);
		uint64_t scripted = script_room(&memory->script, store->script_step, store->n_delivered);

		room = scripted < room ? scripted : room;
		room = budget->messages - *ret_n < room ? budget->messages - *ret_n : room;
		if (!batch_deliver(memory, room, budget->bytes - n_bytes))
			return QB_OK;
		*ret_n += memory->generator.n;
		n_bytes += memory->generator.n_bytes;
	}
}

static void wake_wait(struct memory *memory, int64_t wait_us)
{
	struct pollfd wake = {.fd = memory->wake_fd, .events = POLLIN};
	struct timespec span = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
	uint64_t count;

	if (ppoll(&wake, 1, &span, NULL) > 0 && read(memory->wake_fd, &count, sizeof(count)) < 0)
		return; /* somebody read it before: nothing is lost, the caller looks again anyway */
}

static enum qb_result memory_poll(void *source, int timeout_ms, const struct qb_budget *budget)
{
	struct memory *memory = source;
	int64_t wait_us, limit_us = (int64_t)timeout_ms * 1000;
	size_t n;
	enum qb_result result = memory_serve(memory, budget, &n, &wait_us);

	if (result != QB_OK || n)
		return result;
	wake_wait(memory, wait_us >= 0 && wait_us < limit_us ? wait_us : limit_us);
	return memory_serve(memory, budget, &n, &wait_us);
}

/* ---- the rest of the contract ---- */

static void memory_settle(void *source, const struct qb_settlement *settlements, size_t n)
{
	struct memory *memory = source;
	const struct qb_host *host = memory->host;

	for (size_t i = 0; i < n; i++) {
		const struct qb_settlement *settlement = &settlements[i];
		struct memory_lane *lane = lane_find(memory, settlement->lane);

		if (!lane)
			continue;
		store_settle(&memory->store->lanes[lane - memory->lanes], settlement->receipt + 1, settlement->memo.data,
			settlement->memo.len);
		host->settled(host->self, lane->number, settlement->receipt, 0);
		if (lane->end != INT64_MAX)
			host->measure(host->self, QB_LAG, lane->number, lane->end - settlement->receipt - 1);
	}
}

static void memory_flow(void *source, uint64_t number, bool open)
{
	struct memory_lane *lane = lane_find(source, number);

	if (lane)
		lane->is_shut = !open;
}

static void memory_drain(void *source)
{
	struct memory *memory = source;

	memory->is_draining = true;
}

static void memory_lane_drained(void *source, uint64_t number)
{
	struct memory *memory = source;
	struct memory_lane *lane = lane_find(memory, number);

	if (!lane || !lane->is_closing)
		return;
	memory->host->lane_close(memory->host->self, number);
	lane_begin(memory, (int)(lane - memory->lanes));
}

static void memory_publish(void *source, const struct qb_outgoing *message, uint64_t token)
{
	struct memory *memory = source;
	const struct qb_host *host = memory->host;

	(void)message;
	if (memory->store->n_refused < memory->n_to_refuse) {
		memory->store->n_refused++;
		host->published(host->self, token, -EIO, "the memory source refuses its first publications");
		return;
	}
	memory->store->n_published++;
	host->published(host->self, token, 0, NULL);
}

static void memory_close(void *source, int timeout_ms)
{
	struct memory *memory = source;
	const struct qb_host *host = memory->host;

	(void)timeout_ms;
	host->log(host->self, QB_INFO, "memory source closes delivered=%" PRIu64 " published=%" PRIu64 " refused=%" PRIu64,
		memory->store->n_delivered, memory->store->n_published, memory->store->n_refused);
	generator_done(&memory->generator);
	close(memory->wake_fd);
	free(memory->lanes);
	free(memory);
}

static void memory_wake(void *source)
{
	const struct memory *memory = source;
	const uint64_t one = 1;

	if (write(memory->wake_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: a wake-up is pending anyway */
}

static int memory_skip(void *source, uint64_t number, int64_t receipt)
{
	struct memory *memory = source;
	struct memory_lane *lane = lane_find(memory, number);

	if (!lane || !lane->is_wedged)
		return -EBUSY;
	if (receipt < lane->cursor || receipt >= lane->end)
		return -ERANGE;
	lane->cursor = receipt + 1;
	lane->is_wedged = false;
	memory->host->condition(memory->host->self, QB_WEDGED, number, false, NULL);
	return 0;
}

extern const struct qb_plugin qbus_plugin;
__attribute__((visibility("default"))) const struct qb_plugin qbus_plugin = {
	.abi = QB_ABI,
	.size = sizeof(struct qb_plugin),
	.name = "memory",
	.traits = QB_SETTLE_PREFIX,
	.options = options,
	.n_options = sizeof(options) / sizeof(*options),
	.library = memory_library,
	.check = memory_check,
	.open = memory_open,
	.poll = memory_poll,
	.settle = memory_settle,
	.flow = memory_flow,
	.drain = memory_drain,
	.lane_drained = memory_lane_drained,
	.publish = memory_publish,
	.close = memory_close,
	.wake = memory_wake,
	.skip = memory_skip,
};
