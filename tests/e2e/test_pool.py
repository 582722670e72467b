# SPDX-License-Identifier: MIT
"""What the processes of a pool get, and what becomes of them."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import time

import pytest

from process import ROOT, is_alive, wait_until
from proxy import EXIT_CLEAN, merge, run

HANGING = """<?php
require getenv('CLIENT');
exit(Qbus\\Worker::connect()->on('orders', function (Qbus\\Message $message): void {
    fprintf(STDERR, "begins attempt=%d pid=%d\\n", $message->attempt, getmypid());
    for ($until = hrtime(true) + 60e9; hrtime(true) < $until;);
})->run());
"""


def configuration(directory, command, broker, source, **pipeline):
    return {
        "socket": {"path": f"{directory}/qbus.sock"},
        "log": {"level": "debug", "format": "json"},
        "brokers": {"b": broker},
        "pipelines": {"orders": {"source": {"broker": "b", **source}, "pool": "php", **pipeline}},
        "pools": {"php": {"command": command, "num_workers": 2, "destroy_timeout": "1s"}},
    }


def test_workers_do_not_inherit_what_the_brokers_are_configured_with(tmp_path, serve, monkeypatch):
    monkeypatch.setenv("RABBIT_SECRET", "swordfish")
    monkeypatch.setenv("NOT_A_SECRET", "trout")
    amqp = {"type": "amqp", "url": "amqp://app@127.0.0.1:9/", "password": "${RABBIT_SECRET}"}
    proxy = serve(configuration(tmp_path, ["sh", "-c", "env; exec sleep 60"], amqp, {"queue": "orders"}))
    wait_until(lambda: "NOT_A_SECRET=trout" in proxy.text(), 60, f"the worker shows its environment\n{proxy.text()}")
    wait_until(lambda: "QBUS_SOCKET=" in proxy.text(), 60, "all of it")
    assert "swordfish" not in proxy.text()


def test_a_message_is_not_tried_again_while_its_old_worker_still_runs(tmp_path, serve, monkeypatch):
    monkeypatch.setenv("CLIENT", str(ROOT / "php-client" / "autoload.php"))
    (tmp_path / "hang.php").write_text(HANGING)
    proxy = serve(configuration(tmp_path, ["php", str(tmp_path / "hang.php")], {"type": "memory"},
                                      {"lanes": 1, "messages": 1}, handler_timeout="500ms", handler_grace="500ms",
                                      max_attempts=3, backoff={"initial": "10ms"}))

    def pids():
        return [int(pid) for pid in re.findall(r"begins attempt=\d+ pid=(\d+)", proxy.text())]

    for attempt in (2, 3):
        wait_until(lambda: len(pids()) >= attempt, 60, f"attempt {attempt}\n{proxy.text()}")
        assert not is_alive(pids()[attempt - 2])  # SIGTERM only sets a flag there: it lived on until SIGKILL


PULLING = """<?php
require getenv('CLIENT');
$client = Qbus\\Client::connect('orders');
while (($message = $client->next()) !== null) {
    fprintf(STDERR, "begins attempt=%d pid=%d\\n", $message->attempt, getmypid());
    usleep(1500000);
    $message->ack();
    fprintf(STDERR, "acked attempt=%d\\n", $message->attempt);
}
"""


def test_a_worker_that_has_no_handler_for_the_signal_outlives_being_told(tmp_path, serve, monkeypatch):
    monkeypatch.setenv("CLIENT", str(ROOT / "php-client" / "autoload.php"))
    (tmp_path / "pull.php").write_text(PULLING)
    proxy = serve(configuration(tmp_path, ["php", str(tmp_path / "pull.php")], {"type": "memory"},
                                {"lanes": 1, "messages": 1}, handler_timeout="300ms", handler_grace="20s"))
    wait_until(lambda: "acked attempt=1" in proxy.text(), 60, f"the first attempt is acked\n{proxy.text()}")
    assert "past its deadline" in proxy.text()  # it was told


WORKERS = ROOT / "tests" / "e2e"
SCALE = float(os.environ.get("QBUS_E2E_SCALE", "1"))


def told(proxy):
    """What `status --json` says."""
    return json.loads(run("status", "-c", proxy.file, "--json").stdout)


def watched(directory, command, source, pool=None, **pipeline):
    """configuration() with an admin socket."""
    base = configuration(directory, command, {"type": "memory"}, source, **pipeline)
    return merge(base, {"log": {"level": "info"}, "admin": {"socket": f"{directory}/admin.sock"},
                        "pools": {"php": {"num_workers": 2, **(pool or {})}}})


def hoarding(tmp_path, *options):
    return ["php", "-d", "memory_limit=-1", str(WORKERS / "worker_memory.php"), str(tmp_path / "ledger"), *options]


def lines(tmp_path, kind):
    """Ledger lines of that kind, as (body, attempt, pid)."""
    found = [line.split() for line in (tmp_path / "ledger").read_text().splitlines()]
    return [(body, int(attempt), int(pid)) for what, body, attempt, pid in found if what == kind]


def test_workers_that_leak_are_renewed_before_a_message_fails_of_it(tmp_path, serve):
    """QBUS_LEAK_MESSAGES=50000 makes the long run of it."""
    count = int(os.environ.get("QBUS_LEAK_MESSAGES", 2000 * SCALE))
    proxy = serve(watched(tmp_path, hoarding(tmp_path, "leak_kb=1024"), {"lanes": 4, "messages": count}))
    wait_until(lambda: told(proxy)["pipelines"][0]["acked"] >= count, 120 + count / 25, "all are acked")
    # So many at least, for each dies below 192 MiB; the last one leaves only when its successor is there.
    wait_until(lambda: told(proxy)["pools"][0]["exits"]["memory"] >= count * 0.8 / 192, 60, "workers are renewed in time")
    now = told(proxy)
    pipeline, pool = now["pipelines"][0], now["pools"][0]
    assert proxy.stop() == EXIT_CLEAN
    done = lines(tmp_path, "done")
    print(f"messages={len(done)} workers={len({pid for _, _, pid in done})} exits={pool['exits']}")
    assert len({body for body, _, _ in done}) == len(done) == count    # none lost, none twice
    assert {attempt for _, attempt, _ in done} == {1} and pipeline["retried"] == 0
    assert pool["exits"]["memory_hard"] == pool["exits"]["signal"] == pool["exits"]["exit"] == 0


def test_a_handler_that_takes_a_gigabyte_is_ended_and_only_its_message_given_up(tmp_path, serve):
    proxy = serve(watched(tmp_path, hoarding(tmp_path, "hog=0:50"), {"lanes": 1, "messages": 400}, max_attempts=3,
                          dead_letter={"topic": "graves"}, backoff={"initial": "10ms", "max": "50ms"}))
    wait_until(lambda: told(proxy)["pipelines"][0]["dead_lettered"] >= 1, 120, f"it is given up\n{proxy.text()[-2000:]}")
    wait_until(lambda: told(proxy)["pipelines"][0]["acked"] >= 399, 60, "the others are handled")
    pool = told(proxy)["pools"][0]
    assert proxy.stop() == EXIT_CLEAN
    begun = lines(tmp_path, "begin")
    done = lines(tmp_path, "done")
    assert {body for body, _, _ in done} == {f"0:{number}" for number in range(400)} - {"0:50"}
    assert {attempt for _, attempt, _ in done} == {1}       # no neighbour was charged
    assert begun[-1][1] == 3 and pool["exits"]["memory_hard"] == len(begun)
    entries = [json.loads(line) for line in proxy.text().splitlines() if "message is dead-lettered" in line]
    assert [(entry["reason"], entry["attempt"]) for entry in entries] == [("memory", 3)]
    peaks = [int(peak) for peak in re.findall(r"gets SIGKILL pid=\d+ rss_bytes=(\d+)", proxy.text())]
    assert peaks and max(peaks) < 600 << 20, peaks      # it would have been 1 GiB


def test_workers_that_all_exit_at_once_are_reaped_and_restarted_slowly(tmp_path, serve):
    count = max(50, int(500 * SCALE))
    go = tmp_path / "go"
    os.mkfifo(go)
    # Each has the pipe open before it says so, and ends when the writer's end of it closes; what starts later ends at once.
    script = f"[ $QBUS_START -le {count} ] || exit 1; exec 3< {go}; echo waits; read line <&3; exit 1"
    writer = os.open(go, os.O_RDWR)
    proxy = serve(watched(tmp_path, ["sh", "-c", script], {"messages": 1},
                          {"num_workers": count, "allocate_timeout": "1h"}))
    wait_until(lambda: proxy.text().count("waits") == count, 180, "all run")
    first = proxy.workers()
    assert len(first) == count
    cpu, began = told_cpu(proxy), time.monotonic()
    os.close(writer)
    wait_until(lambda: not any(map(is_there, first)), 60, "all are reaped")
    reaped = time.monotonic() - began
    wait_until(lambda: time.monotonic() > began + 11, 60, "each had its next start")
    used = (told_cpu(proxy) - cpu) / (time.monotonic() - began)
    status = told(proxy)
    elapsed = time.monotonic() - began
    print(f"workers={count} reaped_s={reaped:.2f} cpu={used:.1%} starts={status['pools'][0]['starts']}")
    assert reaped < 10      # 0.2 s where nothing else runs; one in each turn of a timer would take longer than this
    assert used < 0.5
    assert status["pools"][0]["crash_looping"] and {"reason": "crash loop", "pool": "php", "why": "exit 1"} in status["reasons"]
    assert status["pools"][0]["starts"] < count * (2 + elapsed / 5)     # 5 to 10 s between two of the same worker
    ended = [pid for pid in proxy.workers() if not is_alive(pid)]
    wait_until(lambda: not any(map(is_there, ended)), 60, "no zombie stays")


def is_there(pid):
    """Also as a zombie."""
    return pathlib.Path(f"/proc/{pid}").exists()


def told_cpu(proxy):
    """Seconds of processor time of the proxy alone."""
    fields = pathlib.Path(f"/proc/{proxy.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def objects():
    """System V objects of this machine that anybody may use, as those of PHP are: (kind, id)."""
    return {(kind, line.split()[1]) for kind in ("shm", "sem")
            for line in pathlib.Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:] if line.split()[2] == "666"}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_nothing_of_a_worker_that_clings_to_everything_remains(tmp_path, serve, end):
    if os.geteuid() != 0:
        pytest.skip("an IPC namespace needs root")
    before = objects()
    settings = watched(tmp_path, ["php", str(WORKERS / "worker_clinging.php")], {"messages": 1},
                       {"destroy_timeout": "500ms"})
    proxy = serve(merge(settings, {"shutdown": {"drain_timeout": "500ms"}}))
    for turn in (1, 2):     # the second start works like the first
        wait_until(lambda: len(re.findall(r"files=1000 segments=1\b", proxy.text())) == 2, 60, "they hold it")
        wait_until(lambda: len(re.findall(r"daemon=\d+", proxy.text())) == 2, 60, "daemons run")
        daemons = [int(pid) for pid in re.findall(r"daemon=(\d+)", proxy.text())[-2:]]
        workers = [int(pid) for pid in re.findall(r"holds pid=(\d+)", proxy.text())[-2:]]
        assert all(map(is_alive, daemons + workers))
        if end == "stop":
            proxy.process.stop(signal.SIGTERM, 90)
            assert not pathlib.Path(proxy.socket).exists()
        else:
            proxy.process.stop(signal.SIGKILL, 60)
        wait_until(lambda: not any(map(is_alive, daemons + workers)), 60, "nothing of them runs")
        wait_until(lambda: objects() <= before, 60, "no System V object is left")
        if turn == 1:
            proxy.start()


def test_who_starts_the_proxy_may_have_closed_its_standard_descriptors(tmp_path, serve):
    """What is opened next is not mistaken for the log, and what cleans up behind a killed proxy is there."""
    command = ["sh", "-c", f"setsid sleep 1000 & echo $! >> {tmp_path}/pids; exec sleep 1000"]
    proxy = serve(configuration(tmp_path, command, {"type": "memory"}, {"messages": 1}),
                  wrapper=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
    assert {os.readlink(f"/proc/{proxy.process.pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
    pids = tmp_path / "pids"
    wait_until(lambda: pids.exists() and pids.read_text().count("\n") == 2, 60, "both workers have a daemon")
    daemons = [int(pid) for pid in pids.read_text().split()]
    assert all(map(is_alive, daemons))
    proxy.kill()
    wait_until(lambda: not any(map(is_alive, daemons)), 60, "they end with the proxy")


CLEARED = """import os, sys, time
if os.fork() == 0:                      # a daemon that nothing leads back from: session, parent and environment of its own
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sh", ["sh", "-c", "echo cleared=$$ >&2; exec sleep 1000"], {})
    os._exit(0)
os.wait()
time.sleep(1000)
"""


@pytest.fixture
def delegated():
    """The folder of a cgroup of our own (version 2), and the wrapper that starts a proxy in it."""
    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    folder = next((pathlib.Path(mount[1]) / f"qbus-test-{os.getpid()}" for mount in mounts if mount[2] == "cgroup2"), None)
    try:
        folder.mkdir()
    except (AttributeError, OSError):
        pytest.skip("no cgroup can be made here")
    if not (folder / "cgroup.kill").exists():
        folder.rmdir()
        pytest.skip("this kernel has no cgroup.kill")
    yield folder, ["sh", "-c", f'echo 0 > {folder}/cgroup.procs && exec "$@"', "sh"]
    (folder / "cgroup.kill").write_text("1")
    wait_until(lambda: "populated 0" in (folder / "cgroup.events").read_text(), 60, "the cgroup is empty")
    for below in sorted(folder.rglob("*/"), reverse=True):
        below.rmdir()
    folder.rmdir()


def cleared(directory, num_workers=2):
    (directory / "cleared.py").write_text(CLEARED)
    return watched(directory, ["/usr/bin/python3", str(directory / "cleared.py")], {"messages": 1},
                   {"num_workers": num_workers, "destroy_timeout": "500ms"})


def wait_cleared(proxy, n):
    wait_until(lambda: len(re.findall(r"cleared=\d+", proxy.text())) >= n, 60, f"{n} daemons\n{proxy.text()}")
    return [int(pid) for pid in re.findall(r"cleared=(\d+)", proxy.text())]


def test_a_daemon_with_an_empty_environment_does_not_outlive_a_clean_stop(tmp_path, serve):
    proxy = serve(cleared(tmp_path))
    daemons = wait_cleared(proxy, 2)
    assert all(map(is_alive, daemons))
    assert proxy.process.stop(signal.SIGTERM, 90) == EXIT_CLEAN
    wait_until(lambda: not any(map(is_alive, daemons)), 60, "they are gone")


def test_what_the_proxy_had_as_children_before_its_start_is_none_of_its_business(tmp_path, serve):
    wrapper = ["sh", "-c", f'sleep 1000 & echo $! > {tmp_path}/pid; exec "$@"', "sh"]
    proxy = serve(cleared(tmp_path), wrapper=wrapper)
    daemons = wait_cleared(proxy, 2)
    proxy.process.stop(signal.SIGTERM, 90)
    assert is_alive(int((tmp_path / "pid").read_text()))    # the fixture ends its session
    for pid in daemons:     # whose they are cannot be told then
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("end", ["worker", "stop", "kill"])
def test_in_a_cgroup_of_its_own_all_of_a_worker_ends_with_it(tmp_path, serve, delegated, end):
    folder, wrapper = delegated
    proxy = serve(cleared(tmp_path), wrapper=wrapper)
    daemons = wait_cleared(proxy, 2)[:2]
    workers = next(folder.glob("qbus-workers.*"))
    groups = {group.name: set((group / "cgroup.procs").read_text().split()) for group in workers.glob("php-*")}
    assert len(groups) == 2 and all(len(group & set(map(str, daemons))) == 1 for group in groups.values())
    assert told(proxy)["cgroups"] == "kill"     # the controllers are not in this hierarchy
    if end == "worker":
        leader = next(pid for pid in proxy.workers() if str(pid) in set.union(*groups.values()) and pid not in daemons)
        os.kill(leader, signal.SIGKILL)
        wait_until(lambda: not all(map(is_alive, daemons)), 60, "its daemon is gone")
        wait_until(lambda: len(set(groups) & {group.name for group in workers.glob("php-*")}) == 1, 60, "so is its cgroup")
        wait_cleared(proxy, 3)
        assert len([pid for pid in daemons if is_alive(pid)]) == 1      # and the other's runs on
    proxy.process.stop(signal.SIGKILL if end == "kill" else signal.SIGTERM, 90)
    wait_until(lambda: not any(map(is_alive, wait_cleared(proxy, 2))), 60, "they are gone")
    wait_until(lambda: not list(folder.glob("qbus-*")), 60, "the proxy's cgroups are gone")


def test_the_service_manager_is_told(tmp_path, serve, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        # The worker holds its message for as long as it likes, so the drain takes its time; it sees no NOTIFY_SOCKET.
        proxy = serve(watched(tmp_path, ["sh", "-c", "echo sees=$NOTIFY_SOCKET.; exec sleep 1000"], {"messages": 1}))
        assert [manager.recv(200) for _ in range(4)] == [b"READY=1\nSTATUS=serving"] + [b"WATCHDOG=1"] * 3
        proxy.wait_log(r"sees=\.")
        manager.setblocking(False)
        said = set()

        def hear():     # the socket has room for few words: what nobody takes is lost
            with contextlib.suppress(BlockingIOError):
                while True:
                    said.add(manager.recv(200).decode().split("\n")[0])
            return said
        hear()
        proxy.process.send(signal.SIGTERM)
        wait_until(lambda: {"STOPPING=1", "EXTEND_TIMEOUT_USEC=10000000"} <= hear(), 60, "its stop is told")
        proxy.process.wait(60)
