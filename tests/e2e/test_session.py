# SPDX-License-Identifier: MIT
"""The worker protocol as PROTOCOL.md tells it, spoken by a second client, with a real Kafka behind the proxy."""
import json
import signal
import struct
import time

import msgpack
import pytest

import client
from client import BYE, CREDIT, DRAIN, ERROR, EXTEND, EXTENDED, HELLO, LATE, PUBLISH, REJECT, RELEASE, RETRY, Client, Closed
from commits import Commits, above
from process import wait_until
from proxy import EXIT_CLEAN, kafka_config


@pytest.fixture
def orders(kafka, fresh, ledger, serve, tmp_path):
    """orders(messages, **pipeline) fills a topic and starts a proxy without a pool on it."""
    def start(messages=100, partitions=1, **pipeline):
        kafka.create_topic(fresh, partitions)
        kafka.produce(fresh, messages)
        proxy = serve(kafka_config(tmp_path, kafka, fresh, ledger, pools=None,
                                   pipelines={"orders": {"pool": None, "commit_interval": "100ms", **pipeline}}))
        proxy.connect = lambda: Client(proxy.socket)
        proxy.committed = lambda: sum(kafka.committed("orders-php", fresh).values())
        return proxy
    return start


def ids(deliveries):
    return [json.loads(delivery.body)["id"] for delivery in deliveries]


def expect_error(worker, code):
    """ERROR with this code and a sentence, then the end."""
    error = worker.expect(ERROR)
    assert error["code"] == code and len(error["message"]) > 10, error
    with pytest.raises(Closed):
        while True:
            worker.read()


def test_messages_come_and_acks_are_committed(orders):
    proxy = orders(100)
    with proxy.connect() as worker:
        welcome = worker.welcome(credit=100)
        assert welcome["protocol"] == 1 and welcome["pipelines"][0]["name"] == "orders"
        assert welcome["pipelines"][0]["kind"] == "kafka"
        taken = worker.take(100)
        assert ids(taken) == list(range(1, 101))
        assert [d.id for d in taken] == list(range(taken[0].id, taken[0].id + 100)), "ids rise by one"
        assert [d.offset for d in taken] == list(range(100)) and {d.attempt for d in taken} == {1}
        assert taken[0].key == b"customer-1" and 0 < taken[0].remaining_ms <= 30_000
        worker.ack(taken)
        wait_until(lambda: proxy.committed() == 100, 60, "all committed")
        worker.send(BYE, {"reason": "done"})
    assert proxy.stop() == EXIT_CLEAN


def test_a_frame_may_come_in_single_bytes(orders):
    proxy = orders(3)
    with proxy.connect() as worker:
        for byte in client.frame(HELLO, {"protocol": 1, "client": "slow", "pipelines": ["orders"], "credit": 3}):
            worker.socket.sendall(bytes([byte]))
        taken = worker.take(3)
        for byte in client.frame(client.SETTLE, [[taken[0].id, 3], None, 0]):
            worker.socket.sendall(bytes([byte]))
        wait_until(lambda: proxy.committed() == 3, 60, "all committed")


def test_the_credit_is_never_exceeded(orders):
    proxy = orders(100)
    with proxy.connect() as worker:
        worker.welcome(credit=7)
        taken = worker.take(7)
        assert worker.silence(0.5), "more than the credit came"
        worker.ack(taken[:2])
        worker.take(2)
        assert worker.silence(0.5)
        worker.send(CREDIT, [9])
        worker.take(2)
        assert worker.silence(0.5)


def test_acks_out_of_order_commit_only_the_prefix(orders):
    proxy = orders(10)
    with proxy.connect() as worker:
        worker.welcome(credit=10)
        taken = worker.take(10)
        worker.ack(taken[5:])
        worker.ack(taken[:3])
        wait_until(lambda: proxy.committed() == 3, 60, "the prefix is committed")
        worker.ack(taken[3:5])
        wait_until(lambda: proxy.committed() == 10, 60, "all committed")


def kill_behind_memo(proxy, commits, count, prefix, offsets):
    """Of so many messages the first ones and those above them are acked, and the broker has it when the proxy is killed."""
    with proxy.connect() as worker:
        worker.welcome(credit=count)
        taken = worker.take(count)
        worker.ack([*taken[:prefix], *taken[offsets.start:offsets.stop]])
        wait_until(lambda: commits.read() and above(commits.newest[0]) == {*offsets}, 60, "the memo is committed")
    commits.close()
    proxy.kill()


def test_what_was_acked_above_the_prefix_does_not_come_again(orders, kafka, fresh, tmp_path):
    proxy = orders(10)
    kill_behind_memo(proxy, Commits(kafka, "orders-php", fresh, tmp_path / "commits"), 10, 1, range(4, 8))
    kafka.forget("orders-php")
    proxy.start()
    with proxy.connect() as worker:
        worker.welcome(credit=10)
        again = worker.take(5)
        assert ids(again) == [2, 3, 4, 9, 10]
        worker.ack(again)
        wait_until(lambda: proxy.committed() == 10, 60, "all committed")


def test_an_offset_that_was_moved_with_its_metadata_passes_over_nothing(orders, kafka, fresh, tmp_path):
    """As where a group's offsets are translated for another cluster: what is said of other messages is carried along."""
    proxy = orders(100)
    commits = Commits(kafka, "orders-php", fresh, tmp_path / "commits")
    kill_behind_memo(proxy, commits, 100, 20, range(30, 100))
    kafka.forget("orders-php")
    assert commits.newest[0].offset == 20
    kafka.move("orders-php", fresh, 10, commits.newest[0].memo)
    proxy.start()
    proxy.wait_log("commit metadata was written for another offset and is left alone")
    with proxy.connect() as worker:
        worker.welcome(credit=100)
        taken = worker.take(90)
        assert ids(taken) == [*range(11, 101)], "21 to 30 were never acked"
        worker.ack(taken)
        wait_until(lambda: proxy.committed() == 100, 60, "all committed")
    assert proxy.stop() == EXIT_CLEAN


def test_a_retry_comes_again_as_the_next_attempt(orders):
    proxy = orders(2)
    with proxy.connect() as worker:
        worker.welcome(credit=2)
        first, second = worker.take(2)
        begin = time.monotonic()
        worker.settle([second.id, 1], [[first.id, RETRY, 300, "not yet"]])
        again, = worker.take(1)
        assert ids([again]) == [1] and again.attempt == 2 and again.id > second.id
        assert time.monotonic() - begin >= 0.29
        worker.ack([again])
        wait_until(lambda: proxy.committed() == 2, 60, "all committed")


def test_a_release_charges_no_attempt(orders):
    proxy = orders(1)
    with proxy.connect() as worker:
        worker.welcome(credit=1)
        taken, = worker.take(1)
        worker.settle([], [[taken.id, RELEASE, -1, None]])
        again, = worker.take(1)
        assert again.attempt == 1


def test_a_reject_is_settled(orders):
    proxy = orders(2)
    with proxy.connect() as worker:
        worker.welcome(credit=2)
        first, second = worker.take(2)
        worker.settle([second.id, 1], [[first.id, REJECT, -1, "not ours"]])
        wait_until(lambda: proxy.committed() == 2, 60, "all committed")
        assert worker.silence(0.3)
    proxy.wait_log("not ours|reject")


def test_attempts_end_at_max_attempts(orders):
    proxy = orders(1, max_attempts=3)
    with proxy.connect() as worker:
        worker.welcome(credit=1)
        for attempt in (1, 2, 3):
            taken, = worker.take(1)
            assert ids([taken]) == [1] and taken.attempt == attempt
            worker.settle([], [[taken.id, RETRY, 0, "fails always"]])
        wait_until(lambda: proxy.committed() == 1, 60, "the message that fails always is settled")


def test_a_verdict_for_what_is_not_held_is_answered_by_late(orders):
    proxy = orders(2)
    with proxy.connect() as worker:
        worker.welcome(credit=2)
        taken = worker.take(2)
        worker.ack(taken[:1])
        worker.ack(taken[:1])
        assert taken[0].id in worker.expect(LATE)
        worker.settle([taken[1].id + 1000, 1])
        assert taken[1].id + 1000 in worker.expect(LATE)
        worker.ack(taken[1:])
        wait_until(lambda: proxy.committed() == 2, 60, "all committed")


def test_what_a_vanished_worker_held_goes_to_another(orders):
    proxy = orders(20)
    with proxy.connect() as first:
        first.welcome(credit=20)
        taken = first.take(20)
        first.ack(taken[:5])
        wait_until(lambda: proxy.committed() == 5, 60, "the first five committed")
    with proxy.connect() as second:
        second.welcome(credit=20)
        again = []
        while len(again) < 15:
            again += second.take(1)
            second.ack(again[-1:])
        assert sorted(ids(again)) == list(range(6, 21))
        wait_until(lambda: proxy.committed() == 20, 60, "all committed")


def test_two_workers_share_the_messages(orders):
    proxy = orders(200)
    with proxy.connect() as first, proxy.connect() as second:
        first.welcome(credit=20)
        second.welcome(credit=20)
        seen = []
        while len(seen) < 200:
            for worker in (first, second):
                if worker.deliveries or not worker.silence(0.05):
                    worker.deliveries or worker.read()
                    taken, worker.deliveries = worker.deliveries, []
                    worker.ack(taken)
                    seen += ids(taken)
        assert sorted(seen) == list(range(1, 201))


def test_extend_is_granted_and_unknown_ids_get_nothing(orders):
    proxy = orders(1)
    with proxy.connect() as worker:
        worker.welcome(credit=1)
        taken, = worker.take(1)
        worker.send(EXTEND, [taken.id, 60_000])
        granted = worker.expect(EXTENDED)
        assert granted[0] == taken.id and 30_000 < granted[1] <= 60_000
        worker.send(EXTEND, [taken.id + 5, 60_000])
        assert worker.expect(EXTENDED)[:2] == [taken.id + 5, 0]


def test_sigterm_drains_and_commits_what_is_settled_then(orders):
    proxy = orders(50)
    with proxy.connect() as worker:
        worker.welcome(credit=10)
        taken = worker.take(10)
        proxy.process.send(signal.SIGTERM)
        proxy.wait_log("draining")
        worker.ack(taken)
        worker.expect(DRAIN)
        worker.send(BYE, {})
        assert proxy.process.wait(90) == EXIT_CLEAN
        assert not worker.deliveries
    assert proxy.committed() == 10


def test_unknown_words_and_surplus_elements_are_skipped(orders):
    proxy = orders(1)
    with proxy.connect() as worker:
        worker.welcome(credit=1, colour="blue")
        worker.send(50, {"from": "the future"})
        taken, = worker.take(1)
        worker.send(client.SETTLE, [[taken.id, 1], None, 0, "surplus"])
        wait_until(lambda: proxy.committed() == 1, 60, "committed")


@pytest.mark.parametrize("hello, code", [
    ({"protocol": 99}, "protocol"),
    ({"pipelines": ["nonsense"]}, "unknown_pipeline"),
    ({"pipelines": []}, "protocol"),
    ({"pipelines": 7}, "protocol"),
])
def test_a_wrong_hello_is_refused_with_a_reason(orders, hello, code):
    proxy = orders(1)
    with proxy.connect() as worker:
        worker.hello(**hello)
        expect_error(worker, code)


GARBAGE = {
    "a web browser": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a frame longer than allowed": struct.pack(">IBBH", 70_000, client.SETTLE, 0, 0),
    "a giant": struct.pack(">IBBH", 0xFFFFFFFF, HELLO, 0, 0),
    "broken msgpack": struct.pack(">IBBH", 3, client.SETTLE, 0, 0) + b"\xc1\xc1\xc1",
    "surplus bytes": struct.pack(">IBBH", 3, client.SETTLE, 0, 0) + b"\x90\x90\x90",
    "a map instead of an array": client.frame(client.SETTLE, {"acks": 1}),
    "endless nesting": struct.pack(">IBBH", 60_001, client.SETTLE, 0, 0) + b"\x91" * 60_000 + b"\x90",
    "negative counts": client.frame(client.SETTLE, [[-1, -5], None, 0]),
    "an unknown verdict": client.frame(client.SETTLE, [[], [[1, 77, 0, None]], 0]),
    "a second hello": client.frame(HELLO, {"protocol": 1, "client": "x", "pipelines": ["orders"], "credit": 1}),
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("greeted", [False, True])
def test_garbage_ends_its_own_session_only(orders, garbage, greeted):
    proxy = orders(20)
    with proxy.connect() as good:
        good.welcome(credit=5)
        held = good.take(5)
        with proxy.connect() as bad:
            if greeted:
                bad.welcome(credit=5)
                bad.take(5)
            bad.socket.sendall(GARBAGE[garbage])
            if greeted or garbage != "a second hello":
                expect_error(bad, "protocol")
        good.ack(held)
        seen = ids(held)
        while len(set(seen)) < 20:
            taken = good.take(1)
            good.ack(taken)
            seen += ids(taken)
        wait_until(lambda: proxy.committed() == 20, 60, "nothing is lost")
    assert proxy.stop() == EXIT_CLEAN


def test_publish_is_refused_not_swallowed(orders):
    proxy = orders(1)
    with proxy.connect() as worker:
        worker.welcome(credit=1)
        worker.send(PUBLISH, {"topic": "x", "body": msgpack.packb("y")})
        expect_error(worker, "unsupported")


def test_silence_instead_of_hello_is_ended(orders):
    proxy = orders(1)
    with Client(proxy.socket) as worker:
        expect_error(worker, "protocol")
