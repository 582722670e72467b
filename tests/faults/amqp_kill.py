# SPDX-License-Identifier: MIT
"""kill -9 of the proxy, of workers, or of both, on one continuous stream from RabbitMQ."""
from process import wait_until
from scene import Case, Outcome, open_now
from stream import RabbitStream

VICTIMS = ("proxy", "worker", "both")
FRESH_US = 200_000  # younger completions of a dead worker may have had their acks on the way


class AmqpKill(Case):
    n_rounds = 20
    kind = None
    prefetch = 200

    def prepare(self):
        self.rabbit = self.scene.rabbit()
        self.queue = self.rabbit.declare(self.label, self.kind)
        self.stream = RabbitStream(self.oracle, f"{self.scene.seed} {self.label}", self.rabbit, self.queue,
                                   max_us=40_000)  # slower than a queue is filled
        self.serve(self.amqp_configuration(self.rabbit, self.queue, pipelines={
            "orders": {"source": {"prefetch": self.prefetch}}}))
        self.dead = set()       # workers struck by the last kill
        self.allowed = 0
        self.n_bound = 0

    def round(self, number):
        self.stream.fill(self.scaled(800, 500))
        self.wait_work()
        self.wait_moment()
        facts = {"victim": "none" if self.is_twin else self.chance.choice(VICTIMS)}
        before = self.oracle.read().begun
        counted = None if self.is_twin else open_now(self.proxies["qbus"])
        struck, dead = self.strike(facts["victim"])
        faults, again = self.judge_repeats(self.repeats(dead, self.struck_us))
        unacked = self.find_unacked(facts["victim"], dead)
        bound = counted + self.oracle.begun - before if counted is not None else unacked + len(struck)
        if facts["victim"] in ("proxy", "both"):
            faults += [f"the broker lost {-unacked} messages that no handler has completed"] if unacked < 0 else []
            if unacked > bound + self.allowed:
                faults.append(f"{unacked} handled messages can come again, the bound is {bound}")
        self.allowed = bound + self.allowed - again
        self.dead |= dead
        self.n_bound += bound
        if facts["victim"] in ("proxy", "both"):
            self.proxies["qbus"].start()
        faults += self.take_order_faults()
        facts.update(done=len(self.oracle.done), struck=len(struck), counted="-" if counted is None else counted,
                     bound=bound, open=unacked, again=again)
        return Outcome(facts, faults)

    def strike(self, victim):
        if victim == "none":
            return [], set()
        workers = self.proxies["qbus"].workers()
        chosen = self.chance.sample(workers, self.chance.randint(1, len(workers))) if victim != "proxy" else []
        if victim == "worker":
            struck, dead = self.kill_workers(chosen), set(chosen)
        else:
            struck, dead = self.kill_proxy(workers=chosen), set(workers)
        self.n_faults += 1
        self.n_struck += bool(struck)
        return struck, dead

    def find_unacked(self, victim, dead):
        """How many messages were handled and will come again all the same: after a dead proxy the queue tells, after
        dead workers it is an estimate from above."""
        if victim not in ("proxy", "both"):
            late = {line.id for line in self.late}
            return sum(not dead.isdisjoint(pids) and (number in late or self.oracle.done[number].time_us
                       > self.struck_us - FRESH_US) for number, pids in self.oracle.pids.items()) if dead else 0
        wait_until(lambda: self.rabbit.consumers(self.queue) == 0, 120, "the broker notices the kill")
        acked = len(self.oracle.confirmed) - self.rabbit.ready(self.queue)
        return len(self.oracle.done) - acked

    def judge_repeats(self, repeats):
        ids = [line.id for line in repeats]
        faults = []
        strange = [number for number in ids if self.dead.isdisjoint(self.oracle.pids[number])]
        if strange:
            faults.append(f"handled again, though no worker that had it was struck: {strange[:5]}")
        if len(ids) > self.allowed:
            faults.append(f"{len(ids)} handled again, the bound is {self.allowed}")
        return faults, len(ids)

    def take_order_faults(self):
        found, self.oracle.order_faults = self.oracle.order_faults, []
        return found[:3]

    def summary(self):
        return {"kills": self.n_faults, "struck": self.n_struck, "sum_of_bounds": self.n_bound}

    def judge_end(self):
        faults = self.judge_repeats(self.repeats())[0]
        wait_until(lambda: self.rabbit.consumers(self.queue) == 0, 120, "the consumer left")
        left = self.rabbit.ready(self.queue)
        if left:
            faults.append(f"{left} messages are left in the queue")
        return faults + self.judge_struck(0.8, "kills struck")

    def finish(self):
        super().finish()
        self.stream.close()


class AmqpKillClassic(AmqpKill):
    name = "amqp-kill-classic"
    kind = "classic"


class AmqpKillQuorum(AmqpKill):
    name = "amqp-kill-quorum"
    kind = "quorum"
