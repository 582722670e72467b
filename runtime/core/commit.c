/* SPDX-License-Identifier: MIT */
/* What became of a settlement at a broker that keeps positions.
 *
 * A broker may keep shorter memos than ours (Kafka's offset.metadata.max.bytes) and does not say how long they may be:
 * the longest that it kept and the shortest that it refused close in on it. An operator may raise the limit while we
 * run, so now and then one memo may have twice the length that was refused: a refusal costs one commit its memo. */
#include "core/commit.h"
#include "core/board.h"

#include "base/log.h"

#include <errno.h>

void commit_dirty(struct pipeline *pipeline, struct lane *lane)
{
	if (lane->is_dirty)
		return;
	lane->is_dirty = true;
	list_add_tail(&pipeline->dirty, &lane->dirty_link);
}

size_t commit_memo_max(struct pipeline *pipeline, const struct lane *lane)
{
	int64_t now_us = pipeline->dispatcher->now_us;
	size_t twice = 2 * pipeline->memo_refused_len;
	if (!pipeline->memo_refused_len)
		return LANE_MEMO_BYTES;
	if (!lane->n_cut || now_us < pipeline->memo_again_us)
		return (pipeline->memo_kept_len + pipeline->memo_refused_len) / 2;
	pipeline->memo_again_us = now_us + COMMIT_AGAIN_US;
	return twice < LANE_MEMO_BYTES ? twice : LANE_MEMO_BYTES;
}

static void commit_memo_refused(struct pipeline *pipeline, struct lane *lane)
{
	if (!pipeline->memo_refused_len || lane->memo_len < pipeline->memo_refused_len)
		pipeline->memo_refused_len = lane->memo_len;
	if (pipeline->memo_kept_len >= pipeline->memo_refused_len) /* it did keep longer ones */
		pipeline->memo_kept_len = 0;
	pipeline->memo_again_us = pipeline->dispatcher->now_us + COMMIT_AGAIN_US;
	commit_dirty(pipeline, lane);
}

static void commit_memo_kept(struct pipeline *pipeline, const struct lane *lane)
{
	if (lane->memo_len > pipeline->memo_kept_len)
		pipeline->memo_kept_len = lane->memo_len;
	if (pipeline->memo_kept_len >= pipeline->memo_refused_len) { /* what refused that is another broker now */
		pipeline->memo_refused_len = 0;
		pipeline->is_memo_told = false;
	}
	if (!pipeline->memo_refused_len || !lane->n_cut || pipeline->is_memo_told)
		return;
	pipeline->is_memo_told = true;
	log_say(LOG_WARN, pipeline->conf->name,
		"broker keeps less commit metadata than is needed (Kafka: offset.metadata.max.bytes), what is acked above an "
		"unfinished message and does not fit would come again after a restart kept=%zu refused=%zu messages=%zu "
		"source=%s partition=%d",
		pipeline->memo_kept_len, pipeline->memo_refused_len, lane->n_cut, lane->source, lane->partition);
}

void commit_kept(struct pipeline *pipeline, struct lane *lane, int64_t receipt, int status)
{
	lane->n_asked -= lane->n_asked > 0; /* 0 where each message is settled by itself: those are not counted */
	if (status < 0 && status != -EMSGSIZE) {
		pipeline->counts.commit_errors++;
		commit_dirty(pipeline, lane); /* and with it the next commit tries again */
		return;
	}
	if (receipt > lane->kept && receipt <= lane->told)
		lane->kept = receipt;
	if (lane->n_asked) /* a newer memo is on its way, and its outcome counts */
		return;
	if (status == -EMSGSIZE)
		commit_memo_refused(pipeline, lane);
	else
		commit_memo_kept(pipeline, lane);
}
