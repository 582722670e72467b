# SPDX-License-Identifier: MIT
"""SIGSTOP of one of two proxies for longer than its session, while its workers finish what they hold; after SIGCONT all
their verdicts arrive at once, for partitions that another member owns by then."""
import signal

from commits import Commits, above, is_covered
from process import wait_until
from scene import Case, Outcome, now_us
from stream import KafkaStream

PARTITIONS, WORKERS, CREDIT = 12, 4, 20
STALE_US = 2_000_000    # in which what a worker holds is handled


class KafkaFrozen(Case):
    name = "kafka-frozen"
    n_rounds = 10
    session_timeout = "6s"      # as long as one is frozen

    def prepare(self):
        self.kafka = self.scene.kafka()
        self.topic = self.kafka.create_topic(self.label, PARTITIONS)
        self.stream = KafkaStream(self.oracle, f"{self.scene.seed} {self.label}", self.kafka, self.topic, keys=400)
        self.commits = Commits(self.kafka, self.label, self.topic, self.directory / "commits")
        self.stream.fill(self.load())
        for name in ("a", "b"):
            self.serve(self.kafka_configuration(self.kafka, self.topic, name, pipelines={"orders": {
                "commit_interval": "300ms", "credit": CREDIT}}, pools={"php": {"num_workers": WORKERS}}), name)
        self.both_work()
        self.n_void = 0

    def both_work(self):
        self.stream.fill(self.load())
        for name in ("a", "b"):
            self.wait_work(name)

    def load(self):
        return self.scaled(2500, 1500)

    def round(self, number):
        self.both_work()
        if self.is_twin:
            self.wait_done(500)
            return Outcome({"done": len(self.oracle.done)}, self.judge(set()))
        victim, other = self.chance.sample(["a", "b"], 2)
        workers = set(self.proxies[victim].workers())
        self.proxies[victim].process.send(signal.SIGSTOP)
        frozen = now_us()
        wait_until(lambda: not workers & self.oracle.read().running.keys(), 120, "the frozen one's workers run dry")
        self.commits.read()
        mark, kept = len(self.commits.all), dict(self.commits.newest)
        void = self.wait_takeover(other, lambda: self.find_void(workers, kept))
        lost = {line.partition for line in void.values()}
        n_said = len(self.proxies[victim].text())
        self.proxies[victim].process.send(signal.SIGCONT)
        thawed = now_us()
        self.proxies[victim].wait_log(f"(?s)^.{{{n_said}}}.*partitions are (lost|revoked)", 120)
        learned = now_us()
        self.both_work()
        self.wait_done(200)
        stale = self.find_stale(workers, thawed, learned)
        faults = self.judge(set(void) | stale) + self.judge_void(void, workers, self.proxies[other].workers(), mark)
        if len(stale) > CREDIT:
            faults.append(f"{len(stale)} messages of lost lanes were handed out after the thaw")
        self.n_void += len(void)
        if not void:
            faults.append("no verdict was on its way when the session ended")
        return Outcome({"victim": victim, "frozen_ms": (thawed - frozen) // 1000, "void": len(void),
                        "stale": len(stale), "lost_lanes": len(lost), "done": len(self.oracle.done)}, faults)

    def find_void(self, workers, kept):
        """{id: Line} of what the frozen one's workers completed and no commit of it covers. `kept`: its newest commits."""
        done = self.oracle.read().done
        mine = (done[number] for number, pids in self.oracle.pids.items() if not workers.isdisjoint(pids))
        return {line.id: line for line in mine if not is_covered(kept.get(line.partition), line.receipt)}

    def find_stale(self, workers, thawed, learned):
        """Ids that the thawed proxy handed out again before it learned that their lanes are lost: no more than one worker
        has room for, in a turn that the stop cut in two."""
        return {line.id for line in self.oracle.read().repeats
                if line.pid in workers and thawed <= line.time_us < learned + STALE_US}

    def wait_takeover(self, other, find_void):
        """Until the other member handles again what the frozen one did in vain; returns that. A worker that seemed to have
        run dry may have been between two messages, so it is looked for to the end."""
        workers = set(self.proxies[other].workers())
        self.stream.fill(self.load())

        def taken():
            void = find_void()
            return [void] if all(self.oracle.done[number].pid in workers for number in void) else None
        return wait_until(taken, 120, lambda: f"{other} takes over what {len(find_void())} verdicts are on their way for")[0]

    def judge_void(self, void, workers, others, mark):
        """Nothing that was committed from then on rests on a verdict of the frozen one alone."""
        faults, void_at = [], {(line.partition, line.receipt): line for line in void.values()}
        for commit in self.commits.all[mark:]:
            for at, line in void_at.items():
                if at[0] != commit.partition or not (at[1] < commit.offset or at[1] in above(commit)):
                    continue
                own = [again.time_us for again in self.oracle.repeats if again.id == line.id and again.pid in others]
                if not own or own[0] > commit.time_us + 5000:
                    faults.append(f"partition {at[0]}: commit {commit.offset} covers {at[1]} of a lost lane")
        return faults[:3]

    def judge(self, void):
        ids = [line.id for line in self.repeats()]
        faults = [f"handled again, though committed: {sorted(set(ids) - void)[:5]}"] if set(ids) - void else []
        if len(ids) > len(set(ids)):
            faults.append("handled again more than once after one freeze")
        found, self.oracle.order_faults = self.oracle.order_faults, []
        return faults + self.commits.faults(self.oracle)[:3] + found[:3]

    def summary(self):
        return {"void": self.n_void}

    def judge_end(self):
        faults = self.judge(set())
        ends = {p: end for p, end in self.kafka.ends(self.topic).items() if end}
        kept = {p: commit.offset for p, commit in self.commits.newest.items() if commit.offset}
        return faults + ([f"committed at the end {kept}, the topic ends at {ends}"] if kept != ends else [])

    def finish(self):
        super().finish()
        self.commits.close()
