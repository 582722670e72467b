# SPDX-License-Identifier: MIT
"""kill -9 of the proxy, of workers, or of both, on one continuous stream from Kafka."""
from commits import Commits
from scene import Case, Outcome, open_now
from stream import KafkaStream

PARTITIONS = 6
VICTIMS = ("proxy", "worker", "both")


class KafkaKill(Case):
    name = "kafka-kill"
    n_rounds = 200
    victims = VICTIMS
    min_struck = 0.8    # share of the kills that must hit a running handler

    def prepare(self):
        self.kafka = self.scene.kafka()
        topic = self.kafka.create_topic(self.label, PARTITIONS)
        self.stream = KafkaStream(self.oracle, f"{self.scene.seed} {self.label}", self.kafka, topic)
        self.commits = Commits(self.kafka, self.label, topic, self.directory / "commits")
        # A static member takes its partitions back at once; the others of its group are not there to wait.
        self.serve(self.kafka_configuration(self.kafka, topic, pipelines={"orders": {
            "commit_interval": "200ms",
            "source": {"group_instance_id": "one", "session_timeout": "20s"}}}))
        self.open = set()       # ids that may come again
        self.allowed = 0
        self.n_bound = 0

    def round(self, number):
        self.stream.fill(self.scaled(1000, 600))
        self.wait_work()
        self.wait_moment()
        facts = {"victim": "none" if self.is_twin else self.chance.choice(self.victims)}
        before = self.oracle.read().begun
        counted = None if self.is_twin else open_now(self.proxies["qbus"])
        struck, victims = self.strike(facts["victim"])
        self.commits.read()  # before the ledger: a proxy that lives goes on
        faults, again = self.judge_repeats(self.repeats(victims, self.struck_us))
        left = self.find_open(victims)
        if counted is None:  # then the broker and the ledger say it
            bound = len(left) + len(struck)
        else:
            bound = counted + self.oracle.begun - before
        if len(left - self.open) > bound:
            faults.append(f"{len(left - self.open)} handled messages can come again, the bound is {bound}")
        self.open, self.allowed = left, bound + len(left & self.open)
        self.n_bound += bound
        if facts["victim"] != "worker" and not self.is_twin:
            self.proxies["qbus"].start()
        faults += self.commits.faults(self.oracle)[:3] + self.take_order_faults()
        facts.update(done=len(self.oracle.done), struck=len(struck), counted="-" if counted is None else counted,
                     bound=bound, open=len(left), again=again)
        return Outcome(facts, faults)

    def strike(self, victim):
        """Returns the handlers struck and the workers that are dead."""
        if self.is_twin:
            return [], set()
        workers = self.proxies["qbus"].workers()
        chosen = self.chance.sample(workers, self.chance.randint(1, len(workers))) if victim != "proxy" else []
        if victim == "worker":
            struck, dead = self.kill_workers(chosen), chosen
        else:
            struck, dead = self.kill_proxy(workers=chosen), workers
        self.n_faults += 1
        self.n_struck += bool(struck)
        return struck, set(dead)

    def find_open(self, dead):
        """Ids that were handled, and whose ack the broker does not have: after a dead proxy all of them, after dead
        workers what they handled last; and those that were open before."""
        late = {line.id for line in self.late}
        struck = {number for number, pids in self.oracle.pids.items() if number in self.open or not dead.isdisjoint(pids)}
        done = ((number, self.oracle.done[number]) for number in struck)
        return {number for number, line in done
                if number in late or not self.commits.covered(line.partition, line.receipt)}

    def judge_repeats(self, repeats):
        """What came again since the last kill was open then, each at most once, and within the bound."""
        ids = [line.id for line in repeats]
        faults = []
        if set(ids) - self.open:
            faults.append(f"handled again, though committed or never struck: {sorted(set(ids) - self.open)[:5]}")
        if len(ids) > len(set(ids)):
            faults.append("handled again more than once after one kill")
        if len(ids) > self.allowed:
            faults.append(f"{len(ids)} handled again, the bound is {self.allowed}")
        return faults, len(ids)

    def take_order_faults(self):
        found, self.oracle.order_faults = self.oracle.order_faults, []
        return found[:3]

    def summary(self):
        return {"kills": self.n_faults, "struck": self.n_struck, "sum_of_bounds": self.n_bound}

    def judge_end(self):
        faults = self.judge_repeats(self.repeats())[0] + self.commits.faults(self.oracle)[:3]
        ends = {p: end for p, end in self.kafka.ends(self.label).items() if end}
        kept = {p: commit.offset for p, commit in self.commits.newest.items() if commit.offset}
        if kept != ends:
            faults.append(f"committed at the end {kept}, the topic ends at {ends}")
        return faults + self.judge_struck(self.min_struck, "kills struck")

    def finish(self):
        super().finish()
        self.commits.close()
