# SPDX-License-Identifier: MIT
"""Two proxies of one group are stopped by SIGTERM and started again in turn, under load: nothing may come twice."""
import time

from commits import Commits
from proxy import EXIT_CLEAN
from scene import Case, Outcome
from stream import KafkaStream

PARTITIONS = 12
NAMES = ("a", "b")


class KafkaRolling(Case):
    n_rounds = 20
    source = {}

    def prepare(self):
        self.kafka = self.scene.kafka()
        self.topic = self.kafka.create_topic(self.label, PARTITIONS)
        self.stream = KafkaStream(self.oracle, f"{self.scene.seed} {self.label}", self.kafka, self.topic, keys=200,
                                  slow=(0.01, 400_000))
        self.commits = Commits(self.kafka, self.label, self.topic, self.directory / "commits")
        self.stream.fill(self.load())
        for name in NAMES:
            self.serve(self.configure(name), name)
        for name in NAMES:
            self.wait_work(name)

    def load(self):
        return self.scaled(1500, 800)

    def configure(self, name):
        return self.kafka_configuration(self.kafka, self.topic, name, pipelines={"orders": {
            "commit_interval": "300ms", "source": {**self.source, **self.identity(name)}}},
            pools={"php": {"num_workers": 4}})

    def identity(self, name):
        return {}

    def round(self, number):
        faults, facts = [], {"running": 0}
        for name in NAMES:
            self.stream.fill(self.load())
            self.wait_work(name)
            self.wait_moment(name)
            if not self.is_twin:
                faults += self.restart(name, facts)
        faults += self.judge()
        return Outcome({"done": len(self.oracle.done), **facts, "commits": len(self.commits.all)}, faults)

    def restart(self, name, facts):
        proxy = self.proxies[name]
        workers = set(proxy.workers())
        running = len(workers & self.oracle.read().running.keys())
        begin = time.monotonic()
        code = proxy.stop()
        facts["running"] += running
        facts[f"{name}_ms"] = round((time.monotonic() - begin) * 1000)
        self.n_faults += 1
        self.n_struck += running > 0
        faults = [f"{name} ends with exit code {code}"] if code != EXIT_CLEAN else []
        cut = self.oracle.struck(workers)
        faults += [f"{name} ends and cuts {len(cut)} handlers short"] if cut else []
        proxy.start()
        self.stream.fill(self.load())
        self.wait_work(name)
        return faults

    def judge(self):
        again = [line.id for line in self.repeats()]
        faults = [f"{len(again)} handled again, as {again[:5]}"] if again else []
        found, self.oracle.order_faults = self.oracle.order_faults, []
        return faults + self.commits.faults(self.oracle)[:3] + found[:3]

    def summary(self):
        return {"stops": self.n_faults, "struck": self.n_struck}

    def judge_end(self):
        faults = self.judge()
        return faults + self.judge_struck(0.9, "stops met")

    def finish(self):
        super().finish()
        self.commits.close()


class KafkaRollingRange(KafkaRolling):
    name = "kafka-rolling-range"


class KafkaRollingStatic(KafkaRolling):
    name = "kafka-rolling-static"

    def identity(self, name):
        return {"group_instance_id": name}


class KafkaRollingCooperative(KafkaRolling):
    name = "kafka-rolling-coop"
    source = {"assignment": "cooperative-sticky"}
