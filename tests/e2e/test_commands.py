# SPDX-License-Identifier: MIT
"""What operators may do to a running proxy through its admin socket.

The worker is this process, so its calls are not to be broken (handler_break)."""
import json
import re
import signal

from client import CANCEL, Client
from process import ROOT, Process, wait_until
from proxy import EXIT_CLEAN, EXIT_CUT_SHORT, EXIT_ERROR, EXIT_USAGE, PROXY, config, merge, run
from test_admin import UnixConnection, fetch, metric, watched  # pylint: disable=unused-import


def status(proxy, pipeline="orders"):
    """The status of one pipeline."""
    done = run("pipelines", "list", pipeline, "--json", "-c", proxy.file)
    assert done.returncode == EXIT_CLEAN, done.stderr
    found, = json.loads(done.stdout)["pipelines"]
    return found


def command(proxy, *words, code=EXIT_CLEAN):
    """Runs a command that ends with this code; what it says."""
    done = run(*words, "-c", proxy.file)
    assert done.returncode == code, (words, done)
    return done.stdout + done.stderr


def test_a_paused_pipeline_delivers_nothing_until_it_is_resumed(watched):
    proxy = watched(messages=100)
    with Client(proxy.socket) as worker:
        worker.welcome(credit=2)
        held = worker.take(2)
        assert command(proxy, "pipelines", "pause", "orders") == "orders is paused\n"
        seen = status(proxy)
        assert (seen["paused"], seen["paused_by"], seen["in_flight"]) == (True, "operator", 2)
        assert all(lane["shut"] for lane in seen["lanes"])
        assert metric(proxy, "qbus_pipeline_held") == 1
        code, body = proxy.page("/readyz")
        assert code == 503 and json.loads(body)["reasons"] == [
            {"reason": "pipeline paused by an operator", "pipeline": "orders"}]
        worker.ack(held)
        wait_until(lambda: status(proxy)["acked"] == 2, 60, "what was running is acked")
        assert worker.silence(0.5)
        assert status(proxy)["delivered"] == 2
        assert command(proxy, "pipelines", "resume", "orders") == "orders goes on\n"
        worker.take(2)
        seen = status(proxy)
        assert not seen["paused"] and seen["paused_by"] is None and not any(lane["shut"] for lane in seen["lanes"])
        assert proxy.page("/readyz")[0] == 200
    assert "an operator pauses the pipeline" in proxy.text()
    assert proxy.stop() == EXIT_CLEAN


def test_a_lane_that_opens_while_its_pipeline_is_paused_is_shut(watched):
    """The lane is given up in peace, which waits for what runs; it opens again while the pipeline is paused."""
    revocations = [f"revoke@{count}" for count in range(10, 100, 10)]  # one may come and go between two looks
    proxy = watched(messages=100, pipelines={"orders": {"source": {"lanes": 1, "script": revocations},
                                                        "max_outstanding_messages": 8}})
    with Client(proxy.socket) as worker:
        worker.welcome(credit=1)
        while (held := worker.take(1)) and status(proxy)["lanes"][0]["state"] == "open":
            worker.ack(held)
        n_opened = proxy.text().count("lane opens")
        command(proxy, "pipelines", "pause", "orders")
        worker.ack(held)
        wait_until(lambda: proxy.text().count("lane opens") == n_opened + 1, 60, "the lane opens again")
        lane, = status(proxy)["lanes"]
        assert (lane["state"], lane["shut"]) == ("open", True)
        assert worker.silence(0.5)
        command(proxy, "pipelines", "resume", "orders")
        assert worker.take(1)[0].offset == held[0].offset + 1


def test_a_drain_ends_when_nothing_is_in_flight(watched):
    proxy = watched(messages=100)
    with Client(proxy.socket) as worker:
        worker.welcome(credit=1)
        held = worker.take(1)
        said = command(proxy, "pipelines", "drain", "orders", "--wait", "300ms", code=EXIT_CUT_SHORT)
        assert "some of it is in flight still" in said
        drain = Process([PROXY, "pipelines", "drain", "orders", "--wait", "60s", "-c", proxy.file], f"{proxy.file}.drain")
        wait_until(lambda: status(proxy)["paused"], 60, "it is paused")
        assert drain.is_running()
        worker.ack(held)
        assert drain.wait(90) == EXIT_CLEAN
        assert "nothing of it is in flight" in drain.text()


def test_a_delivery_that_is_called_off_is_past_its_deadline(watched):
    proxy = watched(messages=3, pipelines={"orders": {"handler_timeout": "1h", "handler_break": "off", "handler_grace": "1h",
                                                      "backoff": {"initial": "1h", "max": "1h"}}})
    with Client(proxy.socket) as worker:
        worker.welcome(credit=2)
        first, second = worker.take(2)
        said = command(proxy, "cancel", second.id, code=EXIT_ERROR)
        assert f"has not begun: its worker is at {first.id}" in said
        assert "is not in flight" in command(proxy, "cancel", 7, code=EXIT_ERROR)
        assert command(proxy, "cancel", first.id) == f"{first.id} is past its deadline now\n"
        assert worker.expect(CANCEL)[0] == first.id
        assert "is past its deadline as it is" in command(proxy, "cancel", first.id, code=EXIT_ERROR)
        worker.settle([], [[first.id, 1, -1, "gave up"]])
        wait_until(lambda: metric(proxy, "qbus_messages_retried_total", reason="deadline") == 1, 60, "the attempt is charged")
        assert metric(proxy, "qbus_deadline_total", stage="told") == 1
        assert metric(proxy, "qbus_deadline_total", stage="ended") == 0


def test_a_handler_that_ignores_being_called_off_is_ended(watched):
    proxy = watched(messages=1, pipelines={"orders": {"handler_timeout": "1h", "handler_break": "off",
                                                      "handler_grace": "200ms"}})
    with Client(proxy.socket) as worker:
        worker.welcome(credit=1)
        command(proxy, "cancel", worker.take(1)[0].id)
        wait_until(lambda: metric(proxy, "qbus_deadline_total", stage="ended") == 1, 60, "its session is ended")


def test_a_reset_renews_every_worker_and_leaves_no_gap(serve, tmp_path, ledger):
    base = config(tmp_path, {"type": "memory"}, {"lanes": 2, "messages": 0, "rate": 1}, ledger, workers=3)
    proxy = serve(merge(base, {"admin": {"socket": f"{tmp_path}/admin.sock"}}))

    def workers():
        done = run("workers", "--json", "-c", proxy.file)  # fails before the admin socket is there
        return {w["pid"] for w in json.loads(done.stdout)["workers"]} if done.returncode == EXIT_CLEAN else set()
    before = wait_until(lambda: len(workers()) == 3 and workers(), 60, "three workers")
    assert "there is no pool nobody" in command(proxy, "reset", "nobody", code=EXIT_ERROR)
    assert command(proxy, "reset", "php") == "3 workers will be renewed, each when a successor is ready\n"
    seen = []

    def are_new():
        seen.append(workers())
        return len(seen[-1]) == 3 and not seen[-1] & before
    wait_until(are_new, 120, f"three new workers\n{proxy.process.tail()}")
    assert min(map(len, seen)) >= 2
    assert proxy.text().count("an operator resets the pool pid") == 3
    assert proxy.stop() == EXIT_CLEAN


def test_a_wedged_lane_goes_on_where_an_operator_says(watched):
    source = {"lanes": 1, "script": ["wedge@5"]}
    proxy = watched(messages=20, pipelines={"orders": {"source": source, "commit_interval": "50ms"}})
    skip = ["pipelines", "skip", "orders", "--source", "memory", "--partition", "0", "--offset"]
    with Client(proxy.socket) as worker:
        worker.welcome(credit=100)
        worker.ack(worker.take(5))
        wait_until(lambda: "lane wedged" in proxy.page("/readyz")[1], 60, "the lane is wedged")
        assert metric(proxy, "qbus_lane_wedged", topic="memory") == 1
        reason, = json.loads(proxy.page("/readyz")[1])["reasons"]
        assert (reason["reason"], reason["partition"], reason["offset"]) == ("lane wedged", 0, 5)
        assert "was read" in command(proxy, *skip, "4", code=EXIT_ERROR)
        assert "does not read other[0]" in command(proxy, "pipelines", "skip", "orders", "--source", "other",
                                                   "--partition", "0", "--offset", "5", code=EXIT_ERROR)
        assert command(proxy, *skip, "7") == "orders is asked to go on behind memory[0] offset 7\nit has gone on\n"
        assert [d.offset for d in worker.take(12)] == list(range(8, 20))
        assert "can be read: nothing is to be skipped" in command(proxy, *skip, "9", code=EXIT_ERROR)
        wait_until(lambda: status(proxy)["lanes"][0]["kept"] == 7, 60, "what was given up is committed")
    assert metric(proxy, "qbus_lane_wedged", topic="memory") == 0
    assert re.search(r"operator gives up what cannot be read source=memory partition=0 from=5 to=7", proxy.text())


def test_an_offset_beyond_the_end_is_not_skipped_to(watched):
    proxy = watched(messages=20, pipelines={"orders": {"source": {"lanes": 1, "script": ["wedge@5"]}}})
    wait_until(lambda: "lane wedged" in proxy.page("/readyz")[1], 60, "the lane is wedged")
    fetch(UnixConnection(proxy.directory / "admin.sock"), "/skip?pipeline=orders&source=memory&partition=0&offset=20", "POST")
    proxy.wait_log("lane is not skipped source=memory partition=0 to=20: the broker has no message there")
    assert metric(proxy, "qbus_lane_wedged", topic="memory") == 1


def test_views_of_one_pipeline(watched):
    other = {"pipelines": {"mails": {"source": {"broker": "b", "lanes": 1, "messages": 5}}}}
    proxy = watched(messages=20, **other)
    with Client(proxy.socket) as worker:
        worker.welcome(("orders", "mails"), credit=30)
        worker.take(25)
        seen = json.loads(command(proxy, "inflight", "--pipeline", "mails", "--json"))
        assert seen["in_flight"] == seen["shown"] == 5 and {d["pipeline"] for d in seen["deliveries"]} == {"mails"}
        assert json.loads(command(proxy, "inflight", "--json"))["in_flight"] == 25
        listed = command(proxy, "pipelines", "list", "mails")
        assert re.search("^mails ", listed, re.M) and not re.search("^orders ", listed, re.M)
        assert "there is no pipeline nobody" in command(proxy, "inflight", "--pipeline", "nobody", code=EXIT_ERROR)
        assert "there is no pipeline nobody" in command(proxy, "pipelines", "pause", "nobody", code=EXIT_ERROR)


def test_watching_workers_shows_them_again_every_second_until_it_is_interrupted(watched, tmp_path):
    proxy = watched(messages=20)
    watch = Process([PROXY, "workers", "--watch", "-c", proxy.file], tmp_path / "watch")
    wait_until(lambda: watch.text().count("Workers") >= 3, 60, "three looks")
    assert watch.stop(signal.SIGINT) == -signal.SIGINT
    proxy.stop()


def test_nothing_is_done_at_the_public_door_or_by_asking(watched):
    proxy = watched(messages=20)
    assert proxy.page("/pause?pipeline=orders", "POST")[0] == 405
    assert proxy.page("/pause?pipeline=orders")[0] == 404
    assert proxy.secret("/pause?pipeline=orders")[0] == 405
    assert not status(proxy)["paused"]
    assert fetch(UnixConnection(proxy.directory / "admin.sock"), "/pause?pipeline=orders", "POST")[0] == 200
    assert status(proxy)["paused"]


def test_what_is_missing_on_the_command_line_is_said(tmp_path):
    for words in (["pipelines", "pause"], ["pipelines", "stop", "orders"], ["cancel"], ["reset", "a", "b"],
                  ["pipelines", "skip", "orders", "--source", "t"], ["pipelines", "pause", "a b", "--socket", "x"],
                  ["pipelines", "drain", "orders", "--wait", "soon", "--socket", "x"], ["status", "orders"],
                  ["workers", "--pipeline", "orders"]):
        done = run(*words)
        assert done.returncode == EXIT_USAGE and done.stderr.startswith("qbus-proxy: "), (words, done)


def test_the_commands_of_the_documentation_are_commands(watched):
    """In the order of the page; those about a wedged lane, a delivery and a letter find nothing to do here."""
    page = (ROOT / "docs" / "operations.md").read_text()
    commands = re.findall(r"^ {4}qbus-proxy (.* -c) qbus.yaml$", page, re.M)
    assert len(commands) >= 12
    proxy = watched(messages=20, pipelines={"orders": {"pool": "php"}},
                    pools={"php": {"command": ["sleep", "1000"], "num_workers": 1}})
    wait_until(lambda: run("status", "-c", proxy.file).returncode == EXIT_CLEAN, 60, "it can be asked")
    for line in commands:
        words = [*line.split(), proxy.file]
        if "--watch" in words:
            continue  # does not end
        done = run(*words)
        may_fail = words[0] in ("dlq", "cancel") or "skip" in words
        assert done.returncode == EXIT_CLEAN or (may_fail and done.returncode == EXIT_ERROR), (line, done)
