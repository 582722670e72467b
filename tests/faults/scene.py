# SPDX-License-Identifier: MIT
"""What a case plays with: brokers, proxies, moments, and the frame that is the same for every case."""
import json
import os
import pathlib
import random
import signal
import subprocess
import time
import typing

import brokers
from oracle import Oracle
from process import PROXY, is_alive, wait_until
from proxy import EXIT_CLEAN, Proxy, amqp_config, kafka_config, merge

N_LONG = 16     # two for each worker
HANDLER = pathlib.Path(__file__).with_name("handler.php")


def now_us():
    return time.monotonic_ns() // 1000


class Outcome(typing.NamedTuple):
    facts: dict     # printed as name=value
    faults: list    # sentences; none: passed


class Scene:
    """Of one run of the command: brokers are started when the first case wants them."""

    def __init__(self, directory, seed, scale):
        self.directory = pathlib.Path(directory)
        self.seed, self.scale = seed, scale
        self.started = {}

    def broker(self, name, make):
        if name not in self.started:
            home = self.directory / name
            home.mkdir()
            self.started[name] = make(home)
            self.started[name].start()
        return self.started[name]

    def kafka(self):
        return self.broker("kafka", brokers.Kafka)

    def rabbit(self):
        return self.broker("rabbit", brokers.RabbitMQ)

    def finish(self):
        for broker in self.started.values():
            broker.finish()


def status(proxy):
    """What the proxy says of itself, or None when it cannot."""
    done = subprocess.run([PROXY, "status", "-c", proxy.file, "--json"], capture_output=True, text=True, timeout=60,
                          check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def open_now(proxy):
    """Messages that a fault right now may repeat, as the proxy counts them, or None."""
    told = status(proxy)
    if told is None:
        return None
    return sum(pipeline["in_flight"] + pipeline["acked_uncommitted"] for pipeline in told["pipelines"])


class Case:
    """One case on one stream. A subclass gives name, n_rounds, prepare() and round(); play() without faults is its
    twin."""
    name = None
    n_rounds = 5
    n_short = 1000      # rounds at most of a run that is scaled down, for cases whose rounds take long
    has_twin = True     # whether a run without faults proves something
    is_story = False    # with a beginning and an end: one round, whatever is asked for
    ordered = True
    session_timeout = "60s"     # of Kafka: longer than a busy machine stands still

    def __init__(self, scene, faults, label):
        self.scene, self.is_twin = scene, not faults
        self.label = label  # names topics, groups and files
        self.directory = scene.directory / label
        self.directory.mkdir()
        self.chance = random.Random(f"{scene.seed} {label}")
        self.oracle = Oracle(self.directory / "ledger", self.ordered)
        self.proxies = {}
        self.found = []         # faults of the running step: told also when what comes after them throws
        self.n_repeats = 0      # those of earlier rounds
        self.late = []          # repeats that belong to the next round
        self.struck_us = None   # when the last kill came
        self.n_faults = self.n_struck = 0   # how many there were, and how many of them met a running handler

    def scaled(self, count, least=1):
        return max(least, int(count * self.scene.scale))

    def prepare(self):
        raise NotImplementedError

    def round(self, number):
        raise NotImplementedError

    def last_words(self):
        """The end of each proxy's log, for a step that threw."""
        return [f"{name} says at the end:\n{proxy.process.tail()}" for name, proxy in self.proxies.items() if proxy.process]

    def judge_struck(self, share, what):
        """Most of the faults must have met a running handler; one may miss by chance, all of them may not."""
        if self.n_struck >= max(1, self.n_faults * share - 1) or not self.n_faults:
            return []
        return [f"only {self.n_struck} of {self.n_faults} {what} a running handler"]

    def judge_end(self):
        """Sentences about what only this case promises, after everything was handled and stopped."""
        return []

    def summary(self):
        """Facts of the whole case for its last line."""
        return {}

    def kafka_configuration(self, kafka, topic, name="qbus", handler=(), **changes):
        ledger = self.oracle
        base = kafka_config(self.directory, kafka, topic, ledger, group=self.label, name=name,
                            session_timeout=self.session_timeout)
        return self.complete(base, name, handler, changes)

    def amqp_configuration(self, rabbit, queue, name="qbus", handler=(), **changes):
        base = amqp_config(self.directory, rabbit, queue, self.oracle, name=name)
        return self.complete(base, name, handler, changes)

    def complete(self, base, name, handler, changes):
        ours = {"admin": {"listen": "off", "socket": f"{self.directory}/{name}.admin"},
                "log": {"level": "info"},
                "pipelines": {"orders": {"ordering": "key" if self.ordered else "none", "max_attempts": 20,
                                         "backoff": {"initial": "50ms", "max": "500ms"}}},
                "pools": {"php": {"command": ["php", str(HANDLER), str(self.oracle.path), *handler], "num_workers": 8}}}
        return merge(merge(base, ours), changes)

    def serve(self, configuration, name="qbus"):
        self.proxies[name] = proxy = Proxy(self.directory, configuration, name=name)
        return proxy.start()

    def wait_done(self, count, timeout=120):
        """Waits for so many more completions, or until nothing is left to do."""
        wanted = len(self.oracle.read().done) + count
        wait_until(lambda: len(self.oracle.read().done) >= wanted or not self.oracle.backlog(), timeout,
                   f"{count} more orders are handled")

    def wait_work(self, name="qbus", timeout=120):
        """Waits until this proxy's workers handle messages. Where nearly all was handled before we could look there are
        more, which take so long that what strikes next meets them."""
        def works():
            if self.oracle.backlog() < N_LONG:
                self.stream.send_long(N_LONG)
            return set(self.proxies[name].workers()) & self.oracle.read().running.keys()
        wait_until(works, timeout, f"the workers of {name} work")

    def wait_moment(self, name="qbus"):
        """Waits for a moment at random, counted in work and not in time: a quick machine is struck at work too."""
        self.wait_done(max(1, int(self.oracle.read().backlog() * self.chance.uniform(0, 0.6))))
        self.wait_work(name)

    def wait_all(self, timeout=120):
        def what():
            left = sorted(self.oracle.confirmed - self.oracle.settled())
            return f"all is handled; {len(left)} are not, as {left[:5]}"
        wait_until(lambda: not self.oracle.backlog(), timeout, what)

    def kill_proxy(self, name="qbus", workers=()):
        """kill -9 of a proxy, and of some of its workers right before; returns the handlers that it struck."""
        proxy = self.proxies[name]
        pids = proxy.workers()
        self.struck_us = at = now_us()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        proxy.process.send(signal.SIGKILL)
        proxy.process.wait(10)
        wait_until(lambda: not any(map(is_alive, pids)), 120, "the workers end after their proxy")
        self.oracle.killed(pids, at)
        return self.oracle.struck(pids)

    def kill_workers(self, pids):
        self.struck_us = at = now_us()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, pids)), 120, "killed workers end")
        self.oracle.killed(pids, at)
        return self.oracle.struck(pids)

    def repeats(self, dead=(), until_us=None):
        """Completions since the last call that were not the first ones. With `until_us`, when workers were struck
        down: those of other workers that came later are left for the next call."""
        fresh = self.late + self.oracle.read().repeats[self.n_repeats:]
        self.n_repeats = len(self.oracle.repeats)
        self.late = [line for line in fresh if until_us and line.pid not in dead and line.time_us >= until_us]
        return [line for line in fresh if line not in self.late]

    def end(self):
        """Works everything off, stops, and judges the whole."""
        try:
            self.wait_all()
        except AssertionError as error:
            self.found.append(str(error))
        for name, proxy in self.proxies.items():
            if proxy.process.is_running():
                code = proxy.stop()
                self.found += [f"{name} ends with exit code {code}"] if code != EXIT_CLEAN else []
        report = self.oracle.report()
        self.found += report.faults() + self.oracle.order_faults[:3]
        if self.is_twin and report.duplicated:
            self.found.append(f"{report.duplicated} duplicates without any fault")
        return report, self.judge_end()

    def finish(self):
        for proxy in self.proxies.values():
            proxy.finish()
