# SPDX-License-Identifier: MIT
"""Runs qbus-proxy on a configuration given as a dict (JSON is YAML) or as text."""
import json
import pathlib
import re
import signal
import socket
import subprocess

from process import PROXY, ROOT, Process, descendants, is_alive, wait_until

HANDLER = ROOT / "tests" / "e2e" / "handler.php"
EXIT_CLEAN, EXIT_ERROR, EXIT_CUT_SHORT, EXIT_USAGE, EXIT_CONFIG = 0, 1, 3, 64, 78


def merge(base, changes):
    """base with changes laid over it, dict by dict; None removes a key."""
    merged = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def config(directory, broker, source, ledger, workers=4, handler=(), name="qbus", **changes):
    """A configuration with one broker `b`, one pipeline `orders` and one pool `php` that runs handler.php."""
    base = {
        "socket": {"path": f"{directory}/{name}.sock"},
        "log": {"level": "debug", "format": "json"},
        "brokers": {"b": broker},
        "pipelines": {"orders": {"source": {"broker": "b", **source}, "pool": "php"}},
        "pools": {"php": {"command": ["php", str(HANDLER), str(ledger.path), *handler], "num_workers": workers}},
    }
    return merge(base, changes)


def kafka_config(directory, kafka, topic, ledger, group="orders-php", session_timeout="20s", **options):
    """config() on a topic of a Kafka. A session longer than a machine may stand still: a shorter one loses its partitions
    then and repeats messages. No longer than it must be: so long a killed member is remembered."""
    broker = {"type": "kafka", "bootstrap_servers": kafka.bootstrap,
              "properties": {"heartbeat.interval.ms": 300}}
    source = {"topics": [topic], "group_id": group, "start": "earliest", "session_timeout": session_timeout}
    return config(directory, broker, source, ledger, **options)


def amqp_config(directory, rabbit, queue, ledger, **options):
    """config() on a queue of a RabbitMQ."""
    return config(directory, {"type": "amqp", "url": rabbit.url}, {"queue": queue, "prefetch": 200}, ledger, **options)


def lasting(seconds, messages, workers=4):
    """The option of handler.php with which so many workers need so long at least for so many messages, however quick the
    machine is: what is to strike in the middle has that time. open_gate() ends it."""
    return f"delay_us={int(seconds * workers * 1e6 / messages)}"


def open_gate(ledger):
    """Nothing is to strike any more: handlers that wait by their option last=ID go on, and none is delayed."""
    ledger.path.with_name(ledger.path.name + ".gate").touch()


def run(*arguments, timeout=120):
    """Runs qbus-proxy to its end."""
    return subprocess.run([PROXY, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False)


def is_listening(path):
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


class Proxy:
    """qbus-proxy serve. start() may be called again after it ended; the log goes on in the same file."""

    def __init__(self, directory, configuration, name="qbus", wrapper=()):
        self.directory = pathlib.Path(directory)
        self.file = self.directory / f"{name}.yaml"
        self.name = name
        self.wrapper = wrapper
        self.process = None
        self.configure(configuration)

    def configure(self, configuration):
        text = configuration if isinstance(configuration, str) else json.dumps(configuration, indent=1)
        self.file.write_text(text)
        described = configuration if isinstance(configuration, dict) else {}
        self.socket = described.get("socket", {}).get("path")
        admin = described.get("admin", {}).get("socket", "off")  # opens after the other one
        self.doors = [self.socket] + ([] if admin == "off" else [admin])

    def start(self, ready=True):
        self.process = Process([*self.wrapper, PROXY, "serve", "-c", self.file], self.directory / f"{self.name}.log")
        if ready:
            wait_until(self.listens, 60, f"qbus-proxy listens\n{self.text()}")
        return self

    def listens(self):
        assert self.process.is_running(), f"qbus-proxy ended\n{self.process.tail()}"
        return all(map(is_listening, self.doors))

    def text(self):
        return self.process.text()

    def wait_log(self, pattern, timeout=60):
        """Waits for a log line of this run and returns the match."""
        def find():
            found = re.search(pattern, self.text())
            assert found or self.process.is_running(), f"ended without {pattern!r}\n{self.process.tail()}"
            return found
        return wait_until(find, timeout, f"log line {pattern!r}")

    def wait_workers(self, count):
        """Until so many workers are attached."""
        wait_until(lambda: self.text().count("opens client=") >= count, 60, f"{count} workers\n{self.process.tail()}")
        return self

    def workers(self):
        return descendants(self.process.pid)

    def kill(self):
        """kill -9, then waits until its workers are gone too."""
        workers = self.workers()
        self.process.stop(signal.SIGKILL, 60)
        for pid in workers:
            wait_until(lambda pid=pid: not is_alive(pid), 60, f"worker {pid} ends after its proxy")

    def stop(self, timeout=120):
        """SIGTERM; returns the exit code. Nothing may be left."""
        workers = self.workers()
        code = self.process.stop(signal.SIGTERM, timeout)
        assert not [pid for pid in workers if is_alive(pid)], "workers outlive a stopped proxy"
        assert not pathlib.Path(self.socket).exists(), "the socket outlives a stopped proxy"
        return code

    def finish(self):
        if self.process:
            self.process.finish()
