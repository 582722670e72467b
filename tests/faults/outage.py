# SPDX-License-Identifier: MIT
"""A service that every handler needs is away for a while: the circuit breaker opens and closes, nothing is given up."""
import time

from graves import KafkaGraves
from oracle import THREW
from process import wait_until
from scene import Case, Outcome
from stream import KafkaStream

WORKERS, MAX_ATTEMPTS = 4, 4


class Breaker(Case):
    name = "breaker"
    n_rounds = 4
    n_short = 2

    def prepare(self):
        kafka = self.scene.kafka()
        topic = kafka.create_topic(self.label, 4)
        self.graves = KafkaGraves(kafka, f"{self.label}.dlq")
        self.graves.create()
        self.stream = KafkaStream(self.oracle, f"{self.scene.seed} {self.label}", kafka, topic)
        self.outage = self.directory / "outage"
        self.serve(self.kafka_configuration(kafka, topic, handler=[f"fail_while={self.outage}"], pipelines={"orders": {
            "max_attempts": MAX_ATTEMPTS, "dead_letter": self.graves.target,
            "backoff": {"initial": "300ms", "max": "1s"},
            "breaker": {"failure_ratio": 0.5, "window": "1s", "min_samples": 10, "open_for": "500ms"}}},
            pools={"php": {"num_workers": WORKERS}}))
        self.n_seen = 0     # characters of the log

    def wait_log(self, sentence, timeout):
        found = self.proxies["qbus"].wait_log(f"(?s)^.{{{self.n_seen}}}.*?{sentence}", timeout)
        self.n_seen = found.end()

    def round(self, number):
        self.stream.fill(self.scaled(1000, 600))
        self.wait_work()
        self.wait_done(20)
        facts, faults = {}, []
        if not self.is_twin:
            self.found += self.strike(facts)
        self.wait_done(20)
        self.graves.read(self.oracle)
        if self.oracle.n_dead:
            faults.append(f"{self.oracle.n_dead} dead letters")
        if self.repeats():
            faults.append("handled again")
        highest = max(self.oracle.attempts.values())
        if highest > MAX_ATTEMPTS:
            faults.append(f"attempt {highest}")
        found, self.oracle.order_faults = self.oracle.order_faults, []
        return Outcome({**facts, "highest_attempt": highest, "done": len(self.oracle.done)}, faults + found[:3])

    def strike(self, facts):
        failed = self.oracle.read().counts[THREW]
        self.outage.touch()
        self.wait_log("circuit breaker is open", 120)
        opened = self.oracle.read().counts[THREW]
        begin = time.monotonic()
        # Longer than all attempts and their backoff would take, if they were charged.
        time.sleep(self.chance.uniform(4, 6))
        probes = self.oracle.read().counts[THREW] - opened
        lasted = time.monotonic() - begin
        self.outage.unlink()
        self.wait_log("circuit breaker is closed", 120)
        # What has failed in this outage must not meet the next one: its attempts were counted.
        sick = {number for number, kind in self.oracle.last if kind == THREW}
        wait_until(lambda: sick <= self.oracle.read().done.keys(), 120, "what has failed is handled")
        facts.update(failed=opened - failed, probes=probes, open_ms=round(lasted * 1000))
        faults = [] if opened > failed else ["no handler failed"]
        allowed = 2 * WORKERS + lasted / 0.5 + 1
        return faults if probes <= allowed else [*faults, f"{probes} handlers failed behind an open breaker"]

    def judge_end(self):
        return [f"{self.oracle.n_dead} dead letters"] if self.oracle.n_dead else []

    def finish(self):
        super().finish()
        self.graves.close()
