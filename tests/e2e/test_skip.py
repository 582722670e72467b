# SPDX-License-Identifier: MIT
"""A partition of a real Kafka that cannot be read goes on where an operator says, and nowhere else."""
import ctypes
import json

import confluent_kafka
import pytest

from process import wait_until
from proxy import EXIT_CLEAN, EXIT_ERROR, kafka_config, merge, run


def delete_records(kafka, topic, before):
    """The broker forgets what stands before this offset of partition 0; confluent_kafka has no call for it."""
    library = ctypes.CDLL("librdkafka.so.1")
    for name in ("conf_new", "new", "queue_new", "topic_partition_list_new", "topic_partition_list_add",
                 "DeleteRecords_new", "queue_poll", "event_DeleteRecords_result", "DeleteRecords_result_offsets"):
        getattr(library, f"rd_kafka_{name}").restype = ctypes.c_void_p
    pointer, error = ctypes.c_void_p, ctypes.create_string_buffer(512)
    conf = pointer(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(conf, b"bootstrap.servers", kafka.bootstrap.encode(), error, 512)
    client = pointer(library.rd_kafka_new(0, conf, error, ctypes.c_size_t(512)))
    queue = pointer(library.rd_kafka_queue_new(client))
    offsets = pointer(library.rd_kafka_topic_partition_list_new(1))
    library.rd_kafka_topic_partition_list_add(offsets, topic.encode(), 0)
    assert library.rd_kafka_topic_partition_list_set_offset(offsets, topic.encode(), 0, ctypes.c_int64(before)) == 0
    wish = (pointer * 1)(library.rd_kafka_DeleteRecords_new(offsets))
    library.rd_kafka_DeleteRecords(client, wish, ctypes.c_size_t(1), None, queue)
    event = pointer(library.rd_kafka_queue_poll(queue, 60000))
    assert event.value and library.rd_kafka_event_error(event) == 0
    for call, thing in (("event_destroy", event), ("DeleteRecords_destroy", pointer(wish[0])),
                        ("topic_partition_list_destroy", offsets), ("queue_destroy", queue), ("destroy", client)):
        getattr(library, f"rd_kafka_{call}")(thing)


def wedge_by_retention(kafka, topic, group, committed, low):
    """The group has committed an offset that the partition has not any more."""
    consumer = kafka.consumer(group)
    consumer.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, committed), confluent_kafka.TopicPartition(topic, 1, 0)],
                    asynchronous=False)
    delete_records(kafka, topic, low)
    assert consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, 0), timeout=60)[0] == low
    consumer.close()


@pytest.mark.parametrize("assignment", ["range", "cooperative-sticky"])
def test_what_retention_has_taken_is_skipped_and_the_rest_is_read(kafka, serve, tmp_path, ledger, fresh, assignment):
    topic = kafka.create_topic(fresh, 2)
    kafka.produce(topic, 200)
    end = kafka.ends(topic)
    wedge_by_retention(kafka, topic, f"{topic}-php", 10, 40)
    base = kafka_config(tmp_path, kafka, topic, ledger, group=f"{topic}-php", workers=1)
    base["pipelines"]["orders"]["source"] |= {"start": "error", "assignment": assignment}
    proxy = serve(merge(base, {"admin": {"socket": f"{tmp_path}/admin.sock"}}))

    def wedged():
        reasons = json.loads(run("status", "--json", "-c", proxy.file).stdout)["reasons"]
        return {(r["partition"], r["offset"]) for r in reasons if r["reason"] == "lane wedged"}
    wait_until(lambda: wedged() == {(0, 10)}, 60, "the lane is wedged")
    wait_until(lambda: ledger.count() == end[1], 60, "the other partition is read")
    skip = ["pipelines", "skip", "orders", "-c", proxy.file, "--source", topic, "--partition", "0", "--offset"]
    assert run(*skip, "9").returncode == EXIT_ERROR
    assert run(*skip, end[0]).returncode == EXIT_ERROR  # one beyond the last
    proxy.wait_log(f"lane is not skipped .* to={end[0]}: the broker has no message there")
    assert ledger.count() == end[1] and wedged() == {(0, 10)}
    done = run(*skip, "39")
    assert done.returncode == EXIT_CLEAN, (done, proxy.process.tail())
    wait_until(lambda: ledger.count() >= end[1] + end[0] - 40, 60, f"what is left is handled\n{proxy.process.tail()}")
    kafka.produce(topic, 100)  # both go on
    ends = kafka.ends(topic)
    wait_until(lambda: ledger.count() >= ends[1] + ends[0] - 40, 60, f"what is new is handled\n{proxy.process.tail()}")
    assert sorted((row.partition, row.offset) for row in ledger.read()) == [
        *((0, offset) for offset in range(40, ends[0])), *((1, offset) for offset in range(ends[1]))]
    assert wedged() == set()
    assert proxy.stop() == EXIT_CLEAN
    assert kafka.committed(f"{topic}-php", topic) == ends
