# SPDX-License-Identifier: MIT
"""qbus-bench measures what it says, on real brokers."""
import json

from brokers import bench


def sides(path):
    result = json.loads(path.read_text())
    return {name: side["summary"]["messages_per_second"]["median"] for name, side in result["sides"].items()}


def test_run_measures_proxy_and_plain_consumer_on_kafka(kafka, tmp_path):
    bench("run", "--kafka", kafka.bootstrap, "--messages", "20000", "--rounds", "1", "--plain", "--json", tmp_path / "r")
    speeds = sides(tmp_path / "r")
    assert set(speeds) == {"qbus-proxy", "plain C"} and all(speed > 0 for speed in speeds.values())


def test_compare_measures_every_peer_that_is_installed_on_rabbitmq(rabbit, tmp_path):
    bench("compare", "--amqp", rabbit.url, "--messages", "2000", "--rounds", "1", "--json", tmp_path / "r")
    speeds = sides(tmp_path / "r")
    assert {"qbus-proxy", "plain C", "ext-amqp", "ext-amqp, prefetch 1000"} <= set(speeds)
    assert all(speed > 0 for speed in speeds.values())


def test_the_work_of_a_handler_is_done(kafka, tmp_path):
    bench("run", "--kafka", kafka.bootstrap, "--messages", "1000", "--rounds", "1", "--work", "1000",
          "--json", tmp_path / "r")
    assert 0 < sides(tmp_path / "r")["qbus-proxy"] <= 1000  # one worker, a millisecond each


def test_tune_finds_that_handlers_which_wait_want_more_workers(kafka):
    told = bench("tune", "--kafka", kafka.bootstrap, "--messages", "600", "--sleep", "5000", "--seconds", "1",
                 "--max-workers", "4")
    assert "num_workers: 4" in told.splitlines()[-1]
    assert "The handlers take the workers' whole time" in told
