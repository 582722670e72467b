/* SPDX-License-Identifier: MIT */
/* Seeks behind the offset. A partition whose offset is out of range is one that the library has stopped and cannot seek
 * in: it is assigned anew, with all others where the protocol knows no single ones; each goes on where it is.
 *
 * An offset beyond the end of the partition is a slip of the pen: nobody may jump over what is still to be written. */
#include "skip.h"

#include <errno.h>
#include <string.h>

#include "consumer.h"

#define SKIP_MS 3000

static rd_kafka_resp_err_t take_code(rd_kafka_error_t *error)
{
	rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;

	if (error)
		rd_kafka_error_destroy(error);
	return code;
}

static void list_add(const struct consumer *consumer, rd_kafka_topic_partition_list_t *list, const struct lane *lane)
{
	int64_t begin = strcmp(options_text(consumer->conf, OPTION_START), "error") ? RD_KAFKA_OFFSET_BEGINNING
	                                                                            : RD_KAFKA_OFFSET_STORED;

	rd_kafka_topic_partition_list_add(list, lane->topic, lane->partition)->offset =
		lane->next >= 0 ? lane->next : begin;
}

static rd_kafka_resp_err_t lane_seek(struct consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_resp_err_t error = take_code(rd_kafka_seek_partitions(consumer->rk, list, SKIP_MS));

	return error ? error : list->elems[0].err;
}

static rd_kafka_resp_err_t assign_anew(struct consumer *consumer, rd_kafka_topic_partition_list_t *list)
{
	const struct lanes *lanes = &consumer->lanes;

	if (!strcmp(rd_kafka_rebalance_protocol(consumer->rk), "COOPERATIVE")) {
		rd_kafka_resp_err_t error = take_code(rd_kafka_incremental_unassign(consumer->rk, list));

		return error ? error : take_code(rd_kafka_incremental_assign(consumer->rk, list));
	}
	for (size_t i = 0; i < lanes->n; i++)
		if (!rd_kafka_topic_partition_list_find(list, lanes->sorted[i]->topic, lanes->sorted[i]->partition))
			list_add(consumer, list, lanes->sorted[i]);
	return rd_kafka_assign(consumer->rk, list);
}

/* The partition goes on at lane->next. */
static int lane_move(struct consumer *consumer, const struct lane *lane)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t error;

	list_add(consumer, list, lane);
	error = lane_seek(consumer, list);
	if (error == RD_KAFKA_RESP_ERR__STATE)
		error = assign_anew(consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (!error)
		return 0;
	consumer->host->log(consumer->host->self, QB_ERROR, "%s[%d] does not go to offset %lld: %s", lane->topic,
		(int)lane->partition, (long long)lane->next, rd_kafka_err2str(error));
	return -EIO;
}

int skip_lane(void *source, uint64_t id, int64_t receipt)
{
	struct consumer *consumer = source;
	struct lane *lane = lanes_find(&consumer->lanes, id);
	int64_t low, high, before;
	int status;

	if (!lane || !lane->wedge.reason)
		return -EBUSY;
	if (consumer->rebalance.state != REBALANCE_NONE)
		return -EAGAIN;
	if (rd_kafka_query_watermark_offsets(consumer->rk, lane->topic, lane->partition, &low, &high, SKIP_MS))
		return -ETIMEDOUT;
	if (receipt < lane->next || receipt >= high)
		return -ERANGE;
	before = lane->next;
	lane->next = receipt + 1;
	status = lane_move(consumer, lane);
	if (status < 0)
		lane->next = before;
	else
		fault_lane_healed(consumer, lane);
	return status;
}
