# SPDX-License-Identifier: MIT
"""RabbitMQ itself is stopped, or killed with -9, and started again under a proxy that handles."""
from process import wait_until
from scene import Case, Outcome, now_us
from stream import RabbitStream

# What was acked less than this before the end of the broker may come again: acks under way, and after a kill what a
# classic queue had not yet written down.
UNKEPT_US = {"stop": 500_000, "kill": 3_000_000}


class AmqpRestart(Case):
    n_rounds = 5
    n_short = 2
    kind = None
    ordered = False     # a broker that returns messages after its own death keeps no order between returned and new ones

    def prepare(self):
        self.rabbit = self.scene.rabbit()
        self.queue = self.rabbit.declare(self.label, self.kind)
        self.stream = RabbitStream(self.oracle, f"{self.scene.seed} {self.label}", self.rabbit, self.queue,
                                   max_us=40_000)  # slower than a queue is filled
        self.serve(self.amqp_configuration(self.rabbit, self.queue))
        self.open = set()

    def round(self, number):
        self.stream.fill(self.scaled(800, 500))
        self.wait_work()
        self.wait_moment()
        facts = {"how": "none" if self.is_twin else self.chance.choice(("stop", "kill"))}
        if not self.is_twin:
            self.strike(facts)
        self.wait_done(50)
        return Outcome({**facts, "done": len(self.oracle.done)}, self.judge())

    def strike(self, facts):
        running = self.oracle.read().running.values()
        facts["struck"], at = len(running), now_us()
        open_ids = {line.id for line in running}
        getattr(self.rabbit, facts["how"])()
        wait_until(lambda: not self.oracle.read().running, 120, "the handlers run dry")
        self.open = open_ids | {number for number, line in self.oracle.done.items()
                                if line.time_us > at - UNKEPT_US[facts["how"]]}
        facts["backlog"] = self.oracle.backlog()
        self.rabbit.start()
        self.n_faults += 1
        self.n_struck += facts["struck"] > 0 and facts["backlog"] > 0

    def judge(self):
        ids = {line.id for line in self.repeats()}
        faults = [f"handled again, though acked before: {sorted(ids - self.open)[:5]}"] if ids - self.open else []
        self.open -= ids
        return faults

    def judge_end(self):
        faults = self.judge()
        wait_until(lambda: self.rabbit.consumers(self.queue) == 0, 120, "the consumer left")
        left = self.rabbit.ready(self.queue)
        faults += [f"{left} messages are left in the queue"] if left else []
        return faults + self.judge_struck(0.6, "ends of the broker met")

    def summary(self):
        return {"ends": self.n_faults, "struck": self.n_struck}

    def finish(self):
        super().finish()
        self.stream.close()


class AmqpRestartClassic(AmqpRestart):
    name = "amqp-broker-restart-classic"
    kind = "classic"


class AmqpRestartQuorum(AmqpRestart):
    name = "amqp-broker-restart-quorum"
    kind = "quorum"
