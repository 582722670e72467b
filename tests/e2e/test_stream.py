# SPDX-License-Identifier: MIT
"""A worker with memory_limit=32M takes bodies of 30 MiB as streams, from every broker, and nothing is written down."""
import collections
import hashlib
import pathlib
import random

import confluent_kafka
import pytest

from client import Client
from process import ROOT, SANITIZED, wait_until
from proxy import EXIT_CLEAN, amqp_config, config, kafka_config
from test_files import CALLS, CREATING

HANDLER = ROOT / "tests" / "e2e" / "stream.php"
MIB = 1 << 20
READ, CHUNK = 10, 72
Read = collections.namedtuple("Read", "size md5 peak attempt pid")


class Reads:
    """What the handlers read: one line for each body."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.touch()

    def all(self):
        return [Read(int(size), md5, int(peak), int(attempt), int(pid))
                for size, md5, peak, attempt, pid in map(str.split, self.path.read_text().splitlines())]

    def wait(self, bodies, timeout=180):
        """Waits until as many bodies were read, and compares them."""
        wait_until(lambda: len(self.all()) >= len(bodies), timeout, f"{len(bodies)} bodies are read")
        reads = self.all()
        assert sorted((read.size, read.md5) for read in reads) == sorted((len(b), hashlib.md5(b).hexdigest()) for b in bodies)
        assert max(read.peak for read in reads) < 8 * MIB, reads
        return reads


@pytest.fixture
def reads(tmp_path):
    return Reads(tmp_path / "reads")


def small_pool(reads, *options):
    """A pool of one worker that could not hold a body of 30 MiB."""
    return {"php": {"command": ["php", "-d", "memory_limit=32M", str(HANDLER), str(reads.path), *options], "num_workers": 1}}


def memory_config(directory, ledger, messages, **options):
    source = {"lanes": 1, "messages": messages, "body_bytes": "30MiB"}
    return config(directory, {"type": "memory"}, source, ledger, **options)


def memory_bodies(count):
    return [f"0:{receipt}".encode().ljust(30 * MIB, b".") for receipt in range(count)]


def big_bodies(count, size, seed):
    return [random.Random(f"{seed} {index}").randbytes(size) for index in range(count)]


def produce(kafka, topic, bodies):
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, "message.max.bytes": 40 * MIB, "log_level": 0})
    errors = []
    for body in bodies:
        producer.produce(topic, body, on_delivery=lambda error, _: errors.append(error and str(error)))
    assert producer.flush(180) == 0 and errors == [None] * len(bodies), errors


def test_bodies_of_30_mb_pass_a_worker_of_32_mb(ledger, serve, reads, tmp_path):
    proxy = serve(memory_config(tmp_path, ledger, 6, pools=small_pool(reads)))
    found = reads.wait(memory_bodies(6))
    assert len({read.pid for read in found}) == 1 and {read.attempt for read in found} == {1}
    assert proxy.stop() == EXIT_CLEAN


def test_no_file_is_made_of_a_streamed_body(ledger, serve, reads, tmp_path, monkeypatch):
    if SANITIZED:
        monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")  # the leak check cannot run below strace
    trace = tmp_path / "trace"
    proxy = serve(memory_config(tmp_path, ledger, 3, pools=small_pool(reads)),
                  wrapper=["strace", "-D", "-f", "-qq", "-e", f"trace={CALLS}", "-o", trace])
    reads.wait(memory_bodies(3))
    assert proxy.stop() == EXIT_CLEAN
    lines = trace.read_text().splitlines()
    assert sum("stream.php" in line for line in lines) >= 1, "the trace saw the worker"
    allowed = (str(reads.path), f"{tmp_path}/qbus.sock")  # the handler's own file; the socket and its lock
    created = [line for line in lines if CREATING.search(line) and not any(path in line for path in allowed)]
    assert not created, created


@pytest.mark.parametrize("pipeline", [{}, {"oversize": "stream", "max_message_bytes": "1MiB"}], ids=["allowed", "oversize"])
def test_kafka_bodies_of_30_mb_are_read_line_by_line(kafka, fresh, ledger, serve, reads, tmp_path, pipeline):
    kafka.create_topic(fresh, 1, max_message_bytes=32 * MIB, segment_bytes=64 * MIB)
    bodies = big_bodies(3, 30 * MIB, fresh) + [b"small\n"]
    produce(kafka, fresh, bodies)
    proxy = serve(kafka_config(tmp_path, kafka, fresh, ledger, pools=small_pool(reads, "lines=1"),
                               pipelines={"orders": pipeline}))
    reads.wait(bodies)
    assert proxy.stop() == EXIT_CLEAN
    assert sum(kafka.committed("orders-php", fresh).values()) == len(bodies)


def test_amqp_bodies_above_the_limit_are_streamed_where_that_is_wanted(rabbit, fresh, ledger, serve, reads, tmp_path):
    rabbit.declare(fresh)
    bodies = big_bodies(3, 12 * MIB, fresh)
    connection = rabbit.connect()
    channel = connection.channel()
    channel.confirm_delivery()
    for body in bodies:
        channel.basic_publish("", fresh, body)
    connection.close()
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger, pools=small_pool(reads),
                              pipelines={"orders": {"oversize": "stream", "max_message_bytes": "1MiB"}}))
    reads.wait(bodies)
    assert proxy.stop() == EXIT_CLEAN


def test_only_a_worker_that_says_so_gets_streams(ledger, serve, tmp_path):
    proxy = serve(memory_config(tmp_path, ledger, 1, pools=None, pipelines={"orders": {"pool": None}}))
    body, = memory_bodies(1)
    with Client(proxy.socket) as worker:
        whole = worker.welcome(credit=1)
        taken, = worker.take(1)
        assert taken.body == body and whole["max_message"] > len(body)
    with Client(proxy.socket) as worker:
        assert worker.welcome(credit=1, streams=1)["max_message"] < whole["max_message"]
        taken, = worker.take(1)
        assert taken.body == len(body)
        for offset in (0, len(body) - 7, 12_345_678):
            worker.send(READ, [taken.id, offset, 1000])
            assert worker.expect(CHUNK) == [taken.id, offset, body[offset:offset + 1000]]
        worker.ack([taken])
        worker.send(READ, [taken.id, 0, 1])
        assert worker.expect(CHUNK) == [taken.id, 0, None]
