# SPDX-License-Identifier: MIT
"""Where a group stands in a partition of a real Kafka: behind the marks of transactions, and at the first message of a
partition that came while it ran."""
import json
import signal

import confluent_kafka
import pytest
from confluent_kafka.admin import NewPartitions

from process import wait_until
from proxy import EXIT_CLEAN, kafka_config, merge, run


def transactions(kafka, name):
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": name, "log_level": 0})
    producer.init_transactions(60)
    return producer


def send(producer, topic, ids, commit=True):
    """One transaction."""
    producer.begin_transaction()
    for number in ids:
        producer.produce(topic, json.dumps({"id": number}), partition=0)
    producer.flush(60)
    (producer.commit_transaction if commit else producer.abort_transaction)(60)


def lag(proxy):
    return json.loads(run("status", "--json", "-c", proxy.file).stdout)["pipelines"][0]["lag"]


def wait_end(kafka, group, topic):
    wait_until(lambda: kafka.committed(group, topic) == kafka.ends(topic), 60, "the end of the partition is committed")


@pytest.mark.parametrize("begin", ["earliest", "latest"])
def test_the_position_passes_what_transactions_leave_behind_the_last_message(kafka, fresh, serve, tmp_path, ledger, begin):
    topic, group = kafka.create_topic(fresh, 1), f"{fresh}-php"
    base = kafka_config(tmp_path, kafka, topic, ledger, group=group, workers=2, handler=["last=20"])
    base["pipelines"]["orders"] |= {"commit_interval": "100ms", "credit": 1, "ordering": "none"}
    base["pipelines"]["orders"]["source"]["start"] = begin
    proxy = serve(merge(base, {"admin": {"socket": f"{tmp_path}/admin.sock"}})).wait_workers(2)
    proxy.wait_log("lane opens")
    producer = transactions(kafka, fresh)
    send(producer, topic, range(1, 21))
    send(producer, topic, range(101, 121), commit=False)
    assert kafka.ends(topic) == {0: 42}  # 40 messages and two marks
    wait_end(kafka, group, topic)
    assert ledger.unique() == 20
    wait_until(lambda: lag(proxy) == 0, 30, "no lag is told")
    send(producer, topic, [21])  # its handler waits, and nothing passes it
    send(producer, topic, [22], commit=False)
    send(producer, topic, range(2, 12))
    wait_until(lambda: ledger.count() == 30, 60, "what comes above it is handled")
    assert kafka.committed(group, topic) == {0: 42}
    proxy.kill()
    kafka.forget(group)
    proxy.start()
    ledger.path.with_name(ledger.path.name + ".gate").touch()
    wait_end(kafka, group, topic)
    report = ledger.report(range(1, 22))
    assert not report.lost and not report.unexpected and ledger.unique() == 21, report
    assert proxy.stop() == EXIT_CLEAN


def test_a_partition_that_comes_while_the_group_runs_is_read_from_its_first_message(kafka, fresh, serve, tmp_path, ledger):
    topic, group = kafka.create_topic(fresh, 1), f"{fresh}-php"
    kafka.produce(topic, 10)  # from before the group
    base = kafka_config(tmp_path, kafka, topic, ledger, group=group, workers=2)
    base["pipelines"]["orders"]["source"]["start"] = "latest"
    proxy = serve(base)
    wait_until(lambda: kafka.committed(group, topic) == {0: 10}, 60, "the group has begun at the end")
    proxy.process.send(signal.SIGSTOP)  # it cannot notice the partition before that has messages
    admin = kafka.admin()
    for future in admin.create_partitions([NewPartitions(topic, 2)]).values():
        future.result(30)
    wait_until(lambda: kafka.partitions(topic) == [0, 1], 60, "there is another partition")
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for number in range(1, 51):
        producer.produce(topic, json.dumps({"id": number}), partition=1)
    assert not producer.flush(60)
    proxy.process.send(signal.SIGCONT)
    wait_until(lambda: ledger.count() == 50, 60, "all of them are handled, and without a wish in the configuration soon")
    assert {(row.partition, row.offset) for row in ledger.read()} == {(1, offset) for offset in range(50)}
    assert proxy.stop() == EXIT_CLEAN
    assert kafka.committed(group, topic) == kafka.ends(topic)


@pytest.mark.parametrize("sign", ["commit is refused .*UNKNOWN_TOPIC", "broker ended the consumer"])
def test_what_was_read_of_a_deleted_topic_moves_nothing_in_its_successor(kafka, fresh, serve, tmp_path, ledger, sign):
    topic, group = kafka.create_topic(fresh, 1), f"{fresh}-php"
    base = kafka_config(tmp_path, kafka, topic, ledger, group=group, workers=2, handler=["last=40"])
    base["pipelines"]["orders"] |= {"commit_interval": "100ms", "credit": 1, "ordering": "none"}
    if "commit" not in sign:
        base["brokers"]["b"]["properties"]["topic.metadata.refresh.interval.ms"] = 500
    proxy = serve(base)
    kafka.produce(topic, 42)
    wait_until(lambda: ledger.count() == 40 and kafka.committed(group, topic) == {0: 40}, 60, "two handlers are left")
    admin, gate = kafka.admin(), ledger.path.with_name(ledger.path.name + ".gate")
    for future in admin.delete_topics([topic]).values():
        future.result(30)
    if "commit" in sign:
        gate.touch()
    proxy.wait_log(sign)
    kafka.create_topic(topic, 1)
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for number in range(101, 301):
        producer.produce(topic, json.dumps({"id": number}), partition=0)
    assert not producer.flush(60)
    gate.touch()
    wanted = {*range(1, 43), *range(101, 301)}
    wait_until(lambda: ledger.unique() == len(wanted), 90, f"all of both topics are handled\n{proxy.process.tail()}")
    report = ledger.report(wanted)
    assert not report.lost and not report.duplicates, report
    assert {row.offset for row in ledger.read() if row.id > 100} == set(range(200))
    assert proxy.stop() == EXIT_CLEAN
    assert kafka.committed(group, topic) == {0: 200}


def test_a_deleted_topic_takes_nothing_of_others_with_it_whatever_their_names(kafka, fresh, serve, tmp_path, ledger):
    """The library tells which one it was in a sentence that has the words Broker and available, too."""
    others = [kafka.create_topic(name, 1) for name in ("Broker", "available")]
    kafka.create_topic(fresh, 1)
    base = kafka_config(tmp_path, kafka, fresh, ledger, group=f"{fresh}-php", workers=2)
    base["pipelines"]["orders"]["source"]["topics"] += others
    base["pipelines"]["orders"]["commit_interval"] = "10m"
    base["brokers"]["b"]["properties"]["topic.metadata.refresh.interval.ms"] = 500
    proxy = serve(base)
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    admin = kafka.admin()

    def handle(ids):
        for number in ids:
            producer.produce(others[number % 2], json.dumps({"id": number}), partition=0)
        assert not producer.flush(60)
        wait_until(lambda: ledger.unique() == max(ids), 60, "all of the others are handled")
    try:
        handle(range(1, 41))
        for future in admin.delete_topics([fresh]).values():
            future.result(30)
        proxy.wait_log("(?s)broker ended the consumer.*partitions are assigned")
        handle(range(41, 43))
        if "partitions are lost" not in proxy.text():   # newer libraries take them away without a last commit
            assert not ledger.report(range(1, 43)).duplicates
        assert proxy.stop() == EXIT_CLEAN
    finally:
        for future in admin.delete_topics(others).values():
            future.result(30)
