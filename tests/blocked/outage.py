# SPDX-License-Identifier: MIT
"""Redis hangs under one of three pipelines that share eight workers: what the others lose, and what is repeated."""
import collections
import os
import signal
import time

from process import wait_until
from scene import HERE, counters, settings

WORKERS, MESSAGES, WAITING = 8, 11_000, 10_000
WINDOW_S = 8            # how long Redis hangs
STEADY_RATE = 300       # messages a second of the pipeline that does not fill its workers
LEAST = 0.9             # share of the twin's throughput
COLUMNS = ("pipeline", "twin, msg/s", "twin, worst second", "Redis hangs, msg/s", "Redis hangs, worst second", "share")


class Outage:
    """One run, with the fault or (the twin) without."""

    def __init__(self, scene, name, strikes):
        self.scene, self.name, self.strikes = scene, name, strikes
        self.ledger = scene.directory / f"{name}.ledger"
        self.ledger.touch()
        self.redis = scene.peer("redis")

    def start(self):
        common = {"handler_timeout": "300ms", "handler_break": "100ms", "handler_grace": "3s", "max_attempts": 5,
                  "backoff": {"initial": "200ms", "max": "1s"}, "dead_letter": {"topic": "dead"}}
        breaker = {"failure_ratio": 0.5, "window": "2s", "min_samples": 8, "open_for": "1s"}
        pipelines = {"sick": {**common, "source": {"messages": MESSAGES}, "breaker": breaker},
                     "steady": {**common, "source": {"rate": STEADY_RATE}},
                     "full": {**common, "source": {}}}
        handler = [HERE / "outage.php", self.ledger, self.redis.port]
        self.proxy = self.scene.serve(settings(self.scene.directory, pipelines, handler, WORKERS, self.name), self.name)

    def done(self):
        """{pipeline: {receipt: how often}}"""
        found = collections.defaultdict(collections.Counter)
        for line in self.ledger.read_text().splitlines():
            pipeline, receipt, _, _ = line.split()
            found[pipeline][int(receipt)] += 1
        return found

    def count(self, metric, *labels):
        return int(counters(self.proxy).get((f"qbus_{metric}", *labels), 0))

    def rates(self, begin_us, end_us):
        """Messages a second of each pipeline in a span, and in its worst second."""
        ends = collections.defaultdict(list)
        for line in self.ledger.read_text().splitlines():
            pipeline, _, _, us = line.split()
            if begin_us <= int(us) < end_us:
                ends[pipeline].append((int(us) - begin_us) // 1_000_000)
        return {pipeline: (len(seconds) / WINDOW_S, min(seconds.count(i) for i in range(WINDOW_S)))
                for pipeline, seconds in ends.items()}

    def play(self):
        """Facts and sentences about what is wrong."""
        self.start()
        wait_until(lambda: len(self.done()["sick"]) > 200, 30, "all pipelines work")
        workers = set(self.proxy.workers())
        begin_us = time.monotonic_ns() // 1000
        if self.strikes:
            os.kill(self.redis.pid, signal.SIGSTOP)
        waiting = MESSAGES - len(self.done()["sick"])
        end_us = begin_us + WINDOW_S * 1_000_000
        wait_until(lambda: time.monotonic_ns() // 1000 > end_us, WINDOW_S + 5, "the window ends")
        facts = {"rates": self.rates(begin_us, end_us), "waiting": waiting}
        faults = self.recover(facts, workers) if self.strikes else []
        self.proxy.stop()
        return facts, faults

    def recover(self, facts, workers):
        facts["broken"] = self.count("deadline_total", "sick", "broken")
        open_at_end = self.count("breaker_open", "sick")
        os.kill(self.redis.pid, signal.SIGCONT)
        wait_until(lambda: self.count("messages_acked_total", "sick") == MESSAGES, 120, "all of sick is acked")
        done = self.done()["sick"]
        log = self.proxy.text()
        facts.update(opened=log.count("circuit breaker is open"), closed=log.count("circuit breaker is closed"),
                     broken_in_all=self.count("deadline_total", "sick", "broken"),
                     ended=self.count("deadline_total", "sick", "ended"),
                     dead=self.count("messages_dead_lettered_total", "sick", "deadline"),
                     repeated=sum(n - 1 for n in done.values()), handled=len(done))
        alive = set(self.proxy.workers()) == workers
        return [sentence for sentence, wrong in (
            (f"only {facts['waiting']} messages waited", facts["waiting"] < WAITING),
            ("nothing was broken", facts["broken"] == 0),
            ("the breaker did not open", facts["opened"] == 0),
            ("the breaker was closed while Redis hung", not open_at_end),
            ("the breaker did not close", facts["closed"] == 0),
            (f"{facts['ended']} handlers were ended", facts["ended"] > 0 or not alive),
            (f"{facts['dead']} dead letters", facts["dead"] > 0),
            (f"{facts['repeated']} handled again", facts["repeated"] > 0),
            (f"{MESSAGES - len(done)} never handled", len(done) != MESSAGES)) if wrong]


def play(scene):
    """Rows of (pipeline, twin, faulty, worst second, share), facts, faults."""
    twin, _ = Outage(scene, "twin", strikes=False).play()
    facts, faults = Outage(scene, "outage", strikes=True).play()
    rows = []
    for pipeline in ("steady", "full"):
        rate, worst = facts["rates"].get(pipeline, (0, 0))
        before, before_worst = twin["rates"].get(pipeline, (0, 0))
        share = rate / before if before else 0
        rows.append((pipeline, f"{before:.0f}", f"{before_worst}", f"{rate:.0f}", f"{worst}", f"{share:.2f}"))
        if share < LEAST:
            faults.append(f"{pipeline} keeps {share:.2f} of its throughput")
    return rows, facts, faults
