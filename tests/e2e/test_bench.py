# SPDX-License-Identifier: MIT
"""qbus-bench measures what it says, on real brokers."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import xml.dom.minidom

import pytest

from brokers import bench
from process import BENCH, PROXY, descendants, is_alive, wait_until


def sides(path):
    result = json.loads(path.read_text())
    return {name: side["summary"]["messages_per_second"]["median"] for name, side in result["sides"].items()}


def values(path, side="qbus-proxy"):
    """{name: median} of one side"""
    return {name: of["median"] for name, of in json.loads(path.read_text())["sides"][side]["summary"].items()}


def test_run_measures_proxy_and_plain_consumer_on_kafka(kafka, tmp_path):
    bench("run", "--kafka", kafka.bootstrap, "--messages", "200000", "--rounds", "1", "--plain", "--json", tmp_path / "r")
    speeds = sides(tmp_path / "r")
    assert set(speeds) == {"qbus-proxy", "plain C"} and all(speed > 0 for speed in speeds.values())
    assert not [name for name in values(tmp_path / "r") if name.startswith("end_to_end")]  # nobody knows when it was due
    for side in speeds:
        told = values(tmp_path / "r", side)
        assert told["received_bytes_per_second"] > 0
        assert told.get("syscalls_per_message", 1) > 0  # absent where the kernel does not let us


def test_nothing_is_left_of_a_run_but_the_topic(kafka):
    def groups():
        return {group.id for group in kafka.admin().list_groups(timeout=60)}
    before = groups()
    bench("run", "--kafka", kafka.bootstrap, "--messages", "2000", "--rounds", "1", "--plain", "--no-syscalls")
    assert groups() <= before


def test_a_result_that_has_no_place_is_refused_before_it_is_measured(tmp_path):
    done = subprocess.run([BENCH, "run", "--generated", "--html", tmp_path / "nowhere" / "r.html"], capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 1 and f"cannot write {tmp_path}/nowhere/r.html: No such file" in done.stderr
    assert "round 1" not in done.stderr


def test_compare_measures_every_peer_that_is_installed_on_rabbitmq(rabbit, tmp_path):
    bench("compare", "--amqp", rabbit.url, "--messages", "2000", "--rounds", "1", "--json", tmp_path / "r")
    speeds = sides(tmp_path / "r")
    assert {"qbus-proxy", "plain C", "ext-amqp", "ext-amqp at its best"} <= set(speeds)
    assert all(speed > 0 for speed in speeds.values())


def test_compare_under_a_rate_tells_how_long_messages_took(rabbit):
    told = bench("compare", "--amqp", rabbit.url, "--rate", "200", "--seconds", "1", "--rounds", "1", "--no-syscalls")
    times = told[told.index("end to end, ms"):]
    assert all(name in times for name in ("p50", "p90", "p99", "p99.9", "max", "plain C", "ext-amqp at its best"))
    assert "ext-amqp at its best: prefetch 1000, one ack for 100 messages." in told


def test_a_broker_of_its_own_serves_what_lies_ready_and_what_comes(tmp_path):
    bench("run", "--kafka", "embedded", "--messages", "5000", "--rounds", "1", "--plain", "--no-syscalls",
          "--json", tmp_path / "r")
    assert all(speed > 0 for speed in sides(tmp_path / "r").values()) and len(sides(tmp_path / "r")) == 2
    bench("run", "--kafka", "embedded", "--rate", "200", "--seconds", "1", "--rounds", "1", "--no-syscalls",
          "--json", tmp_path / "r")
    assert values(tmp_path / "r")["end_to_end_p99_ms"] > 0


def test_settings_of_php_reach_workers_and_peers(tmp_path):
    (tmp_path / "first.php").write_text("<?php file_put_contents(__DIR__ . '/began', basename($argv[0]) . ' ', FILE_APPEND);")
    bench("compare", "--generated", "--credit", "1", "--messages", "2000", "--rounds", "1", "--no-syscalls",
          "--php-option", f"auto_prepend_file={tmp_path}/first.php", "--php-option", "precision=5")
    assert set((tmp_path / "began").read_text().split()) == {"worker.php", "echo.php"}


def test_generated_messages_are_compared_with_a_bare_echo_loop(tmp_path):
    bench("compare", "--generated", "--credit", "1", "--messages", "5000", "--rounds", "1", "--json", tmp_path / "r")
    speeds = sides(tmp_path / "r")
    assert set(speeds) == {"qbus-proxy", "bare PHP echo loop"} and all(speed > 0 for speed in speeds.values())
    assert "received_bytes_per_second" not in values(tmp_path / "r")  # there is no broker


def test_handlers_can_take_messages_together(tmp_path):
    bench("run", "--generated", "--batch", "50", "--messages", "5000", "--rounds", "1", "--no-syscalls",
          "--json", tmp_path / "r")
    assert sides(tmp_path / "r")["qbus-proxy"] > 0


@pytest.mark.parametrize("read", ["whole", "stream"])
def test_a_handler_can_be_told_to_read_large_bodies(tmp_path, read):
    bench("run", "--generated", "--size", 4 << 20, "--read", read, "--messages", "20", "--rounds", "1", "--no-syscalls",
          "--json", tmp_path / "r")
    assert sides(tmp_path / "r")["qbus-proxy"] > 0


def test_what_waited_before_the_measuring_is_not_in_the_times(tmp_path):
    """The first messages wait for a worker that starts slowly; it is there before the measuring begins. What a busy machine
    lets messages wait then is much less."""
    slow = tmp_path / "slow.php"
    slow.write_text(f"<?php usleep(5_000_000); require '{BENCH.parents[1]}/share/qbus/bench/worker.php';")
    bench("run", "--generated", "--rate", "1000", "--seconds", "1", "--rounds", "1", "--no-syscalls", "--worker", slow,
          "--json", tmp_path / "r")
    told = values(tmp_path / "r")
    assert told["start_seconds"] >= 5 and 0 < told["wait_max_ms"] < 4500
    assert "end_to_end_p99_ms" not in told


@pytest.mark.parametrize("words", [["run", "--generated", "--kafka", "embedded"],
                                   ["run", "--generated", "--size", "200,10%:400"], ["run", "--generated", "--read", "backwards"],
                                   ["compare", "--generated", "--rate", "5"], ["tune", "--generated", "--rate", "5"]])
def test_what_does_not_go_together_is_refused(words):
    done = subprocess.run([BENCH, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 64 and done.stderr and not done.stdout


@pytest.mark.parametrize(("words", "sentence"), [
    (["run", "--knobs", "pipeline.credit"], "--knobs is an option of tune only"),
    (["run", "--sweep"], "--sweep is an option of tune only"),
    (["compare", "--memory", "5"], "--memory is an option of tune only"),
    (["compare", "--plain"], "--plain is an option of run only"),
    (["tune", "--json", "r"], "--json is an option of run and compare only"),
    (["tune", "--rounds", "5"], "--rounds is an option of run and compare only")])
def test_an_option_of_another_command_is_refused_and_not_in_the_help(words, sentence):
    done = subprocess.run([BENCH, *words, "--generated"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 64 and sentence in done.stderr and not done.stdout
    assert not re.search(rf"^  {words[1]}(?![\w-])", bench(words[0], "--help"), re.M)


@pytest.mark.parametrize(("words", "doubt"), [(["--messages", "300"], r"qbus-proxy: TOO SHORT: a round of 0\.\d+ s"),
                                              (["--rate", "300", "--seconds", "1"], r"of \d+ that .* less than 10 lie beyond p99")])
def test_figures_that_mean_little_are_doubted(tmp_path, words, doubt):
    told = bench("run", "--generated", *words, "--rounds", "1", "--no-syscalls", "--html", tmp_path / "h")
    assert re.search(doubt, told) and re.search(doubt, (tmp_path / "h").read_text())
    bench("run", "--generated", *words, "--rounds", "1", "--no-syscalls", "--json", tmp_path / "r")
    assert any(re.search(doubt, text) for text in json.loads((tmp_path / "r").read_text())["doubts"])


def test_rounds_that_are_long_enough_are_not_doubted(tmp_path):
    bench("run", "--generated", "--rate", "20000", "--seconds", "2", "--rounds", "1", "--no-syscalls",
          "--json", tmp_path / "r")
    assert json.loads((tmp_path / "r").read_text())["doubts"] == []


def test_the_work_of_a_handler_is_done(kafka, tmp_path):
    bench("run", "--kafka", kafka.bootstrap, "--messages", "3000", "--rounds", "1", "--work", "1000",
          "--json", tmp_path / "r")
    assert 0 < sides(tmp_path / "r")["qbus-proxy"] <= 1000  # one worker, a millisecond each
    assert values(tmp_path / "r")["handler_p50_ms"] >= 1


def test_a_live_load_arrives_at_its_rate_and_every_message_is_timed(rabbit, tmp_path):
    begin = time.monotonic()
    bench("run", "--amqp", rabbit.url, "--rate", "500", "--seconds", "2", "--rounds", "1", "--plain",
          "--json", tmp_path / "r")
    elapsed = time.monotonic() - begin  # a busy machine takes what it takes
    for side in ("qbus-proxy", "plain C"):
        told = values(tmp_path / "r", side)
        assert 500 / elapsed < told["messages_per_second"] < 3000  # ten times that where nothing holds it
        assert 0 < told["end_to_end_p50_ms"] <= told["end_to_end_p99_ms"] <= told["end_to_end_max_ms"] < 1000 * elapsed
    points = json.loads((tmp_path / "r").read_text())["sides"]["qbus-proxy"]["rounds"][0]["series"]
    assert [point["at"] for point in points] == sorted(point["at"] for point in points)
    assert any(point["messages_per_second"] > 0 and point["rss_bytes"] > 0 < point["worker_rss_bytes"]
               for point in points)


def test_messages_that_a_slow_handler_keeps_waiting_are_timed_from_when_they_were_due(kafka, tmp_path):
    bench("run", "--kafka", kafka.bootstrap, "--rate", "1000", "--sleep", "10000", "--messages", "200", "--rounds", "1",
          "--json", tmp_path / "r", "--html", tmp_path / "page.html")
    told = values(tmp_path / "r")
    assert told["messages_per_second"] < 100  # what one worker can do, a tenth of the load
    # The handler took its 10 ms; after a second of warming up nine of ten messages wait behind others.
    assert told["handler_p50_ms"] < told["end_to_end_p50_ms"] / 3 and told["end_to_end_p50_ms"] > 900
    page = (tmp_path / "page.html").read_text()
    pictures = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(pictures) == 4 and all(xml.dom.minidom.parseString(picture) for picture in pictures)
    assert "--sleep 10000" in page and not re.search(r"<script|<link|src=|href=|https?://", page)


def test_tune_finds_that_handlers_which_wait_want_more_workers(kafka):
    told = bench("tune", "--kafka", kafka.bootstrap, "--messages", "60", "--sleep", "10000", "--seconds", "1",
                 "--workers", "1", "--max-workers", "4", "--knobs", "pool.num_workers=1:4", "--sweep")
    found, swept = told.split("The sweep:")
    assert "num_workers: 4" in found.splitlines()[-2]
    assert "TOO SHORT: one of the rounds took 0." in found
    assert "The handlers' own work is" in found  # what holds it is a matter of the machine's moment
    assert re.search(r"What tune found reaches \d+\.\d % of the best of the sweep", swept)
    assert len([line for line in swept.splitlines() if "##" in line]) == 2  # a bar for each value


def test_tune_with_a_rate_looks_at_the_99th_percentile(rabbit):
    """One worker does not keep up, so that no chance decides how long the search takes."""
    told = bench("tune", "--amqp", rabbit.url, "--rate", "100", "--sleep", "12000", "--seconds", "1",
                 "--workers", "4", "--max-workers", "4", "--knobs", "pool.num_workers=1:4")
    assert re.search(r"TOO FEW MESSAGES: p99 of \d+ in one", told)
    assert "ms p99" in told and "Why: " in told and re.search(r" 4  #+  <- taken", told)
    assert re.search(r" 1  .*falls behind$", told, re.M), told


def test_a_signal_to_tune_is_no_refusal_of_a_setting(tmp_path):
    """It comes while the proxy is asked whether it takes one; nothing is recommended then, and nothing is left."""
    proxy = tmp_path / "proxy"
    proxy.write_text(f'#!/bin/sh\n[ "$1" = check-config ] || exec {PROXY} "$@"\ntouch {tmp_path}/asked\nexec sleep 60\n')
    proxy.chmod(0o755)
    with (tempfile.TemporaryDirectory() as folder,
          subprocess.Popen([BENCH, "tune", "--generated", "--messages", "2000", "--seconds", "1", "--proxy", proxy],
                           stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": folder}) as tune):
        wait_until((tmp_path / "asked").exists, 120, "the proxy is asked")
        tune.send_signal(signal.SIGINT)
        told, _ = tune.communicate(timeout=120)
        assert tune.returncode == 1 and told == "" and not os.listdir(folder)


def test_tune_refuses_a_knob_that_it_does_not_know():
    done = subprocess.run([BENCH, "tune", "--amqp", "amqp://nowhere", "--knobs", "fetch.max_bytes"], capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 64 and "source.prefetch" in done.stderr


def test_shares_of_the_messages_have_other_sizes(rabbit, fresh):
    rabbit.declare(fresh)
    rabbit.produce(fresh, 100, "--size", "200,10%:5000,20%:1000")
    connection = rabbit.connect()
    channel = connection.channel()
    lengths = [len(channel.basic_get(fresh, auto_ack=True)[2]) for _ in range(100)]
    connection.close()
    assert {length: lengths.count(length) for length in lengths} == {200: 70, 5000: 10, 1000: 20}
    rabbit.delete(fresh)


EXPLAINED = """
brokers:
  jobs: {type: amqp, url: "amqp://guest@localhost:5672/"}
  events: {type: kafka, bootstrap_servers: "localhost:9092"}
pipelines:
  mails: {source: {broker: jobs, queue: mails, prefetch: 600}, max_attempts: 3, pool: php}
  orders: {source: {broker: events, topics: [orders], group_id: g}, max_outstanding_bytes: 1MiB, pool: php}
pools:
  php: {command: [php, worker.php], num_workers: 3}
"""


def explain(directory, handler_ms):
    """What is told of mails, of orders."""
    (directory / "qbus.yaml").write_text(EXPLAINED)
    told = bench("tune", "--explain", "-c", directory / "qbus.yaml", "--size", "2048", "--handler-ms", handler_ms)
    assert "# Memory, at most:" in told
    return told[told.index("mails\n"):told.index("orders\n")], told[told.index("orders\n"):]


def test_explain_says_how_long_messages_wait_and_what_the_broker_does_then(tmp_path):
    mails, orders = explain(tmp_path, 500)
    assert "holds       600 messages" in mails and "that is 100 s for each of 3 workers" in mails
    assert "holds       512 messages" in orders  # a mebibyte of 2 KiB each
    assert "holds up to 2.0 MiB a partition and 8.0 MiB a broker: 32 MiB of 12" in orders
    assert "in time" in mails and "ARE REPEATED" not in orders
    assert "an attempt ends after 40 s at the latest (handler_timeout + handler_grace + the pool's destroy_timeout)" in mails
    mails, orders = explain(tmp_path, 15000)  # 600 x 15 s / 3 workers = 50 min
    assert "TOO LATE;\n              prefetch at most 180\n" in mails and "HANDLERS OF 15 s ARE REPEATED" in orders
    assert "NO HANDLER" not in mails and "NO HANDLER OF 31 s SUCCEEDS: handler_timeout is 30 s" in explain(tmp_path, 31000)[0]


def test_explain_tells_the_mistakes_of_a_configuration_as_the_proxy_does(tmp_path):
    (tmp_path / "qbus.yaml").write_text(EXPLAINED.replace("prefetch", "prefech"))
    done = subprocess.run([BENCH, "tune", "--explain", "-c", tmp_path / "qbus.yaml"], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 78 and not done.stdout
    assert re.search(rf"{tmp_path}/qbus.yaml:6:\d+: .*prefech", done.stderr), done.stderr


def test_no_password_gets_into_a_report(tmp_path):
    bench("run", "--generated", "--messages", "2000", "--rounds", "1", "--no-syscalls", "--plain-option",
          "sasl.password=secret=1", "--json", tmp_path / "r", "--html", tmp_path / "h")
    for report in (tmp_path / "r", tmp_path / "h"):
        assert "sasl.password=***" in report.read_text() and "secret=1" not in report.read_text()


def test_a_signal_ends_the_filling(kafka, fresh):
    messages = 10_000_000   # takes longer than a busy machine lets this process wait
    words = ["run", "--kafka", kafka.bootstrap, "--topic", fresh, "--messages", str(messages)]
    with tempfile.TemporaryDirectory() as folder:
        running = subprocess.Popen([BENCH, *words], env={**os.environ, "TMPDIR": folder}, stderr=subprocess.DEVNULL)
        try:
            producers = wait_until(lambda: descendants(running.pid), 60, "the producer runs")
            running.terminate()
            assert running.wait(120) == 1
        finally:
            running.kill()
            running.wait()
    assert not [pid for pid in producers if is_alive(pid)]
    assert sum(kafka.ends(fresh).values()) < messages, "it went on to its end"


def test_a_mistake_on_the_command_line_is_named_and_leaves_nothing():
    for words, sentence in ((["--generated", "--workers", "0"], "that was --workers"),
                            (["--generated", "more"], "nothing is done with 'more'"),
                            ([], "one of --kafka, --amqp and --generated"),
                            (["--generated", "--proxy-option", "foo.bar=4"], "'foo.bar=4' is not SECTION.KEY=VALUE")):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([BENCH, "run", *words], env={**os.environ, "TMPDIR": folder}, capture_output=True,
                                  text=True, timeout=60, check=False)
            assert done.returncode != 0 and sentence in done.stderr, done.stderr
            assert not os.listdir(folder)


def test_a_folder_that_is_too_long_for_sockets_is_refused(tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    done = subprocess.run([BENCH, "run", "--generated"], env={**os.environ, "TMPDIR": str(folder)}, capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 1 and "TMPDIR" in done.stderr, done.stderr
