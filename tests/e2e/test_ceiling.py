# SPDX-License-Identifier: MIT
"""Many partitions of messages that are larger than a fetch: the process stays below what is printed of it, which is near."""
import http.client
import pathlib
import re

import confluent_kafka

from brokers import bench
from process import SANITIZED, wait_until
from proxy import EXIT_CLEAN, kafka_config, merge, open_gate, run
from test_admin import fetch, metric

PARTITIONS, EACH, SIZE = 40, 2, 2_000_000
MIB = 1 << 20
SMALL = {"max_bytes": "1MiB", "max_partition_bytes": "64KiB", "queue_bytes": "64KiB"}
# What check-config names beside: a message and the minima of the pipeline, what was freed and not given back, the program.
BESIDE = (2 + 2 + 16 + 10) * MIB


def fill(kafka, topic):
    """So many in each partition, of that size."""
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, "message.max.bytes": 2 * SIZE,
                                         "queue.buffering.max.kbytes": 2 * PARTITIONS * EACH * SIZE // 1024, "log_level": 0})
    failed = []
    for number in range(PARTITIONS * EACH):
        order = f'{{"id": {number + 1}, "pad": "'
        producer.produce(topic, order + "." * (SIZE - len(order) - 2) + '"}', partition=number % PARTITIONS,
                         on_delivery=lambda error, _: error and failed.append(error))
    assert not producer.flush(120) and not failed, failed[:1]


def printed(file):
    """Bytes that librdkafka may hold, of partitions and sizes as here."""
    told = bench("tune", "--explain", "-c", file, "--partitions", PARTITIONS, "--size", SIZE)
    return int(re.search(rf"a broker: (\d+) MiB of {PARTITIONS}\s", told)[1]) * MIB


def peak(proxy):
    """Most that was ever resident of the proxy alone."""
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{proxy.process.pid}/status").read_text())[1]) * 1024


def test_large_messages_of_many_partitions_stay_below_what_is_printed(kafka, fresh, ledger, serve, tmp_path):
    kafka.create_topic(fresh, PARTITIONS)
    fill(kafka, fresh)
    options = {"admin": {"listen": "127.0.0.1:0"}, "memory": {"max_bytes": 64 * MIB},
               "pipelines": {"orders": {"fetch": SMALL, "credit": 1}}}
    proxy = serve(merge(kafka_config(tmp_path, kafka, fresh, ledger, workers=1, handler=["last=0"]), options))
    port = int(proxy.wait_log(r"shows metrics and health address=127\.0\.0\.1:(\d+)")[1])
    proxy.page = lambda page: fetch(http.client.HTTPConnection("127.0.0.1", port, timeout=60), page)

    # Every partition has one there, but for the few that the worker and the pipeline hold: fetches of 64 KiB.
    wait_until(lambda: metric(proxy, "qbus_library_queue_bytes") > 0.9 * PARTITIONS * SIZE, 120, "the queues are full")
    ceiling, limit = printed(proxy.file), metric(proxy, "qbus_library_queue_limit_bytes")
    assert abs(limit - ceiling) <= 2 * MIB, "the running proxy tells the same"
    found = re.findall(r"does not fit memory\.max_bytes.*? bytes=(\d+)", proxy.text())
    assert found and abs(int(found[-1]) - limit) <= 2 * MIB, "the log warns of it"
    open_gate(ledger)
    wait_until(lambda: ledger.unique() == PARTITIONS * EACH, 120, "all are handled")
    print(f"peak={peak(proxy) // MIB} limit={limit // MIB:.0f} printed={ceiling // MIB} MiB")
    assert 0.9 * PARTITIONS * SIZE < peak(proxy)
    assert SANITIZED or peak(proxy) < ceiling + BESIDE     # sanitizers take memory of their own
    assert proxy.stop() == EXIT_CLEAN
    assert f"{2 * 64}KiB a partition" in run("check-config", "-c", proxy.file, "--print").stdout
