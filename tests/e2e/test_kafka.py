# SPDX-License-Identifier: MIT
"""Orders on a real Kafka, handled by PHP workers; what counts is what the handlers wrote and what the broker keeps."""
import random
import re
import signal

import pytest

import brokers
from process import scaled, wait_until
from proxy import EXIT_CLEAN, EXIT_CUT_SHORT, kafka_config, lasting, open_gate

PARTITIONS = 12
MESSAGES = scaled(200_000)


def fill(kafka, topic, messages):
    kafka.create_topic(topic, PARTITIONS)
    kafka.produce(topic, messages)
    return range(1, messages + 1)


def wait_handled(ledger, count, timeout=600):
    wait_until(lambda: ledger.unique() >= count, timeout, f"{count} orders handled")


def check_commits(kafka, group, topic, ledger):
    """Nothing unhandled may lie below a committed offset. Returns the commits."""
    handled = {(entry.partition, entry.offset) for entry in ledger.read()}
    committed = kafka.committed(group, topic)
    skipped = [(p, offset) for p, end in committed.items() for offset in range(end) if (p, offset) not in handled]
    assert not skipped, f"committed past unhandled messages: {skipped[:5]}"
    return committed


def test_every_order_is_handled_once_and_committed(any_kafka, fresh, ledger, serve, tmp_path):
    any_kafka.create_topic(fresh, PARTITIONS)
    proxy = serve(kafka_config(tmp_path, any_kafka, fresh, ledger)).wait_workers(4)
    any_kafka.produce(fresh, MESSAGES)
    wait_handled(ledger, MESSAGES)
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(range(1, MESSAGES + 1))
    assert not (report.lost or report.duplicates or report.unexpected), report
    assert len(report.workers) == 4, report
    assert any_kafka.committed("orders-php", fresh) == any_kafka.ends(fresh)


def test_a_clean_restart_in_the_middle_repeats_nothing(kafka, fresh, ledger, serve, tmp_path):
    messages = scaled(50_000)
    ids = fill(kafka, fresh, messages)
    proxy = serve(kafka_config(tmp_path, kafka, fresh, ledger, handler=[lasting(24, messages)]))
    for part in (1, 2, 3):
        wait_handled(ledger, messages * part // 8)
        assert proxy.stop() == EXIT_CLEAN
        assert ledger.unique() < messages, "the stop struck in the middle"
        check_commits(kafka, "orders-php", fresh, ledger)
        proxy.start()
    open_gate(ledger)
    wait_handled(ledger, messages)
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(ids)
    assert not (report.lost or report.duplicates), report


@pytest.mark.parametrize("seed", [20261])
def test_five_kills_lose_nothing_and_repeat_only_what_was_open(any_kafka, fresh, ledger, serve, tmp_path, seed):
    ids = fill(any_kafka, fresh, MESSAGES)
    chance = random.Random(seed)
    options = {"handler": [lasting(24, MESSAGES)], "pipelines": {"orders": {"commit_interval": "500ms"}}}
    proxy = serve(kafka_config(tmp_path, any_kafka, fresh, ledger, session_timeout="6s", **options))
    before, open_before, n_open, n_done = set(), set(), 0, 0
    for kill in range(5):
        wait_handled(ledger, int(MESSAGES * (kill + 0.2 + 0.7 * chance.random()) / 12))
        workers = set(proxy.workers())
        proxy.kill()
        check_repeats(ledger, before, open_before)
        committed = check_commits(any_kafka, "orders-php", fresh, ledger)
        entries = ledger.read()
        open_entries = [entry for entry in entries if entry.offset >= committed[entry.partition]]
        before, open_before = {entry.id for entry in entries}, {entry.id for entry in open_entries}
        print(f"kill {kill + 1}: handled={len(before)} acked_uncommitted={len(open_before)}")
        assert len(before) < MESSAGES and open_before, f"kill {kill + 1} did not strike in mid-flight"
        n_open += sum(entry.pid in workers for entry in open_entries)
        n_done += sum(entry.pid in workers for entry in entries)
        if kill:    # the broker forgets the first one by itself, when its session is over
            any_kafka.forget("orders-php")
        proxy.configure(kafka_config(tmp_path, any_kafka, fresh, ledger, **options))
        proxy.start()
    open_gate(ledger)
    wait_handled(ledger, MESSAGES)
    assert proxy.stop() == EXIT_CLEAN
    check_repeats(ledger, before, open_before)
    report = ledger.report(ids)
    print(report)
    assert n_open < 0.9 * n_done, f"of {n_done} orders {n_open} were not committed when their proxy was killed"
    assert not (report.lost or report.unexpected), report
    assert any_kafka.committed("orders-php", fresh) == any_kafka.ends(fresh)


def check_repeats(ledger, before, open_before):
    """Whatever was handled again since the last kill was open then: at most once, and nothing that was committed."""
    n_before = getattr(ledger, "n_seen", 0)
    entries = ledger.read()[n_before:]
    ledger.n_seen = n_before + len(entries)
    again = [entry.id for entry in entries if entry.id in before]
    assert set(again) <= open_before, f"committed before the kill, handled again: {sorted(set(again) - open_before)[:5]}"
    assert len(again) == len(set(again)), "handled again more than once after one kill"


def test_a_member_joins_and_leaves(any_kafka, fresh, ledger, serve, tmp_path):
    ids = fill(any_kafka, fresh, MESSAGES)
    options = {"handler": [lasting(60, MESSAGES, 2)], "workers": 2}
    first = serve(kafka_config(tmp_path, any_kafka, fresh, ledger, **options))
    wait_handled(ledger, MESSAGES // 10)
    second = serve(kafka_config(tmp_path, any_kafka, fresh, ledger, name="second", **options), name="second")
    joined = wait_until(lambda: set(second.workers()) & {entry.pid for entry in ledger.read()}, 120, "the second works")
    assert joined and ledger.unique() < MESSAGES
    wait_handled(ledger, ledger.unique() + MESSAGES // 10)
    assert second.stop() == EXIT_CLEAN
    assert ledger.unique() < MESSAGES, "the second left in the middle"
    open_gate(ledger)
    wait_handled(ledger, MESSAGES)
    assert first.stop() == EXIT_CLEAN
    report = ledger.report(ids)
    assert not (report.lost or report.unexpected or report.duplicates), report
    assert any_kafka.committed("orders-php", fresh) == any_kafka.ends(fresh)


def owned(member):
    """How many partitions a cooperative member has."""
    found = re.findall(r"partitions are (assigned|revoked) count=(\d+)", member.text())
    return sum(int(count) if word == "assigned" else -int(count) for word, count in found)


@pytest.fixture
def member(kafka, ledger, serve, tmp_path):
    """A cooperative member of a group that has the name of its topic; its log tells each request."""
    def begin(topic, name):
        return serve(kafka_config(tmp_path, kafka, topic, ledger, group=topic, name=name, workers=1,
                                  brokers={"b": {"properties": {"debug": "protocol"}}},
                                  pipelines={"orders": {"source": {"assignment": "cooperative-sticky"}}}), name=name)
    return begin


def has_joined_since_the_stop(member):
    return "Sent JoinGroupRequest" in member.text().partition("draining: ")[2]


def test_a_member_that_stops_while_it_is_about_to_join_again_leaves_the_group(kafka, fresh, member):
    def stop_strikes(name):
        """Whether the member's JoinGroup was still to be sent when it was told to stop. Either way no ghost may stay."""
        wait_until(lambda: owned(stays) == 4, 60, f"the one that stays has all\n{stays.text()}")
        leaves = member(fresh, name)
        leaves.wait_log("partitions are assigned count=0")  # the other gives some of its own up first, then both join again
        assert leaves.stop() == EXIT_CLEAN
        group, = kafka.admin().list_groups(fresh, timeout=60)
        assert len(group.members) == 1
        return has_joined_since_the_stop(leaves)

    kafka.create_topic(fresh, 4)
    stays = member(fresh, "stays")
    strikes = []
    while sum(strikes) < 2 and len(strikes) < 6:
        strikes.append(stop_strikes(f"leaves-{len(strikes)}"))
    print(f"of {len(strikes)} stops {sum(strikes)} came before the JoinGroup")
    assert sum(strikes) == 2


def test_a_second_signal_does_not_wait_for_a_join_that_is_due(kafka, fresh, member):
    def is_cut(number):
        """Whether the stop ended before the JoinGroup, for which it would have waited."""
        topic = kafka.create_topic(f"{fresh}-{number}", 4)
        member(topic, f"stays-{number}").wait_log("partitions are assigned count=4")
        leaves = member(topic, f"leaves-{number}")
        leaves.wait_log("partitions are assigned count=0")
        leaves.process.send(signal.SIGTERM)
        leaves.wait_log("draining: ")
        assert leaves.stop() in (EXIT_CLEAN, EXIT_CUT_SHORT)
        assert "told to stop again" in leaves.text()
        return not has_joined_since_the_stop(leaves)

    assert any(is_cut(number) for number in range(4))


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory):
    """A Kafka that keeps less of a commit's metadata than others do."""
    kafka = brokers.Kafka(tmp_path_factory.mktemp("kafka-forgetful"), offset__metadata__max__bytes=512)
    try:
        yield kafka.start()
    finally:
        kafka.finish()


@pytest.mark.parametrize("broker", ["kafka", "forgetful"])
def test_a_stop_tells_which_acks_above_an_open_order_the_broker_does_not_keep(
        request, broker, fresh, ledger, serve, tmp_path):
    kafka = request.getfixturevalue(broker)
    kafka.create_topic(fresh, 1)
    kafka.produce(fresh, 1200)
    options = {"group": fresh, "pipelines": {"orders": {"backoff": {"initial": "10m", "max": "10m"}}}}
    proxy = serve(kafka_config(tmp_path, kafka, fresh, ledger, handler=["fail_every=2"], **options))
    wait_handled(ledger, 600, 60)
    if broker == "forgetful":
        proxy.wait_log("broker keeps less commit metadata")
    code = proxy.stop()
    told = re.findall(r"so much may come again messages=(\d+)", proxy.text())
    committed = kafka.committed(fresh, fresh)
    proxy.configure(kafka_config(tmp_path, kafka, fresh, ledger, **options))
    proxy.start()
    wait_handled(ledger, 1200, 60)
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(range(1, 1201))
    print(f"exit={code} told={told} committed={committed} {report}")
    assert committed == {0: 1}      # order 2 is the first that is open
    assert not (report.lost or report.unexpected), report
    if broker == "kafka":
        assert (code, told, report.duplicates) == (EXIT_CLEAN, [], {}), report
    else:
        assert code == EXIT_CUT_SHORT and 0 < len(report.duplicates) <= int(told[0]) < 599, report


def test_sigterm_waits_for_running_handlers_and_commits_their_acks(kafka, fresh, ledger, serve, tmp_path):
    fill(kafka, fresh, 2000)
    begun = tmp_path / "ledger.begun"
    proxy = serve(kafka_config(tmp_path, kafka, fresh, ledger, handler=["delay_us=300000"],
                               pipelines={"orders": {"credit": 1, "commit_interval": "10s"}}))
    wait_until(lambda: begun.exists() and len(begun.read_text().splitlines()) >= 8, 60, "handlers run")
    assert proxy.stop() == EXIT_CLEAN
    started = {int(line) for line in begun.read_text().splitlines()}
    handled = {entry.id for entry in ledger.read()}
    assert handled == started and len(handled) < 2000
    committed = check_commits(kafka, "orders-php", fresh, ledger)
    assert sum(committed.values()) > 0
    proxy.configure(kafka_config(tmp_path, kafka, fresh, ledger))
    proxy.start()
    wait_handled(ledger, 2000)
    assert proxy.stop() == EXIT_CLEAN
    assert not ledger.report(range(1, 2001)).duplicates


def test_a_handler_that_throws_gets_the_order_again(kafka, fresh, ledger, serve, tmp_path):
    ids = fill(kafka, fresh, 5000)
    proxy = serve(kafka_config(tmp_path, kafka, fresh, ledger, handler=["fail_every=100", "reject_every=250"],
                               pipelines={"orders": {"backoff": {"initial": "50ms", "max": "200ms"}}}))
    wait_handled(ledger, 5000)
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(ids)
    assert not (report.lost or report.duplicates), report
    assert {entry.id for entry in ledger.read() if entry.attempt == 2} == set(range(100, 5001, 100))
    assert kafka.committed("orders-php", fresh) == kafka.ends(fresh)


def test_the_broker_is_killed_in_mid_flight(tmp_path_factory, fresh, ledger, serve, tmp_path):
    kafka = brokers.Kafka(tmp_path_factory.mktemp("kafka-killed"))
    try:
        kafka.start()
        messages = scaled(50_000)
        ids = fill(kafka, fresh, messages)
        proxy = serve(kafka_config(tmp_path, kafka, fresh, ledger, handler=[lasting(24, messages)],
                                   session_timeout="45s"))
        wait_handled(ledger, messages // 8)
        kafka.kill()
        assert ledger.unique() < messages
        open_gate(ledger)
        kafka.start()
        wait_handled(ledger, messages)
        assert proxy.stop() == EXIT_CLEAN
        report = ledger.report(ids)
        assert not (report.lost or report.unexpected), report
        assert kafka.committed("orders-php", fresh) == kafka.ends(fresh)
    finally:
        kafka.finish()
