# SPDX-License-Identifier: MIT
"""Workers of a pool that go otherwise than they should: their place is filled, and what they held waits for their end."""
import pathlib
import signal
import sys
import typing

import pytest

from process import is_alive, wait_until
from proxy import EXIT_CLEAN, EXIT_CUT_SHORT

HERE = pathlib.Path(__file__).parent
MESSAGES = 40


class Word(typing.NamedTuple):
    word: str
    pid: int
    offset: int
    attempt: int


def words(ledger):
    text = ledger.read_text() if ledger.exists() else ""
    return [Word(line.split()[0], *map(int, line.split()[1:])) for line in text.splitlines(keepends=True)
            if line.endswith("\n")]


@pytest.fixture
def start(tmp_path, serve):
    """Serves with workers that leave in some way; returns the proxy and their ledger."""
    ledger = tmp_path / "ledger"

    def begin(how, workers, drain_timeout="20s", **pool):
        command = [sys.executable, str(HERE / "worker_leaving.py"), how, str(ledger)]
        return serve({
            "socket": {"path": f"{tmp_path}/qbus.sock"},
            "log": {"level": "debug", "format": "json"},
            "shutdown": {"drain_timeout": drain_timeout},
            "brokers": {"b": {"type": "memory"}},
            "pipelines": {"orders": {"source": {"broker": "b", "lanes": 1, "messages": MESSAGES}, "pool": "php",
                                     "backoff": {"initial": "10ms"}}},
            "pools": {"php": {"command": command, "num_workers": workers, "destroy_timeout": "1s",
                              "environment": {"PYTHONPATH": str(HERE)}, **pool}},
        }), ledger
    yield begin
    for word in words(ledger):
        if word.word == "stranger":     # nothing tells that it came from a worker: the proxy ends it when itself ends
            assert not is_alive(word.pid)


def offsets(ledger):
    return {word.offset for word in words(ledger) if word.offset >= 0}


def test_what_a_worker_held_that_closed_its_connection_waits_until_it_has_ended(start):
    proxy, ledger = start("closes_and_goes_on", 2)
    first = wait_until(lambda: [word for word in words(ledger) if word.word == "closes"], 60, "one closes its connection")[0]
    again = wait_until(lambda: [word for word in words(ledger) if word.word == "begins" and word.offset == first.offset], 60,
                       f"its message is tried again\n{proxy.text()}")[0]
    assert not is_alive(first.pid)
    assert again.attempt == 2
    wait_until(lambda: len(offsets(ledger)) == MESSAGES, 60, "all are handled")
    assert proxy.stop() == EXIT_CLEAN


def test_a_worker_that_closed_its_connection_and_stays_is_replaced(start):
    proxy, ledger = start("closes_and_stays", 1, allocate_timeout="5s")
    first = wait_until(lambda: words(ledger), 60, "one closes its connection")[0]
    wait_until(lambda: len(offsets(ledger)) == MESSAGES, 60, f"another handles the rest\n{proxy.text()}")
    assert not is_alive(first.pid)
    assert proxy.stop() == EXIT_CLEAN


def test_nothing_is_delivered_to_a_dead_worker_whose_socket_another_process_has(start):
    proxy, ledger = start("dies_before_its_child", 1)
    wait_until(lambda: len(offsets(ledger)) == MESSAGES, 60, f"all are handled\n{proxy.text()}")
    assert "past its deadline" not in proxy.text()
    assert proxy.process.stop(signal.SIGTERM, 120) == EXIT_CLEAN


def test_a_session_that_outlives_the_pools_does_not_trouble_the_end(start):
    proxy, ledger = start("is_another", 1, drain_timeout="1s")
    wait_until(lambda: words(ledger), 60, "it is attached")
    proxy.wait_log("opens client")
    assert proxy.process.stop(signal.SIGTERM, 120) == EXIT_CUT_SHORT     # it holds messages
