# SPDX-License-Identifier: MIT
"""The dead-letter target does not exist: the pipeline pauses, drops nothing, and goes on when the target is there."""
import time

from graves import KafkaGraves, RabbitGraves
from process import wait_until
from proxy import EXIT_CLEAN
from scene import Case, Outcome
from stream import KafkaStream, RabbitStream

WORKERS = 4
PAUSE_S = 3     # longer than the proxy's own pause between two tries
# Only what a worker holds already can begin in the pause; 4 workers free to work would begin about 400 in a second.
BEGUN_MAX = 10 * WORKERS


class Refused(Case):
    n_rounds = 3
    n_short = 2

    def pipeline(self, graves):
        return {"orders": {"max_attempts": 3, "dead_letter": graves.target}}

    def round(self, number):
        graves = self.make_graves(f"{self.label}.dlq{number}")
        if self.is_twin:
            graves.create()
        if "qbus" in self.proxies:
            self.proxies["qbus"].configure(self.configure(graves))
            self.proxies["qbus"].start()
        else:
            self.serve(self.configure(graves))
        count = self.scaled(1200, 600)
        ids = self.stream.send(count, {place: "reject" for place in self.chance.sample(range(10, count // 2), 5)})
        rejects = {number for number in ids if self.stream.fates[number]}
        facts, faults = {"rejects": len(rejects)}, []
        if not self.is_twin:
            faults += self.watch_pause(facts)
            graves.create()

        def settled():
            graves.read(self.oracle)
            return not self.oracle.backlog()
        wait_until(settled, 120, "all is handled or dead")
        code = self.proxies["qbus"].stop()
        graves.read(self.oracle)
        graves.close()
        faults += [f"exit code {code}"] if code != EXIT_CLEAN else []
        buried = rejects & self.oracle.dead.keys()
        if buried != rejects:
            faults.append(f"rejected, and no dead letter: {sorted(rejects - buried)}")
        if self.repeats():
            faults.append("handled again")
        wrong = [n for n in rejects if self.oracle.dead.get(n, {}).get("x-qbus-reason") != "rejected"]
        return Outcome({**facts, "done": len(self.oracle.done), "dead": self.oracle.n_dead},
                       faults + [f"the reason of {n} is wrong" for n in wrong])

    def watch_pause(self, facts):
        """Refused, and from then on nothing begins; and nothing of it is settled at the broker."""
        begin = time.monotonic()
        self.proxies["qbus"].wait_log("dead-letter target refuses", 60)
        facts["refused_ms"] = round((time.monotonic() - begin) * 1000)
        wait_until(lambda: not self.oracle.read().running, 120, "what runs ends")
        paused = self.oracle.begun
        time.sleep(PAUSE_S)
        facts["begun_in_pause"] = self.oracle.read().begun - paused
        facts["left_in_pause"] = self.oracle.backlog()
        faults = [f"{facts['begun_in_pause']} handlers began in the pause"] if facts["begun_in_pause"] > BEGUN_MAX else []
        return faults if facts["left_in_pause"] > 5 else [*faults, "the pause came after everything was handled"]


class RefusedKafka(Refused):
    name = "dlq-refused-kafka"

    def prepare(self):
        self.kafka = self.scene.kafka()
        self.topic = self.kafka.create_topic(self.label, 4)
        self.stream = KafkaStream(self.oracle, f"{self.scene.seed} {self.label}", self.kafka, self.topic)

    def make_graves(self, name):
        return KafkaGraves(self.kafka, name)

    def configure(self, graves):
        return self.kafka_configuration(self.kafka, self.topic, pipelines=self.pipeline(graves),
                                        pools={"php": {"num_workers": WORKERS}})


class RefusedAmqp(Refused):
    name = "dlq-refused-amqp"

    def prepare(self):
        self.rabbit = self.scene.rabbit()
        self.queue = self.rabbit.declare(self.label, "quorum")
        self.stream = RabbitStream(self.oracle, f"{self.scene.seed} {self.label}", self.rabbit, self.queue)

    def make_graves(self, name):
        return RabbitGraves(self.rabbit, name)

    def configure(self, graves):
        return self.amqp_configuration(self.rabbit, self.queue, pipelines=self.pipeline(graves),
                                       pools={"php": {"num_workers": WORKERS}})
