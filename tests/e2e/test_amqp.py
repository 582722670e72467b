# SPDX-License-Identifier: MIT
"""Orders on a real RabbitMQ, classic and quorum queues, handled by the same PHP file as on Kafka."""
import contextlib
import json
import os
import random
import re
import signal

import pytest
from pika.spec import Basic, BasicProperties

import brokers
import fake_rabbit
from process import scaled, wait_until
from proxy import EXIT_CLEAN, EXIT_CUT_SHORT, EXIT_ERROR, amqp_config, lasting, open_gate, run

MESSAGES = scaled(100_000)

both_kinds = pytest.mark.parametrize("kind", ["classic", "quorum"])


def fill(rabbit, queue, kind, messages):
    rabbit.declare(queue, kind)
    rabbit.produce(queue, messages)
    return range(1, messages + 1)


def wait_handled(ledger, count, timeout=600):
    wait_until(lambda: ledger.unique() >= count, timeout, f"{count} orders handled")


def wait_empty(rabbit, queue):
    """No consumer and no message, held ones included: those go back when the consumer leaves."""
    wait_until(lambda: rabbit.consumers(queue) == 0, 60, "the consumer left")
    wait_until(lambda: rabbit.ready(queue) == 0, 60, "the queue is empty")


@both_kinds
def test_every_order_is_handled_once_and_acked(rabbit, fresh, ledger, serve, tmp_path, kind):
    rabbit.declare(fresh, kind)
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger)).wait_workers(4)
    rabbit.produce(fresh, MESSAGES)
    wait_handled(ledger, MESSAGES)
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(range(1, MESSAGES + 1))
    assert not (report.lost or report.duplicates or report.unexpected), report
    assert len(report.workers) == 4, report
    wait_empty(rabbit, fresh)


@both_kinds
def test_five_kills_lose_nothing_and_repeat_only_what_was_open(rabbit, fresh, ledger, serve, tmp_path, kind):
    """A quorum queue of this age counts returns without a limit, so kills may repeat. The last comes before half of the time
    is over."""
    ids = fill(rabbit, fresh, kind, MESSAGES)
    chance = random.Random(20262)
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger, handler=[lasting(20, MESSAGES)]))
    n_open = 0
    for kill in range(5):
        wait_handled(ledger, int(MESSAGES * (kill + 0.2 + 0.7 * chance.random()) / 12))
        proxy.kill()
        wait_until(lambda: rabbit.consumers(fresh) == 0, 60, "the broker notices the kill")
        handled, left = ledger.unique(), rabbit.ready(fresh)
        unacked = handled - (MESSAGES - left)
        print(f"kill {kill + 1}: handled={handled} left={left} handled_unacked={unacked}")
        assert unacked >= 0, "acked what no handler handled"
        assert 0 < left < MESSAGES and handled < MESSAGES, f"kill {kill + 1} did not strike in mid-flight"
        n_open += unacked
        proxy.start()
    open_gate(ledger)
    wait_handled(ledger, MESSAGES)
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(ids)
    print(report)
    assert not (report.lost or report.unexpected), report
    assert sum(report.duplicates.values()) <= n_open, f"{report}, but only {n_open} were handled and unacked at the kills"
    wait_empty(rabbit, fresh)


@both_kinds
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_broker_restarts_in_mid_flight(rabbit, fresh, ledger, serve, tmp_path, kind, how):
    messages = MESSAGES if how == "stop" else scaled(30_000)
    ids = fill(rabbit, fresh, kind, messages)
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger, handler=["delay_us=150", f"last={messages * 9 // 10}"],
                              pipelines={"orders": {"handler_timeout": "10m"}}))
    wait_handled(ledger, messages // 3)
    getattr(rabbit, how)()  # takes its time
    assert ledger.unique() < messages, "the broker ended in the middle"
    open_gate(ledger)
    rabbit.start()
    wait_handled(ledger, messages)
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(ids)
    print(report)
    assert not (report.lost or report.unexpected), report
    wait_empty(rabbit, fresh)


@both_kinds
def test_sigterm_works_off_what_is_held_and_hands_nothing_back(rabbit, fresh, ledger, serve, tmp_path, kind):
    messages = 3000
    ids = fill(rabbit, fresh, kind, messages)
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger, handler=[lasting(30, messages)]))
    wait_handled(ledger, messages // 15)
    assert proxy.stop() == EXIT_CLEAN
    wait_until(lambda: rabbit.consumers(fresh) == 0, 60, "the consumer left")
    handled = ledger.unique()
    assert handled < messages
    wait_until(lambda: handled + rabbit.ready(fresh) == messages, 60, "acked exactly what was handled")
    open_gate(ledger)
    proxy.start()
    wait_handled(ledger, messages)
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(ids)
    assert not (report.lost or report.duplicates), report


def test_sigterm_hands_nothing_back_of_what_had_no_room_yet(rabbit, fresh, ledger, serve, tmp_path):
    """One message at a time: a whole prefetch waits its turn in the proxy when the stop comes. On a classic queue: a quorum
    queue itself returns what it was about to deliver for acks that came shortly before the cancel."""
    kind = "classic"
    messages = 1000
    fill(rabbit, fresh, kind, messages)
    changes = {"max_outstanding_messages": 1, "source": {"prefetch": 50}}
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger, handler=["delay_us=10000"], pipelines={"orders": changes}))
    wait_handled(ledger, 60)
    assert proxy.stop() == EXIT_CLEAN
    wait_until(lambda: rabbit.consumers(fresh) == 0, 60, "the consumer left")
    left = messages - ledger.unique()
    wait_until(lambda: rabbit.ready(fresh) == left, 60, "acked exactly what was handled")
    assert left > 0
    with rabbit.connect() as connection:
        channel = connection.channel()
        got = [channel.basic_get(fresh)[0] for _ in range(left)]
        assert not any(method.redelivered for method in got)


@pytest.fixture
def own_rabbit(tmp_path_factory):
    """A broker that may be killed without a word to other tests."""
    started = brokers.RabbitMQ(tmp_path_factory.mktemp("rabbit-own"))
    try:
        yield started.start()
    finally:
        started.finish()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_stop_without_a_broker_to_take_the_last_acks_is_not_clean(own_rabbit, fresh, ledger, serve, tmp_path, how):
    fill(own_rabbit, fresh, "classic", 100)
    begun = tmp_path / "ledger.begun"
    told = {signal.SIGKILL: "what they handle comes again", signal.SIGSTOP: "has not shown that it has what was handled last"}
    proxy = serve(amqp_config(tmp_path, own_rabbit, fresh, ledger, handler=["delay_us=10000", "last=0"],
                              pipelines={"orders": {"credit": 1, "handler_timeout": "10m"}},
                              shutdown={"drain_timeout": "10m"}, brokers={"b": {"rpc_timeout": "1s"}}))
    wait_until(lambda: begun.exists() and len(begun.read_text().splitlines()) >= 4, 60, "handlers run")
    beam = own_rabbit.beam()
    try:
        proxy.process.send(signal.SIGTERM)
        proxy.wait_log("draining: fetching stops")
        wait_until(lambda: own_rabbit.consumers(fresh) == 0, 60, "the consumer left")
        os.kill(beam, how)
        if how == signal.SIGKILL:
            proxy.wait_log(told[how])
        open_gate(ledger)
        assert proxy.process.wait(60) == EXIT_CUT_SHORT  # a second signal would cut the drain short
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(beam, signal.SIGKILL)
    found = re.search(rf"{told[how]}.*messages=(\d+)", proxy.text())
    assert found and 1 <= int(found[1]) <= len(begun.read_text().splitlines()), proxy.text()[-2000:]


def test_the_lag_is_what_waits_in_the_queue(rabbit, fresh, ledger, serve, tmp_path):
    fill(rabbit, fresh, "quorum", 300)
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger, handler=["delay_us=3600000000"],
                              pipelines={"orders": {"handler_timeout": "10m"}}, admin={"socket": f"{tmp_path}/admin.sock"}))

    def lag():
        return json.loads(run("pipelines", "list", "orders", "-c", proxy.file, "--json").stdout)["pipelines"][0]["lag"]

    wait_until(lambda: lag() == 300 - 16, 60, "all but the first prefetch wait")
    rabbit.produce(fresh, 50)
    wait_until(lambda: lag() == 350 - 16, 60, "what comes is counted")
    proxy.process.stop(signal.SIGKILL, 60)


@pytest.mark.parametrize("is_dumb", [False, True])
def test_headers_that_cannot_be_decoded_are_rejected_and_the_rest_comes_again(fresh, ledger, serve, tmp_path, is_dumb):
    """A field type that the client library does not know makes it read nothing more of that connection."""
    unknown = b"\x04nameZ12345678"
    fake = fake_rabbit.FakeRabbit([
        [fake_rabbit.message(1, b'{"id":1}'), fake_rabbit.message(2, b'{"id":2}', unknown), fake_rabbit.message(3, b'{"id":3}')],
        [fake_rabbit.message(1, b'{"id":1}'), fake_rabbit.message(2, b'{"id":3}')]], is_dumb)
    try:
        proxy = serve(amqp_config(tmp_path, fake, fresh, ledger, admin={"socket": f"{tmp_path}/admin.sock"}))
        proxy.wait_log("message is rejected, its header cannot be decoded"
                       + ("; the broker has not shown that it has the reject" if is_dumb else " queue="))
        (number, reject), = fake.heard(Basic.Reject)
        assert (number, reject.delivery_tag, reject.requeue) == (0, 2, False)
        wait_until(lambda: ledger.count() >= 2, 60, "the others are handled when they come again")
        wait_until(lambda: fake.heard(Basic.Ack), 60, "they are acked")

        def counts():
            pipeline, = json.loads(run("status", "-c", proxy.file, "--json").stdout)["pipelines"]
            return pipeline["rejected"], pipeline["acked"]
        wait_until(lambda: counts() == (1, 2), 60, "one is rejected, both others are acked")
        if not is_dumb:
            assert proxy.stop() == EXIT_CLEAN
        assert sorted(entry.id for entry in ledger.read()) == [1, 3]
        assert {number for number, _ in fake.heard(Basic.Ack)} == {1} and len(fake.heard(Basic.Reject)) == 1
    finally:
        fake.finish()


def test_a_handler_that_throws_gets_the_order_again(rabbit, fresh, ledger, serve, tmp_path):
    ids = fill(rabbit, fresh, "quorum", 5000)
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger, handler=["fail_every=100"],
                              pipelines={"orders": {"backoff": {"initial": "50ms", "max": "200ms"}}}))
    wait_handled(ledger, 5000)
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(ids)
    assert not (report.lost or report.duplicates), report
    assert {entry.id for entry in ledger.read() if entry.attempt == 2} == set(range(100, 5001, 100))
    wait_empty(rabbit, fresh)


def test_a_deleted_queue_is_noticed_and_consumed_again_when_it_is_back(rabbit, fresh, ledger, serve, tmp_path):
    fill(rabbit, fresh, "classic", 100)
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger))
    wait_handled(ledger, 100)
    rabbit.delete(fresh)
    proxy.wait_log(r"(?i)cancel|no queue|not_found|gone|deleted")
    rabbit.declare(fresh)
    rabbit.produce(fresh, 100, "--first", 101)
    wait_handled(ledger, 200)
    assert proxy.stop() == EXIT_CLEAN


def publish(rabbit, queue, ids, headers=None):
    connection = rabbit.connect()
    channel = connection.channel()
    channel.confirm_delivery()
    for number in ids:
        channel.basic_publish("", queue, b'{"id":%d}' % number, BasicProperties(headers=headers))
    connection.close()


def wait_refused(proxy, queue):
    """Until a warning has named the stream and told what to do, and only an operator can mend it."""
    proxy.wait_log(rf'"warn".*queue {queue} is a stream: .*classic or a quorum queue(?s:.*)source is refused')


@pytest.mark.parametrize("name, arguments", [
    ("", {}), ("", {"x-priority": 5}), ("", {"x-stream-offset": "first"}), ("-" + "long" * 50, {})])
def test_a_stream_is_no_source(rabbit, fresh, ledger, serve, tmp_path, name, arguments):
    """Consumed from its end, as streams are, it would lose what comes while nobody consumes."""
    queue = rabbit.declare(fresh + name, "stream")  # the broker cuts what it says of a long name
    publish(rabbit, queue, range(1, 11))
    proxy = serve(amqp_config(tmp_path, rabbit, queue, ledger, pipelines={"orders": {"source": {"arguments": arguments}}}))
    wait_refused(proxy, queue)
    publish(rabbit, queue, range(11, 21))
    proxy.stop()
    assert not ledger.count() and "broker is connected" not in proxy.text()


def test_a_queue_that_comes_back_as_a_stream_is_refused_until_it_is_none(rabbit, fresh, ledger, serve, tmp_path):
    rabbit.declare(fresh)
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger))
    publish(rabbit, fresh, range(1, 11), {"x-stream-offset": 7})  # what was copied out of a stream
    wait_handled(ledger, 10)
    rabbit.delete(fresh)
    rabbit.declare(fresh, "stream")
    publish(rabbit, fresh, range(1001, 1011))
    wait_refused(proxy, fresh)
    rabbit.delete(fresh)
    rabbit.declare(fresh, "quorum")
    publish(rabbit, fresh, range(11, 21), {"x-stream-offset": 7})
    wait_handled(ledger, 20)
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(range(1, 21))
    assert not (report.lost or report.duplicates or report.unexpected), report


def test_a_stream_of_a_broker_that_refuses_no_argument_is_known_by_its_first_delivery(fresh, ledger, serve, tmp_path):
    """What was copied out of a stream looks alike, but a queue delivers it again, and says so."""
    offset = b"\x0fx-stream-offsetl" + bytes(8)
    streamed, told_again = fake_rabbit.message(1, b'{"id":1}', offset), fake_rabbit.message(1, b'{"id":1}', offset, True)
    follows = fake_rabbit.message(2, b'{"id":2}', offset)
    fake = fake_rabbit.FakeRabbit([[streamed, follows], [streamed, follows], [told_again, follows]],
                                  product="RabbitMQ", version="3.9.13")
    try:
        proxy = serve(amqp_config(tmp_path, fake, fresh, ledger))
        wait_refused(proxy, fresh)
        assert not ledger.count()
        wait_handled(ledger, 2)
        assert proxy.stop() == EXIT_CLEAN
        assert len(fake.connections) == 3 and not fake.heard(Basic.Reject)
        assert {number for number, _ in fake.heard(Basic.Ack)} == {2}, "nothing of a stream is acked"
    finally:
        fake.finish()


def test_dead_letters_go_to_a_stream_and_cannot_be_looked_at_there(rabbit, fresh, ledger, serve, tmp_path):
    graves = rabbit.declare(f"{fresh}.dlq", "stream")
    fill(rabbit, fresh, "classic", 100)
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger, handler=["reject_every=10"],
                              pipelines={"orders": {"dead_letter": {"exchange": "", "routing_key": graves}}}))
    wait_handled(ledger, 100)
    assert proxy.stop() == EXIT_CLEAN
    wait_empty(rabbit, fresh)
    with rabbit.connect() as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=100)
        letters = channel.consume(graves, arguments={"x-stream-offset": "first"}, inactivity_timeout=60)
        found = [json.loads(body)["id"] for _, _, body in (next(letters) for _ in range(10))]
    assert sorted(found) == list(range(10, 101, 10))
    done = run("dlq", "show", "orders", "--queue", graves, "-c", proxy.file)
    assert done.returncode == EXIT_ERROR and "not supported by stream queues" in done.stderr and graves in done.stderr, done
