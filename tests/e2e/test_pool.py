# SPDX-License-Identifier: MIT
"""What the processes of a pool get, and what becomes of them."""
import re

from process import ROOT, is_alive, wait_until

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
    wait_until(lambda: "NOT_A_SECRET=trout" in proxy.text(), 20, f"the worker shows its environment\n{proxy.text()}")
    wait_until(lambda: "QBUS_SOCKET=" in proxy.text(), 20, "all of it")
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
        wait_until(lambda: len(pids()) >= attempt, 30, f"attempt {attempt}\n{proxy.text()}")
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
    wait_until(lambda: "acked attempt=1" in proxy.text(), 30, f"the first attempt is acked\n{proxy.text()}")
    assert "past its deadline" in proxy.text()  # it was told
