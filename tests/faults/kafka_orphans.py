# SPDX-License-Identifier: MIT
"""kill -9 of the proxy alone, again and again: whatever its workers started is gone soon, and the next start works."""
import pathlib

from kafka_kill import KafkaKill
from process import wait_until
from scene import now_us

GONE_S = 2      # after the kill nothing may be left


def started_for(socket):
    """Processes whose environment names that socket, as a pool sets it."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"QBUS_SOCKET={socket}\0".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:     # it ended meanwhile
            pass
    return found


class KafkaOrphans(KafkaKill):
    name = "kafka-orphans"
    n_rounds = 50
    victims = ("proxy",)
    slowest_us = 0
    n_killed = 0

    def kafka_configuration(self, kafka, topic, name="qbus", handler=(), **changes):
        """Each worker lets go a process with a session, and soon a parent, of its own."""
        base = super().kafka_configuration(kafka, topic, name, handler, **changes)
        pool = base["pools"]["php"]
        pool["command"] = ["sh", "-c", 'setsid sleep 10000 & exec "$@"', "sh", *pool["command"]]
        return base

    def kill_proxy(self, name="qbus", workers=()):
        socket = self.proxies[name].socket
        n_before = len(started_for(socket))
        assert n_before >= 16, f"only {n_before} processes run: 8 workers and what each let go"
        struck = super().kill_proxy(name, workers)
        wait_until(lambda: not started_for(socket), GONE_S, f"nothing of the workers is left: {started_for(socket)}")
        took_us = now_us() - self.struck_us
        assert took_us < GONE_S * 1e6, f"{took_us} us until nothing was left"
        self.slowest_us = max(self.slowest_us, took_us)
        self.n_killed += n_before
        return struck

    def summary(self):
        return {**super().summary(), "gone_after_ms": self.slowest_us // 1000, "processes": self.n_killed}
