# SPDX-License-Identifier: MIT
"""What the parts of the command share: peers started when first wanted, a proxy under a profile, its counters."""
import fcntl
import http.client
import os
import pathlib
import re
import subprocess

import peers
from proxy import Proxy

HERE = pathlib.Path(__file__).resolve().parent
SAMPLE = re.compile(r'^(qbus_\w+)\{(.*)\} (\S+)$', re.M)
LABEL = re.compile(r'(\w+)="([^"]*)"')


class Lock:
    """A file that is locked."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory) / "lock"
        self.file = open(self.path, "w", encoding="utf-8")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def finish(self):
        self.file.close()


class Semaphore:
    """A System V key that is ours; what PHP makes of it is removed."""

    def __init__(self, directory):
        self.key = os.stat(directory).st_ino & 0x7fffffff or 1

    def finish(self):
        subprocess.run(["ipcrm", "-S", str(self.key)], capture_output=True, check=False)


class Scene:
    def __init__(self, directory, profile="none"):
        self.directory = pathlib.Path(directory)
        self.directory.chmod(0o711)     # PostgreSQL's user passes through
        self.profile = profile
        self.started = {}
        self.missing = {}               # peer -> why it cannot be had here
        self.proxies = []

    def peer(self, name):
        """Starts it at the first call; None: cannot be had."""
        if name not in self.started and name not in self.missing:
            if name == "resolver":
                resolver, reason = peers.resolver_or_reason(self.directory)
                if resolver:
                    self.started[name] = resolver
                else:
                    self.missing[name] = reason
            elif name in peers.SERVERS:
                self.started[name] = server = peers.SERVERS[name](self.directory)
                server.start()
            else:
                self.started[name] = {"silent": lambda _: peers.Silent(), "lock": Lock, "semaphore": Semaphore}[name](
                    self.directory)
        return self.started.get(name)

    def addresses(self):
        """What the handlers must know of the peers."""
        known = {}
        for name, peer in self.started.items():
            if name == "lock":
                known[name] = {"file": str(peer.path)}
            elif name == "semaphore":
                known[name] = {"key": peer.key}
            elif name != "resolver":
                known[name] = {"port": peer.port, "pid": getattr(peer, "pid", 0)}
        return known

    def serve(self, configuration, name):
        wrapper = ["/usr/bin/python3", str(HERE / "confine"), self.profile] if self.profile != "none" else []
        if "resolver" in self.started:
            wrapper = [*self.started["resolver"].wrapper(), *wrapper]
        proxy = Proxy(self.directory, configuration, name=name, wrapper=wrapper)
        self.proxies.append(proxy)
        proxy.start()
        proxy.admin_port = int(proxy.wait_log(r"shows metrics and health address=127\.0\.0\.1:(\d+)")[1])
        return proxy

    def finish(self):
        for each in [*self.proxies, *self.started.values()]:
            each.finish()


def settings(directory, pipelines, handler, workers, name):
    """A configuration on the memory broker: a proxy whose workers run `handler`."""
    return {
        "socket": {"path": f"{directory}/{name}.sock"},
        "admin": {"listen": "127.0.0.1:0"},
        "log": {"level": "debug", "format": "text"},
        "brokers": {"m": {"type": "memory"}},
        "pipelines": {pipeline: {"pool": "php", "ordering": "none", **each, "source": {"broker": "m", **each["source"]}}
                      for pipeline, each in pipelines.items()},
        "pools": {"php": {"command": ["php", "-d", "display_errors=0", *map(str, handler)], "num_workers": workers,
                          "destroy_timeout": "500ms"}},
    }


def counters(proxy):
    """{(metric, pipeline): value}; of those with a stage or a reason: {(metric, pipeline, stage or reason): value}"""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.admin_port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = {}
    for name, labels, value in SAMPLE.findall(text):
        labels = dict(LABEL.findall(labels))
        key = [name, labels.get("pipeline", "")]
        more = labels.get("stage") or labels.get("reason")
        found[tuple(key + [more] if more else key)] = float(value)
    return found


