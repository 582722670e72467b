# SPDX-License-Identifier: MIT
"""Handlers past their deadline: told, a call that they hang in broken, and only then ended."""
import json
import re
import socket
import sys

import pytest

from process import ROOT, Process, is_alive, wait_until
from proxy import EXIT_CLEAN, run
from test_admin import metric, watched  # noqa: F401 (a fixture)

HERE = ROOT / "tests" / "e2e"
# A busy machine has to bring a worker into its call within the first of them, or there is nothing to break.
STAGES = {"handler_timeout": "2s", "handler_break": "100ms", "handler_grace": "20s", "backoff": {"initial": "10ms"}}

READING = """<?php
require getenv('CLIENT');
ini_set('default_socket_timeout', '600');
exit(Qbus\\Worker::connect()->on('orders', function (Qbus\\Message $message): void {
    fprintf(STDERR, "begins attempt=%d pid=%d\\n", $message->attempt, getmypid());
    if ($message->attempt === 1) {
        $silent = stream_socket_client('tcp://127.0.0.1:' . getenv('SILENT'));
        fprintf(STDERR, "read=%s\\n", var_export(fread($silent, 100), true));
    }
})->run());
"""

# A worker of another language, in which each first attempt hangs.
HANGING = """import os, signal, socket, sys
sys.path.append(os.environ["HERE"])
from client import LIMIT, SYNC, SYNCED, UNLIMIT, Client
signal.signal(signal.SIGUSR1, lambda *_: print("signalled", flush=True))
with Client(os.environ["QBUS_SOCKET"], timeout=600) as worker:
    worker.welcome(credit=1, signals=1)
    while True:
        delivery, = worker.take(1, timeout=600)
        print(f"begins attempt={delivery.attempt} pid={os.getpid()}", flush=True)
        if os.environ["ENDS_WITH"] == "unlimit":
            worker.send(LIMIT, [delivery.id, 1, 2000])
        if delivery.attempt == 1:
            silent = socket.create_connection(("127.0.0.1", int(os.environ["SILENT"])))
            print(f"read={silent.recv(100)!r}", flush=True)
        if os.environ["ENDS_WITH"] == "unlimit":
            worker.send(UNLIMIT, [delivery.id, 1])
        if os.environ["ENDS_WITH"] == "meant":
            worker.settle(others=[[delivery.id, 4, 0, None]])
        else:
            worker.ack([delivery])
        worker.send(SYNC, [delivery.id])
        assert worker.expect(SYNCED) == [delivery.id]
"""


@pytest.fixture
def silent():
    """The port of a service that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def pool(command, silent, environment=None, **pipeline):
    given = {"SILENT": str(silent), "CLIENT": str(ROOT / "php-client" / "autoload.php"), "HERE": str(HERE)}
    return {"pools": {"php": {"command": command, "num_workers": 1, "destroy_timeout": "100ms",
                              "environment": given | (environment or {})}},
            "pipelines": {"orders": {"pool": "php", **STAGES, **pipeline}}}


def reading(directory, silent, **pipeline):
    (directory / "read.php").write_text(READING)
    return pool(["php", str(directory / "read.php")], silent, **pipeline)


def hanging(directory, silent, ends_with, **pipeline):
    (directory / "hanging.py").write_text(HANGING)
    return pool([sys.executable, str(directory / "hanging.py")], silent, {"ENDS_WITH": ends_with}, **pipeline)


def deadlines(proxy):
    return [int(metric(proxy, "qbus_deadline_total", stage=stage)) for stage in ("told", "broken", "ended")]


def begun(text):
    """(attempt, pid) of each attempt that began."""
    return [(int(attempt), int(pid)) for attempt, pid in re.findall(r"begins attempt=(\d+) pid=(\d+)", text)]


def wait_begun(proxy, attempt):
    """What a worker of a pool says may be in the log only after its ack has come."""
    proxy.wait_log(rf"begins attempt={attempt} pid=\d")
    return begun(proxy.text())


def wait_acked(proxy):
    wait_until(lambda: metric(proxy, "qbus_messages_acked_total") == 1, 60, f"it is acked\n{proxy.text()}")


def test_a_handler_that_hangs_in_a_read_gets_out_and_its_worker_lives_on(watched, tmp_path, silent):  # noqa: F811
    proxy = watched(messages=1, **reading(tmp_path, silent))
    wait_acked(proxy)
    (_, first), (attempt, second) = wait_begun(proxy, 2)
    assert (attempt, first) == (2, second), proxy.text()
    proxy.wait_log("read=''")  # as when the other side hangs up, and the handler returned
    assert deadlines(proxy) == [1, 1, 0]
    assert metric(proxy, "qbus_messages_retried_total", reason="deadline") == 1
    assert re.search(r"hangs in a call, which is broken: \w+ tcp: 1 shut", proxy.text())
    assert proxy.stop() == EXIT_CLEAN


@pytest.mark.parametrize("ends_with", ["meant", "run"])
def test_what_was_broken_is_acked_only_when_that_is_meant(watched, tmp_path, silent, ends_with):  # noqa: F811
    proxy = watched(messages=1, **hanging(tmp_path, silent, ends_with))
    wait_acked(proxy)
    proxy.wait_log("read=b''")
    attempts = [1] if ends_with == "meant" else [1, 2]
    assert [attempt for attempt, _ in wait_begun(proxy, attempts[-1])] == attempts
    assert deadlines(proxy) == [1, 1, 0]
    assert metric(proxy, "qbus_messages_retried_total", reason="deadline") == (0 if ends_with == "meant" else 1)


def test_what_was_broken_in_a_limited_part_is_acked(watched, tmp_path, silent):  # noqa: F811
    proxy = watched(messages=1, **hanging(tmp_path, silent, "unlimit", handler_timeout="60s"))
    wait_acked(proxy)
    proxy.wait_log("signalled")
    proxy.wait_log("read=b''")
    assert deadlines(proxy) == [0, 0, 0]
    assert [metric(proxy, "qbus_part_deadline_total", stage=stage) for stage in ("told", "broken")] == [1, 1]


def test_nothing_is_broken_where_it_is_off(watched, tmp_path, silent):  # noqa: F811
    proxy = watched(messages=1, **reading(tmp_path, silent, handler_break="off", handler_grace="500ms"))
    wait_acked(proxy)
    (_, first), (_, second) = wait_begun(proxy, 2)
    assert first != second and not is_alive(first)
    assert deadlines(proxy) == [1, 0, 1]


def test_a_worker_from_outside_is_told_and_broken_too(watched, tmp_path, silent):  # noqa: F811
    hanging(tmp_path, silent, "run")
    proxy = watched(messages=1, pipelines={"orders": STAGES})
    worker = Process([sys.executable, tmp_path / "hanging.py"], tmp_path / "outside.log",
                     {"QBUS_SOCKET": proxy.socket, "SILENT": str(silent), "HERE": str(HERE), "ENDS_WITH": "run"})
    wait_acked(proxy)
    assert "signalled" in worker.text()
    assert [attempt for attempt, _ in begun(worker.text())] == [1, 2]
    assert deadlines(proxy) == [1, 1, 0]
    assert re.search(r'"worker \d+".*calls that hang can be broken', proxy.text())
    worker.finish()


def test_a_worker_is_renewed_after_its_share_of_breaks(watched, tmp_path, silent):  # noqa: F811
    changes = reading(tmp_path, silent)
    changes["pools"]["php"]["recycle_after_breaks"] = 2
    proxy = watched(messages=2, **changes)
    wait_until(lambda: proxy.workers() and metric(proxy, "qbus_messages_acked_total") == 2, 60, "both are acked")
    wait_until(lambda: len(begun(proxy.text())) >= 4, 60, "four attempts have begun")
    first = {pid for attempt, pid in begun(proxy.text()) if attempt == 1}
    proxy.wait_log("is to leave: it has its recycle_after_breaks")
    wait_until(lambda: proxy.workers() and not first & set(proxy.workers()), 60, "another worker runs")
    assert len(first) == 1  # one break was not enough
    assert deadlines(proxy) == [2, 2, 0]


def test_the_status_says_by_what_calls_can_be_broken(watched, tmp_path, silent):  # noqa: F811
    proxy = watched(messages=1, **reading(tmp_path, silent))
    means = proxy.wait_log(r'"php","msg":"calls that hang can be broken by=\\"([a-z ]+)\\"')[1]
    status = json.loads(run("status", "--json", "-c", proxy.file).stdout)
    assert status["breaking"] == status["pools"][0]["breaking"] == means
    shown = run("status", "-c", proxy.file).stdout
    assert "BREAKS CALLS BY" in shown and f"broken by {means}\n" in shown
