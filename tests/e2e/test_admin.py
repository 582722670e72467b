# SPDX-License-Identifier: MIT
"""What operators see of a running proxy: metrics, health, and the command line's views."""
import collections
import http.client
import json
import os
import re
import signal
import socket
import stat
import time

import pytest

from client import LATE, Client
from process import wait_until
from proxy import EXIT_CLEAN, EXIT_CONFIG, EXIT_ERROR, EXIT_USAGE, config, merge, run

SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def fetch(connection, page, method="GET"):
    """Status and body of a page."""
    connection.request(method, page)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.fixture
def watched(serve, tmp_path, ledger):
    """watched(messages=..., ...) starts a proxy on the memory broker, both doors open; workers come from the test."""
    def start(**changes):
        source = {"lanes": 2, "messages": changes.pop("messages", 1000)}
        base = config(tmp_path, {"type": "memory"}, source, ledger)
        base = merge(base, {"pipelines": {"orders": {"pool": None}}, "pools": None,
                            "admin": {"listen": "127.0.0.1:0", "socket": f"{tmp_path}/admin.sock"}})
        proxy = serve(merge(base, changes))
        proxy.wait_log("broker is connected")
        found = proxy.wait_log(r"shows metrics and health address=127\.0\.0\.1:(\d+)")
        proxy.page = lambda page, method="GET": fetch(http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60),
                                                      page, method)
        proxy.secret = lambda page: fetch(UnixConnection(f"{tmp_path}/admin.sock"), page)
        return proxy
    return start


def samples(text):
    """{name: {labels: value}}; labels as a sorted tuple of pairs."""
    found = collections.defaultdict(dict)
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            found[name][tuple(sorted(LABEL.findall(labels or "")))] = float(value)
    return found


def metric(proxy, name, **labels):
    """The value of one sample; labels beyond pipeline="orders" by name."""
    status, text = proxy.page("/metrics")
    assert status == 200
    return samples(text)[name][tuple(sorted({"pipeline": "orders", **labels}.items()))]


def test_metrics_count_what_happens(watched, tmp_path):
    proxy = watched(messages=100, pipelines={"orders": {"backoff": {"initial": "1h", "max": "1h"}}})
    with Client(proxy.socket) as worker:
        worker.welcome(credit=10)
        held = worker.take(10)
        wait_until(lambda: metric(proxy, "qbus_in_flight_messages") == 10, 60, "10 messages are in flight")
        worker.settle([held[0].id, 8], [[held[8].id, 1, -1, "no luck"], [held[9].id, 2, 0, "not for us"]])
        wait_until(lambda: metric(proxy, "qbus_messages_acked_total") == 8, 60, "8 acks are counted")
        wait_until(lambda: metric(proxy, "qbus_messages_received_total") == 100, 60, "all are received")
        assert metric(proxy, "qbus_messages_retried_total", reason="exception") == 1
        assert metric(proxy, "qbus_messages_rejected_total", reason="rejected") == 1
        assert metric(proxy, "qbus_waiting_retries") == 1
        assert metric(proxy, "qbus_broker_connected") == 1
        assert metric(proxy, "qbus_handler_duration_seconds_count") == 10
        assert metric(proxy, "qbus_end_to_end_seconds_count") == 10
        assert metric(proxy, "qbus_dispatch_wait_seconds_count") >= 10
        worker.settle([held[0].id, 1])
        worker.expect(LATE)
    text = proxy.page("/metrics")[1]
    assert samples(text)["qbus_late_verdicts_total"][()] == 1
    assert samples(text)["process_open_fds"][()] > 5
    assert 'memory="memory 1"' in text
    assert proxy.stop() == EXIT_CLEAN


def test_memory_is_shared_by_all_pipelines_and_none_is_starved(serve, tmp_path, ledger):
    ceiling = 16 << 20
    source = {"lanes": 2, "body_bytes": "32KiB"}  # 1,024 of them, where a source rests, are more than the ceiling
    base = config(tmp_path, {"type": "memory"}, source, ledger)
    orders = base["pipelines"].pop("orders")
    greedy = {"source": orders["source"], "max_outstanding_bytes": "64MiB", "max_message_bytes": "1MiB"}
    proxy = serve(merge(base, {"memory": {"max_bytes": ceiling}, "pools": None,
                               "pipelines": {"first": greedy, "second": greedy},
                               "admin": {"listen": "127.0.0.1:0"}}))
    found = proxy.wait_log(r"shows metrics and health address=127\.0\.0\.1:(\d+)")

    def held():
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        read = samples(fetch(connection, "/metrics")[1])
        each = [value for _, value in sorted(read["qbus_buffered_bytes"].items())]
        return read["qbus_memory_used_bytes"][()], each
    share = ceiling / 64 - (64 << 10)
    wait_until(lambda: held()[0] > ceiling * 0.6 and min(held()[1]) >= share, 60, "most of the memory is used, by both")
    for _ in range(10):
        used, each = held()
        assert sum(each) <= used
        assert used <= ceiling + (2 << 20)  # polls that are under way when a share is cut
        assert min(each) >= share
    assert proxy.stop() == EXIT_CLEAN


def test_every_metric_is_documented_and_the_other_way_round(watched):
    from process import ROOT
    written = set(re.findall(r"^# TYPE (\S+) ", watched().page("/metrics")[1], re.M))
    documented = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.M))
    assert written == documented


def test_a_handler_is_measured_by_the_moment_of_its_verdict(watched):
    """Between delivery and verdict the loop sleeps; what woke it did not happen when it fell asleep."""
    proxy = watched(messages=3)
    begin = time.monotonic()
    with Client(proxy.socket) as worker:
        worker.welcome(credit=1)
        for _ in range(3):
            delivery, = worker.take(1)
            assert worker.silence(0.3)
            worker.ack([delivery])
        wait_until(lambda: metric(proxy, "qbus_messages_acked_total") == 3, 60, "3 acks are counted")
        assert metric(proxy, "qbus_handler_duration_seconds_bucket", le="0.25") == 0
        assert 0.9 <= metric(proxy, "qbus_handler_duration_seconds_sum") <= time.monotonic() - begin


def test_ready_says_what_is_missing(watched):
    proxy = watched()
    assert proxy.page("/healthz") == (200, "ok\n")
    status, body = proxy.page("/readyz")
    assert status == 503 and json.loads(body) == {"ready": False, "reasons": [{"reason": "no worker", "pipeline": "orders"}]}
    with Client(proxy.socket) as worker:
        worker.welcome(credit=1)
        assert proxy.page("/readyz")[0] == 200
        worker.take(1)
        proxy.process.send(signal.SIGTERM)
        wait_until(lambda: '"draining"' in proxy.page("/readyz")[1], 60, "it is draining")
        assert proxy.page("/healthz")[0] == 200
    assert proxy.process.wait(90) == EXIT_CLEAN


def test_the_public_door_shows_neither_status_nor_deliveries(watched):
    proxy = watched()
    assert [proxy.page(page)[0] for page in ("/status", "/inflight", "/", "/metrics/..")] == [404] * 4
    assert proxy.page("/metrics", "POST")[0] == 405
    assert proxy.page("/metrics", "HEAD") == (200, "")
    assert proxy.secret("/status")[0] == proxy.secret("/metrics")[0] == 200


def test_the_views_of_the_command_line(watched, tmp_path):
    proxy = watched(messages=20)
    with Client(proxy.socket) as worker:
        worker.welcome(credit=3)
        held = worker.take(3)
        wait_until(lambda: metric(proxy, "qbus_messages_received_total") == 20, 60, "all are received")
        views = {view: run(*view.split(), "-c", proxy.file) for view in ("status", "pipelines list", "workers", "inflight")}
        assert all(done.returncode == EXIT_CLEAN and not done.stderr for done in views.values()), views
        assert re.search(r"^qbus-proxy \S+ is serving", views["status"].stdout)
        assert re.search(r"^orders +b +open +yes", views["status"].stdout, re.M)
        assert len(re.findall(r"^orders +memory +[01] +open", views["pipelines list"].stdout, re.M)) == 2
        assert re.search(rf"^ +\d+ +{os.getpid()} +- +0 +busy +.* 3 +3 +memory.* tests/1 +orders$", views["workers"].stdout, re.M)
        assert views["inflight"].stdout.count("\n" + str(held[0].id)) == 1
        status = json.loads(run("status", "--json", "--socket", f"{tmp_path}/admin.sock").stdout)
        assert status["ready"] and status["pipelines"][0]["in_flight"] == 3
        assert {lane["newest"] for lane in status["pipelines"][0]["lanes"]} == {9}
        assert (status["workers"][0]["held"], status["workers"][0]["credit"]) == (3, 3)
        inflight = json.loads(run("inflight", "--json", "-c", proxy.file).stdout)
        assert [d["running"] for d in inflight["deliveries"]].count(True) == 1
        assert {d["id"] for d in inflight["deliveries"]} == {d.id for d in held}


def test_the_admin_socket_is_ours_alone_and_survives_a_kill(watched, tmp_path):
    proxy = watched()
    path = tmp_path / "admin.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    proxy.kill()
    assert path.exists()
    done = run("status", "-c", proxy.file)
    assert done.returncode == EXIT_ERROR and done.stderr == f"qbus-proxy: no qbus-proxy listens at {path}\n"
    proxy.start()
    wait_until(lambda: run("status", "-c", proxy.file).returncode == EXIT_CLEAN, 60, "it can be asked again")
    assert proxy.stop() == EXIT_CLEAN
    assert not path.exists()


def test_who_cannot_be_asked_is_told(tmp_path, ledger):
    file = tmp_path / "qbus.yaml"
    file.write_text(json.dumps(config(tmp_path, {"type": "memory"}, {"lanes": 1}, ledger)))
    done = run("status", "-c", file)
    assert done.returncode == EXIT_ERROR and "names no admin.socket" in done.stderr
    assert run("status").returncode == EXIT_USAGE
    assert run("pipelines", "pause", "-c", file).returncode == EXIT_USAGE
    file.write_text("brokers: 7\n")
    assert run("workers", "-c", file).returncode == EXIT_CONFIG


def test_a_second_proxy_does_not_take_the_doors(watched, serve, tmp_path, ledger):
    watched()
    other = config(tmp_path, {"type": "memory"}, {"lanes": 1}, ledger, name="other")
    second = serve(merge(other, {"admin": {"socket": f"{tmp_path}/admin.sock"}}), ready=False, name="other")
    assert second.process.wait(60) == EXIT_ERROR
    assert "another qbus-proxy serves" in second.text()
    assert run("status", "--socket", f"{tmp_path}/admin.sock").returncode == EXIT_CLEAN


def test_slow_and_idle_visitors_do_not_keep_others_out_for_long(watched):
    proxy = watched()
    port = int(re.search(r"address=127\.0\.0\.1:(\d+)", proxy.text())[1])
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]

    def is_shown():
        try:
            return proxy.page("/healthz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False
    wait_until(is_shown, 60, "idle connections have given way")
    for connection in idle:
        connection.close()
