# SPDX-License-Identifier: MIT
"""SIGHUP: the same process serves what the file says by then, or goes on with what it has."""
import contextlib
import json
import os
import pathlib
import signal
import shutil
import socket
import stat

import pytest

from process import PROXY, is_alive, is_keeper, scaled, wait_until
from proxy import EXIT_CLEAN, amqp_config, kafka_config, lasting, merge, open_gate, run

SLEEPERS = ["sh", "-c", "exec sleep 1000"]


def seen(proxy):
    """What `status --json` says; None while nobody answers."""
    done = run("status", "--socket", proxy.doors[1], "--json")
    return json.loads(done.stdout) if done.returncode == EXIT_CLEAN else None


def reload(proxy):
    """Waits until the process serves again."""
    before = proxy.text().count("serving version=")
    proxy.process.send(signal.SIGHUP)
    wait_until(lambda: proxy.text().count("serving version=") > before and proxy.listens() and seen(proxy), 120,
               lambda: f"it serves anew\n{proxy.process.tail()}")


def children(pid):
    """All of them, zombies and the keeper included."""
    return [int(child) for thread in pathlib.Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()]


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def opened(fifo):
    """A descriptor to write to whoever reads there; None while nobody does."""
    with contextlib.suppress(OSError):
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    return None


@pytest.fixture
def small(tmp_path, serve):
    """small(...) serves the memory broker; workers that do nothing are enough."""
    def start(**changes):
        base = {"socket": {"path": f"{tmp_path}/qbus.sock"}, "admin": {"socket": f"{tmp_path}/admin.sock"},
                "brokers": {"b": {"type": "memory"}},
                "pipelines": {"orders": {"source": {"broker": "b", "messages": 10}, "pool": "php"}},
                "pools": {"php": {"command": SLEEPERS, "num_workers": 1, "destroy_timeout": "1s"}}}
        wrapper = changes.pop("wrapper", ())
        return serve(merge(base, changes), wrapper=wrapper)
    return start


def changed(proxy, **changes):
    """Writes the file anew."""
    proxy.configure(merge(json.loads(proxy.file.read_text()), changes))


def three_reloads(proxy, ledger, messages):
    """Three of them while messages are handled, each with another number of workers."""
    pid = proxy.process.pid
    for number in range(1, 4):
        wait_until(lambda n=number: ledger.unique() >= messages * n // 6, 600, "some are handled")
        workers = proxy.workers()
        changed(proxy, pools={"php": {"num_workers": number}})
        reload(proxy)
        assert ledger.unique() < messages, "the reload struck in the middle"
        assert proxy.process.pid == pid and seen(proxy)["pools"][0]["wanted"] == number
        assert not [worker for worker in workers if is_alive(worker)], "what was served is gone"
    open_gate(ledger)
    wait_until(lambda: ledger.unique() >= messages, 600, f"{messages} orders handled")
    assert len([child for child in children(pid) if is_keeper(child)]) == 1, "one keeper, that of now"
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(range(1, messages + 1))
    assert not (report.lost or report.duplicates or report.unexpected), report


def test_three_reloads_of_a_kafka_consumer_lose_nothing_and_repeat_nothing(kafka, fresh, ledger, serve, tmp_path):
    messages = scaled(50_000)
    kafka.create_topic(fresh, 12)
    kafka.produce(fresh, messages)
    proxy = serve(kafka_config(tmp_path, kafka, fresh, ledger, handler=[lasting(12, messages)],
                               admin={"socket": f"{tmp_path}/admin.sock"}))
    three_reloads(proxy, ledger, messages)
    assert kafka.committed("orders-php", fresh) == kafka.ends(fresh)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_three_reloads_of_an_amqp_consumer_lose_nothing_and_repeat_nothing(rabbit, fresh, ledger, serve, tmp_path, kind):
    messages = scaled(20_000)
    rabbit.declare(fresh, kind)
    rabbit.produce(fresh, messages)
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger, handler=[lasting(12, messages)],
                              admin={"socket": f"{tmp_path}/admin.sock"}))
    three_reloads(proxy, ledger, messages)
    wait_until(lambda: rabbit.ready(fresh) == 0, 60, "the queue is empty")


def test_what_is_wrong_is_told_by_line_and_the_old_is_served_on(small):
    proxy = small()
    workers = wait_until(proxy.workers, 60, "its worker runs")
    good = proxy.file.read_text()
    proxy.file.write_text(good.replace("num_workers", "num_wrokers"))
    proxy.process.send(signal.SIGHUP)
    line = next(n for n, text in enumerate(good.splitlines(), 1) if "num_workers" in text)
    proxy.wait_log(rf"qbus\.yaml:{line}:\d+: .*num_wrokers")
    proxy.wait_log(r"SIGHUP: .*qbus\.yaml is refused, what was served is served on")
    assert seen(proxy)["reload_refused"] and seen(proxy)["state"] == "serving"
    assert "SIGHUP found the configuration wrong" in run("status", "--socket", proxy.doors[1]).stdout
    assert proxy.workers() == workers
    proxy.file.write_text(good)
    reload(proxy)
    assert not seen(proxy)["reload_refused"]
    assert proxy.stop() == EXIT_CLEAN


def test_a_stop_during_a_reload_is_a_stop(small, tmp_path):
    command = [str(tmp_path / "hold.sh")]
    (tmp_path / "hold.sh").write_text(f"#!/bin/sh\ntrap '' TERM\ntouch {tmp_path}/runs\nexec sleep 1000\n")
    (tmp_path / "hold.sh").chmod(stat.S_IRWXU)
    proxy = small(pools={"php": {"command": command, "destroy_timeout": "20s"}})
    wait_until((tmp_path / "runs").exists, 60, "the worker runs")
    proxy.process.send(signal.SIGHUP)
    proxy.wait_log("draining: .*why=SIGHUP")
    proxy.process.send(signal.SIGHUP)   # said while it goes down, it is not heeded
    proxy.wait_log("SIGHUP: not heeded, the proxy is")
    proxy.process.send(signal.SIGTERM)
    proxy.wait_log("told to stop: nothing is begun anew why=SIGTERM")
    for worker in proxy.workers():
        os.kill(worker, signal.SIGKILL)
    assert proxy.process.wait(60) == EXIT_CLEAN
    assert proxy.text().count("serving version=") == 1


def test_a_handler_that_does_not_end_is_cut_short_and_the_new_is_served(serve, ledger, tmp_path, kafka, fresh):
    kafka.create_topic(fresh, 1)
    kafka.produce(fresh, 1)
    proxy = serve(kafka_config(tmp_path, kafka, fresh, ledger, handler=["last=0"], workers=1,
                               admin={"socket": f"{tmp_path}/admin.sock"}, shutdown={"drain_timeout": "500ms"},
                               pools={"php": {"destroy_timeout": "200ms"}}))
    wait_until(lambda: seen(proxy)["pipelines"][0]["in_flight"] == 1, 60, "its handler runs")
    reload(proxy)
    proxy.wait_log("ends before everything was settled, begins anew")
    open_gate(ledger)
    wait_until(lambda: ledger.count() == 1, 60, "the message came again")
    assert proxy.stop() == EXIT_CLEAN


def test_many_hangups_at_once_end_nothing_and_leave_nothing_open(small):
    proxy = small()
    wait_until(lambda: seen(proxy)["pools"][0]["alive"] == 1, 60, "its worker runs")
    n_open = descriptors(proxy.process.pid)
    for _ in range(3):
        for _ in range(30):
            proxy.process.send(signal.SIGHUP)
        reload(proxy)
    wait_until(lambda: descriptors(proxy.process.pid) <= n_open, 60, "it serves with what it had open before")
    assert proxy.stop() == EXIT_CLEAN


def test_a_hangup_during_a_check_is_followed_by_another(small, tmp_path):
    """What is being checked is older than what the second hangup is about."""
    proxy = small()
    good = proxy.file.read_text()
    slow, later = tmp_path / "slow", tmp_path / "later"
    os.mkfifo(slow)
    later.write_text(good)
    slow.rename(proxy.file)
    proxy.process.send(signal.SIGHUP)
    with open(wait_until(lambda: opened(proxy.file), 60, "the check reads"), "w", encoding="ascii") as file:
        later.rename(proxy.file)
        proxy.process.send(signal.SIGHUP)
        assert seen(proxy) and seen(proxy)      # each answer is a turn of the loop: it has taken the signal
        file.write("nonsense: 1")
    proxy.wait_log("is refused, what was served is served on")
    wait_until(lambda: proxy.text().count("serving version=") == 2 and proxy.listens(), 60, "what came later is served")
    assert not wait_until(lambda: seen(proxy), 60, "it answers")["reload_refused"]
    assert proxy.stop() == EXIT_CLEAN


def test_a_hangup_at_the_start_is_heeded_when_it_serves(small, tmp_path):
    """Nobody takes signals while the first configuration is read; this one is read from a pipe, so that it lasts."""
    proxy = small()
    good = proxy.file.read_text()
    assert proxy.stop() == EXIT_CLEAN
    later = tmp_path / "later"
    proxy.file.rename(later)
    os.mkfifo(proxy.file)
    proxy.start(ready=False)
    before = proxy.text().count("serving version=")
    with open(wait_until(lambda: opened(proxy.file), 60, "it reads"), "w", encoding="ascii") as file:
        proxy.process.send(signal.SIGHUP)
        later.rename(proxy.file)
        file.write(good)
    wait_until(lambda: proxy.text().count("serving version=") == before + 2 and proxy.listens(), 60, "it began twice")
    assert proxy.stop() == EXIT_CLEAN


def test_the_program_that_lies_there_by_then_is_begun(small, tmp_path):
    """An upgrade: another file at the same path. What cannot be run is refused like a wrong configuration."""
    program = tmp_path / "qbus-proxy"
    shutil.copy2(PROXY, program)
    plugins = PROXY.parents[1] / "lib" / "qbus"
    proxy = small(wrapper=["sh", "-c", f'shift; QBUS_PLUGIN_DIR={plugins} exec {program} "$@"', "sh"])
    inode = program.stat().st_ino
    program.rename(tmp_path / "old")
    proxy.process.send(signal.SIGHUP)
    proxy.wait_log("is refused, .*cannot execute")
    assert seen(proxy)["state"] == "serving"
    shutil.copy2(PROXY, program)
    reload(proxy)
    assert program.stat().st_ino != inode
    assert pathlib.Path(f"/proc/{proxy.process.pid}/exe").resolve() == program
    assert proxy.stop() == EXIT_CLEAN


def test_secrets_are_read_anew_and_the_environment_is_of_the_start(tmp_path, serve, rabbit, fresh, ledger, monkeypatch):
    """A password in a file is changed while the proxy runs, as in the broker."""
    monkeypatch.setenv("QBUS_TEST_QUEUE", fresh)
    rabbit.declare(fresh, "classic")
    secret = tmp_path / "password"
    secret.write_text("first")
    def ask(function, *arguments):
        arguments = ", ".join(f'<<"{argument}">>' for argument in (*arguments, "test"))
        assert rabbit.evaluate(f"rabbit_auth_backend_internal:{function}({arguments}).").wait(60) == 0

    ask("add_user", "reloading", "first")
    ask("set_permissions", "reloading", "/", ".*", ".*", ".*")
    url = rabbit.url.replace("//guest:guest@", "//reloading@")
    proxy = serve(amqp_config(tmp_path, rabbit, "${QBUS_TEST_QUEUE}", ledger, admin={"socket": f"{tmp_path}/admin.sock"},
                              brokers={"b": {"url": url, "password_file": str(secret)}}))
    rabbit.produce(fresh, 10)
    wait_until(lambda: ledger.count() == 10, 60, "handled with the first")
    secret.write_text("second")
    ask("change_password", "reloading", "second")
    reload(proxy)
    rabbit.produce(fresh, 10)
    wait_until(lambda: ledger.count() == 20, 60, "handled with the second")
    assert proxy.stop() == EXIT_CLEAN


def test_the_service_manager_is_told_of_a_reload(small, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        proxy = small()
        said = []

        def hear():
            with contextlib.suppress(BlockingIOError):
                while True:
                    said.append(manager.recv(200).decode())
            return [words.split("\n")[0] for words in said if not words.startswith("EXTEND")]
        wait_until(lambda: hear() == ["READY=1"], 60, "its start is told")
        good = proxy.file.read_text()
        proxy.file.write_text("nonsense: 1")
        proxy.process.send(signal.SIGHUP)
        wait_until(lambda: hear() == ["READY=1", "RELOADING=1", "READY=1"], 60, "a refusal is told")
        assert "refused" in said[-1] and "MONOTONIC_USEC=" in said[-2]
        proxy.file.write_text(good)
        reload(proxy)
        wait_until(lambda: hear() == ["READY=1", "RELOADING=1"] * 2 + ["READY=1"], 60, "nothing but a reload is told")
        assert proxy.stop() == EXIT_CLEAN
        assert hear()[-1] == "STOPPING=1"
