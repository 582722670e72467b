/* SPDX-License-Identifier: MIT */
/* A pipeline at work: what its source tells, and what is told to its source. */
#include "core/board.h"
#include "core/commit.h"
#include "core/verdict.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest that a thawed pipeline waits for its source. A broker that is silent gives nothing to others either. */
enum { PIPELINE_THAW_US = 5000000 };

/* So many messages that could be delivered at once are plenty: for all workers together, and for each. What is read
 * later is younger when it is delivered, and its memory is still in the processor's cache. */
enum { PIPELINE_PLENTY = 1024, PIPELINE_PLENTY_EACH = 256 };

static bool pipeline_has(const struct pipeline *pipeline, enum qb_trait trait)
{
	return pipeline->plugin->traits & trait;
}

bool pipeline_is_on(const struct pipeline *pipeline)
{
	return !pipeline->is_held && (!pipeline->dispatcher->is_stopping || pipeline_has(pipeline, QB_FINISH_BUFFERED));
}

bool pipeline_goes_on(const struct pipeline *pipeline)
{
	return pipeline_is_on(pipeline) && !verdict_is_refused(pipeline);
}

bool pipeline_is_served(const struct pipeline *pipeline)
{
	return pipeline_goes_on(pipeline) && !pipeline->thaw_until_us;
}

bool pipeline_awaits_more(const struct pipeline *pipeline)
{
	const struct pipeline_conf *conf = pipeline->conf;
	const struct ledger *ledger = &pipeline->ledger;
	if (!pipeline_has(pipeline, QB_FINISH_BUFFERED) || pipeline->source_state != SOURCE_OPEN || pipeline->is_drained)
		return false;
	int64_t n_held = (int64_t)(pipeline->counts.received - ledger->n_released);
	int64_t bytes_held = (int64_t)(pipeline->n_batch_bytes - ledger->bytes_released);
	return !source_is_starved(conf->max_outstanding_messages - n_held, conf->max_outstanding_messages) &&
	       !source_is_starved(pipeline->limit_bytes - bytes_held, pipeline->limit_bytes);
}

void pipeline_thaw(struct pipeline *pipeline, int64_t now_us)
{
	pipeline->thaw_until_us = now_us + PIPELINE_THAW_US;
	source_confirm(pipeline->source, ++pipeline->question);
}

int64_t pipeline_unfreeze(struct pipeline *pipeline, int64_t now_us)
{
	if (!pipeline->thaw_until_us)
		return CLOCK_NEVER;
	if (pipeline->thaw_until_us > now_us)
		return pipeline->thaw_until_us;
	pipeline->thaw_until_us = 0;
	log_say(LOG_WARN, pipeline->conf->name, "goes on without knowing whether its lanes are still its own");
	return CLOCK_NEVER;
}

/* ---- towards the broker ---------------------------------------------------------------------------------------------
 */

/* One receipt to be told to a broker that wants each. */
static void pipeline_collect(struct pipeline *pipeline, uint64_t lane, int64_t receipt, enum qb_verdict verdict)
{
	if (pipeline->n_settlements == pipeline->n_settlement_slots) {
		pipeline->n_settlement_slots = pipeline->n_settlement_slots ? 2 * pipeline->n_settlement_slots : 256;
		pipeline->settlements =
			alloc_resize(pipeline->settlements, pipeline->n_settlement_slots * sizeof *pipeline->settlements);
	}
	pipeline->settlements[pipeline->n_settlements++] = (struct qb_settlement){lane, receipt, verdict, {"", 0}};
}

static void pipeline_flow(struct pipeline *pipeline, struct lane *lane, bool open)
{
	if (lane->is_shut == !open)
		return;
	lane->is_shut = !open;
	source_flow(pipeline->source, lane->number, open);
	if (!open && !pipeline->is_held)
		log_say(LOG_WARN, pipeline->conf->name,
			"lane takes no new work until its oldest message is settled source=%s partition=%d offset=%lld gap=%u",
			lane->source, lane->partition, (long long)lane->head->receipt, lane->n_entries);
}

void pipeline_settle(struct pipeline *pipeline, struct entry *entry, enum qb_verdict verdict)
{
	struct lane *lane = entry->lane;
	int64_t receipt = entry->receipt;
	uint64_t number = lane->number;
	if (!ledger_settle(&pipeline->ledger, entry))
		return;
	if (pipeline_has(pipeline, QB_SETTLE_EACH))
		pipeline_collect(pipeline, number, receipt, verdict);
	else
		commit_dirty(pipeline, lane);
	pipeline_lane_changed(pipeline, lane);
}

/* Settlements of every dirty lane, memos included. Memos live until source_settle has copied them. */
void pipeline_commit(struct pipeline *pipeline)
{
	for (struct list *link; (link = list_take(&pipeline->dirty));) {
		struct lane *lane = list_item(link, struct lane, dirty_link);
		char memo[LANE_MEMO_BYTES + 1];
		size_t len = lane_memo_write(lane, memo, commit_memo_max(pipeline, lane), &lane->n_cut);
		lane->memo_len = len;
		lane->is_dirty = false;
		lane->told = lane->position;
		lane->n_asked++;
		pipeline->counts.memo_cut += lane->n_cut;
		struct qb_settlement settlement = {lane->number, lane->position, QB_ACK, {memo, len}};
		source_settle(pipeline->source, &settlement, 1);
	}
	pipeline->commit_due_us = 0;
}

/* A lane that is given up in peace: when nothing of it runs any more, its last settlement goes out and the plugin is
 * told. */
void pipeline_lane_changed(struct pipeline *pipeline, struct lane *lane)
{
	if (lane->is_shut && !pipeline->is_held && (int64_t)lane->n_entries <= pipeline->conf->max_ack_gap / 2)
		pipeline_flow(pipeline, lane, true);
	if (lane->state != LANE_CLOSING || lane->n_running || lane->is_drained)
		return;
	lane->is_drained = true;
	pipeline_commit(pipeline);
	source_lane_drained(pipeline->source, lane->number);
}

/* Lanes that were shut for their gap open with it again when it has closed. */
void pipeline_hold(struct pipeline *pipeline, bool on)
{
	pipeline->is_held = on;
	list_each_safe(pos, after, &pipeline->lanes)
	{
		struct lane *lane = list_item(pos, struct lane, link);
		if (on)
			pipeline_flow(pipeline, lane, false);
		else
			pipeline_lane_changed(pipeline, lane);
	}
}

/* Half of plenty makes it hungry again, so that it wakes for many messages. */
static void pipeline_sate(struct pipeline *pipeline)
{
	size_t plenty = PIPELINE_PLENTY + PIPELINE_PLENTY_EACH * crew_count(pipeline);
	size_t n_ready = pipeline->n_closing ? 0 : pipeline->ledger.n_in[ENTRY_READY];
	if (n_ready >= plenty)
		source_sate(pipeline->source, true);
	else if (n_ready <= plenty / 2)
		source_sate(pipeline->source, false);
}

void pipeline_flush(struct pipeline *pipeline, int64_t now_us)
{
	if (pipeline->n_settlements) {
		source_settle(pipeline->source, pipeline->settlements, pipeline->n_settlements);
		pipeline->n_settlements = 0;
	}
	if (list_is_empty(&pipeline->dirty)) { /* a lane that was lost takes along what it had to commit */
		pipeline->commit_due_us = 0;
	} else {
		if (!pipeline->commit_due_us)
			pipeline->commit_due_us = now_us + pipeline->conf->commit_interval_us;
		if (pipeline->commit_due_us <= now_us)
			pipeline_commit(pipeline);
	}
	source_released(pipeline->source, pipeline->ledger.n_released, pipeline->ledger.bytes_released);
	pipeline_sate(pipeline);
}

int64_t pipeline_watch_failures(struct pipeline *pipeline, int64_t now_us)
{
	struct breaker *breaker = &pipeline->breaker;
	uint64_t n_good = pipeline->counts.acked + pipeline->n_judged - pipeline->n_good_seen;
	uint64_t n_failed = pipeline->n_failed - pipeline->n_failed_seen;
	enum breaker_state before = breaker->state;
	pipeline->n_good_seen += n_good;
	pipeline->n_failed_seen += n_failed;
	breaker_record(breaker, n_good, n_failed, now_us);
	int64_t due_us = breaker_tick(breaker, now_us);
	if (breaker->state != before)
		log_say(breaker->state == BREAKER_OPEN ? LOG_WARN : LOG_INFO, pipeline->conf->name,
			"circuit breaker is %s, it was %s", breaker_state_name(breaker->state), breaker_state_name(before));
	return due_us;
}

void pipeline_free(struct pipeline *pipeline)
{
	list_each_safe(pos, after, &pipeline->lanes)
		ledger_lane_close(&pipeline->ledger, list_item(pos, struct lane, link));
	source_free(pipeline->source);
	ledger_done(&pipeline->ledger);
	free(pipeline->settlements);
	free(pipeline->servers);
	free(pipeline->absent);
	free(pipeline->cancelled);
	free(pipeline->missing);
	free(pipeline);
}

/* ---- from the broker ------------------------------------------------------------------------------------------------
 */

static void pipeline_on_lane_open(void *ctx, struct lane *lane, const char *memo, size_t memo_len)
{
	struct pipeline *pipeline = ctx;
	list_add_tail(&pipeline->lanes, &lane->link);
	int status = memo_len ? lane_memo_read(lane, memo, memo_len) : 0;
	if (status < 0)
		log_say(LOG_WARN, pipeline->conf->name,
			"commit metadata was written %s and is left alone source=%s partition=%d",
			status == -ESTALE ? "for another offset" : "by something else", lane->source, lane->partition);
	log_say(LOG_INFO, pipeline->conf->name, "lane opens source=%s partition=%d after=%lld skips=%zu", lane->source,
		lane->partition, (long long)lane->position, lane->n_skips);
	if (pipeline->is_held)
		pipeline_flow(pipeline, lane, false);
}

static void pipeline_on_lane_closing(void *ctx, struct lane *lane)
{
	struct pipeline *pipeline = ctx;
	pipeline->n_closing += lane->state == LANE_OPEN;
	lane->state = LANE_CLOSING;
	pipeline_lane_changed(pipeline, lane);
}

/* A stop that ends so has not ended clean. */
static void pipeline_unproven(struct pipeline *pipeline, int64_t n)
{
	bool is_last = pipeline->dispatcher->is_stopping;
	if (is_last)
		pipeline->counts.unproven += (uint64_t)n;
	log_say(is_last ? LOG_WARN : LOG_INFO, pipeline->conf->name,
		"broker has not shown that it has what was handled last, at most so much may come again messages=%lld",
		(long long)n);
}

/* What they do cannot be settled any more, so this is no clean end either, whether they end in time or not. */
static void pipeline_left_running(struct pipeline *pipeline, uint32_t n)
{
	pipeline->counts.unproven += n;
	log_say(
		LOG_WARN, pipeline->conf->name, "lane closes while handlers run, what they handle comes again messages=%u", n);
}

static void pipeline_on_lane_close(void *ctx, struct lane *lane)
{
	struct pipeline *pipeline = ctx;
	log_say(LOG_INFO, pipeline->conf->name, "lane closes source=%s partition=%d settled=%lld void=%u", lane->source,
		lane->partition, (long long)lane->position, lane->n_entries - lane->n_above);
	bool is_last = pipeline->dispatcher->is_stopping;
	uint64_t n_unproven = pipeline_has(pipeline, QB_SETTLE_PREFIX) ? lane_unproven(lane) : 0;
	if (is_last && n_unproven)
		pipeline_unproven(pipeline, (int64_t)n_unproven);
	if (is_last && lane->n_running)
		pipeline_left_running(pipeline, lane->n_running);
	pipeline->n_closing -= lane->state == LANE_CLOSING;
	ledger_lane_close(&pipeline->ledger, lane);
}

static void pipeline_on_batch(void *ctx, struct msg_batch *batch)
{
	struct pipeline *pipeline = ctx;
	struct ledger *ledger = &pipeline->ledger;
	int64_t now_us = pipeline->dispatcher->now_us;
	batch->released = &ledger->bytes_released;
	pipeline->n_batch_bytes += batch->size;
	pipeline->counts.received += batch->n_items;
	for (uint32_t i = 0; i < batch->n_items; i++) {
		const struct msg_item *item = &batch->items[i];
		struct lane *lane = item->lane;
		pipeline->counts.redelivered += item->deliveries > 0;
		if (lane->n_skips && lane_is_skipped(lane, item->receipt)) {
			pipeline->counts.skipped++;
			if (ledger_skip(ledger, item)) /* else the broker's memo tells it already */
				commit_dirty(pipeline, lane);
			continue;
		}
		ledger_admit(ledger, batch, item, now_us);
		if ((int64_t)lane->n_entries > pipeline->conf->max_ack_gap)
			pipeline_flow(pipeline, lane, false);
	}
	msg_batch_unref(batch);
}

static void pipeline_on_kept(void *ctx, struct lane *lane, int64_t receipt, int status)
{
	commit_kept(ctx, lane, receipt, status);
}

/* What the lane was wedged at, or what is no message, takes its place as something settled, so that the position passes
 * it in its turn. */
static void pipeline_on_skipped(void *ctx, struct lane *lane, int64_t receipt, int status)
{
	struct pipeline *pipeline = ctx;
	if (status < 0 || receipt <= lane->newest) {
		const char *why = status == -ERANGE                ? "the broker has no message there"
		                  : status < 0 && status != -EBUSY ? strerror(-status)
		                                                   : "it can be read";
		log_say(LOG_ERROR, pipeline->conf->name, "lane is not skipped source=%s partition=%d to=%lld: %s", lane->source,
			lane->partition, (long long)receipt, why);
		return;
	}
	const struct msg_item item = {.lane = lane, .receipt = receipt};
	if (status != SOURCE_PASSED)
		log_say(LOG_WARN, pipeline->conf->name,
			"lane goes on behind what was given up source=%s partition=%d behind=%lld", lane->source, lane->partition,
			(long long)receipt);
	ledger_skip(&pipeline->ledger, &item);
	commit_dirty(pipeline, lane);
	pipeline_lane_changed(pipeline, lane);
}

static void pipeline_on_published(void *ctx, uint64_t token, int status, const char *reason)
{
	struct pipeline *pipeline = ctx;
	verdict_published(pipeline, token, status, reason, pipeline->dispatcher->now_us);
}

static void pipeline_keep_text(char **text, bool on, const char *reason)
{
	free(*text);
	*text = on ? alloc_string(reason ? reason : "", reason ? strlen(reason) : 0) : NULL;
}

static void pipeline_on_condition(void *ctx, enum qb_condition what, struct lane *lane, bool on, const char *reason)
{
	static const char *const sentences[][2] = {
		[QB_CONNECTED] = {"broker is not connected", "broker is connected"},
		[QB_BLOCKED] = {"broker takes publications again", "broker blocks publications"},
		[QB_CANCELLED] = {"broker delivers again", "broker ended the consumer"},
		[QB_WEDGED] = {"lane can be read again", "lane cannot be read"},
		[QB_TARGET_MISSING] = {"dead-letter target is there", "dead-letter target is missing"},
	};
	struct pipeline *pipeline = ctx;
	if (what == QB_CONNECTED) {
		pipeline->counts.connects += on && !pipeline->is_connected;
		pipeline->is_connected = on;
		pipeline_keep_text(&pipeline->absent, !on, reason);
	}
	if (what == QB_BLOCKED)
		pipeline->is_blocked = on;
	pipeline->counts.cancels += what == QB_CANCELLED && on;
	if (!lane && what == QB_CANCELLED)
		pipeline_keep_text(&pipeline->cancelled, on, reason);
	if (what == QB_TARGET_MISSING)
		pipeline_keep_text(&pipeline->missing, on, reason);
	if (what == QB_TARGET_MISSING && !on)
		verdict_hurry(pipeline);
	if (lane && (what == QB_CANCELLED || what == QB_WEDGED))
		pipeline_keep_text(&lane->trouble, on, reason);
	if (lane && what == QB_CANCELLED)
		lane->is_cancelled = on;
	if (lane && what == QB_WEDGED)
		lane->is_wedged = on;
	bool is_good = on == (what == QB_CONNECTED);
	enum log_level level = is_good ? LOG_INFO : LOG_WARN;
	const struct log_fact source = log_word("source", lane ? lane->source : NULL);
	char sentence[1200]; /* a reason has 1,024 at most */
	snprintf(sentence, sizeof sentence, "%s%s%s", sentences[what][on], reason ? ": " : "", reason ? reason : "");
	log_tell(level, pipeline->conf->name, sentence, &source, 1);
}

static void pipeline_on_measure(void *ctx, enum qb_measure what, struct lane *lane, int64_t value)
{
	struct pipeline *pipeline = ctx;
	if (what == QB_LAG && lane)
		lane->lag = value;
	else if (what == QB_QUEUE_BYTES)
		pipeline->queue_bytes = value;
	else if (what == QB_QUEUE_LIMIT)
		pipeline->queue_limit_bytes = value;
	else if (what == QB_UNPROVEN)
		pipeline_unproven(pipeline, value);
	else if (what == QB_REBALANCES)
		pipeline->counts.rebalances = (uint64_t)value;
	else if (what == QB_OVERSIZE || what == QB_UNREADABLE) {
		pipeline->counts.received += (uint64_t)value;
		pipeline->counts.rejected += (uint64_t)value;
		pipeline->counts.rejected_by[what == QB_OVERSIZE ? REASON_OVERSIZE : REASON_UNREADABLE] += (uint64_t)value;
	}
}

static void pipeline_on_state(void *ctx, enum source_state state)
{
	struct pipeline *pipeline = ctx;
	pipeline->source_state = state;
	if (state != SOURCE_OPEN)
		pipeline->queue_bytes = pipeline->queue_limit_bytes = 0;
	pipeline->is_drained = false;
	if (state == SOURCE_OPENING) {
		pipeline_keep_text(&pipeline->cancelled, false, NULL);
		pipeline_keep_text(&pipeline->missing, false, NULL);
	}
	log_say(LOG_DEBUG, pipeline->conf->name, "source is %s", source_state_name(state));
}

static void pipeline_on_drained(void *ctx)
{
	struct pipeline *pipeline = ctx;
	pipeline->is_drained = true;
}

static void pipeline_on_confirmed(void *ctx, uint64_t question)
{
	struct pipeline *pipeline = ctx;
	if (question != pipeline->question || !pipeline->thaw_until_us)
		return;
	pipeline->thaw_until_us = 0;
	log_say(LOG_INFO, pipeline->conf->name, "goes on, its lanes are confirmed");
}

static const struct source_sink sink = {
	.lane_open = pipeline_on_lane_open,
	.lane_closing = pipeline_on_lane_closing,
	.lane_close = pipeline_on_lane_close,
	.batch = pipeline_on_batch,
	.kept = pipeline_on_kept,
	.skipped = pipeline_on_skipped,
	.published = pipeline_on_published,
	.condition = pipeline_on_condition,
	.measure = pipeline_on_measure,
	.state = pipeline_on_state,
	.drained = pipeline_on_drained,
	.confirmed = pipeline_on_confirmed,
};

const struct source_sink *pipeline_sink(void)
{
	return &sink;
}

/* ---- for others to look at ------------------------------------------------------------------------------------------
 */

const struct pipeline_conf *pipeline_conf(const struct pipeline *pipeline)
{
	return pipeline->conf;
}

const char *pipeline_kind(const struct pipeline *pipeline)
{
	return pipeline->plugin->name;
}

struct source *pipeline_source(const struct pipeline *pipeline)
{
	return pipeline->source;
}

void pipeline_count(const struct pipeline *pipeline, struct pipeline_counts *ret_counts)
{
	const struct ledger *ledger = &pipeline->ledger;
	*ret_counts = pipeline->counts;
	ret_counts->buffered = ledger->n_in[ENTRY_READY] + ledger->n_in[ENTRY_BEHIND];
	ret_counts->in_flight = ledger->n_in[ENTRY_RESERVED];
	ret_counts->waiting = ledger->n_in[ENTRY_WAITING];
	ret_counts->parked = ledger->n_in[ENTRY_PARKED];
	ret_counts->orphans = ledger->n_in[ENTRY_ORPHAN];
	ret_counts->buffered_bytes = pipeline->n_batch_bytes - ledger->bytes_released;
	ret_counts->queue_bytes = (size_t)pipeline->queue_bytes;
	ret_counts->queue_limit_bytes = (size_t)pipeline->queue_limit_bytes;
	ret_counts->is_connected = pipeline->is_connected;
	list_each(pos, &pipeline->lanes)
	{
		const struct lane *lane = list_item(pos, struct lane, link);
		ret_counts->lanes++;
		ret_counts->wedged += lane->is_wedged;
		ret_counts->lag += lane->lag > 0 ? lane->lag : 0;
		if (!pipeline_has(pipeline, QB_SETTLE_EACH))
			ret_counts->acked_uncommitted += (size_t)(lane->position - lane->kept) + lane->n_above;
	}
}
