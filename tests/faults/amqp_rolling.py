# SPDX-License-Identifier: MIT
"""The proxy of a RabbitMQ queue is stopped by SIGTERM and started again under load: nothing may come twice, nothing may
be charged an attempt, and the few keys keep their order."""
import time

from process import wait_until
from proxy import EXIT_CLEAN
from scene import Case, Outcome, status
from stream import RabbitStream


class AmqpRolling(Case):
    n_rounds = 20
    kind = None
    header = None       # that is the key

    def prepare(self):
        self.rabbit = self.scene.rabbit()
        self.queue = self.rabbit.declare(self.label, self.kind)
        self.stream = RabbitStream(self.oracle, f"{self.scene.seed} {self.label}", self.rabbit, self.queue, keys=12,
                                   max_us=40_000, slow=(0.005, 300_000),  # slower than a queue is filled
                                   header=self.header)
        self.stream.fill(self.load())
        self.serve(self.amqp_configuration(self.rabbit, self.queue, pipelines={
            "orders": {"ordering_header": self.header} if self.header else {}}))

    def load(self):
        return self.scaled(800, 500)

    def round(self, number):
        self.stream.fill(self.load())
        self.wait_work()
        self.wait_moment()
        facts = {}
        if not self.is_twin:
            self.restart(facts)
        self.wait_done(1)
        returned = self.returned()
        self.found += [f"the stop made the broker take {returned} messages back"] if returned else []
        return Outcome({**facts, "returned": returned, "done": len(self.oracle.done)}, self.judge())

    def returned(self):
        """Messages that the running proxy got and the broker says to have handed out before. The stopped one got none of
        them: what it had received it worked off."""
        return sum(pipeline["redelivered"] for pipeline in status(self.proxies["qbus"])["pipelines"])

    def restart(self, facts):
        """What it finds goes to self.found."""
        proxy = self.proxies["qbus"]
        workers = set(proxy.workers())
        facts["running"] = len(workers & self.oracle.read().running.keys())
        begin = time.monotonic()
        code = proxy.stop()
        facts["stop_ms"] = round((time.monotonic() - begin) * 1000)
        self.n_faults += 1
        self.n_struck += facts["running"] > 0
        self.found += [f"exit code {code}"] if code != EXIT_CLEAN else []
        wait_until(lambda: self.rabbit.consumers(self.queue) == 0, 120, "the consumer left")
        missing = len(self.oracle.confirmed) - self.rabbit.ready(self.queue) - len(self.oracle.read().done)
        if missing:
            self.found.append(f"the stop acked {missing} messages more than were handled")
        proxy.start()

    def judge(self):
        again = [line.id for line in self.repeats()]
        charged = [number for number, attempt in self.oracle.attempts.items() if attempt > 1]
        faults = [f"{len(again)} handled again, as {again[:5]}"] if again else []
        faults += [f"{len(charged)} were charged an attempt, as {charged[:5]}"] if charged else []
        self.oracle.attempts.clear()
        found, self.oracle.order_faults = self.oracle.order_faults, []
        return faults + found[:3]

    def summary(self):
        return {"stops": self.n_faults, "struck": self.n_struck}

    def judge_end(self):
        faults = self.judge()
        return faults + self.judge_struck(0.9, "stops met")

    def finish(self):
        super().finish()
        self.stream.close()


class AmqpRollingClassic(AmqpRolling):
    name = "amqp-rolling-classic"
    kind = "classic"


class AmqpRollingQuorum(AmqpRolling):
    name = "amqp-rolling-quorum"
    kind = "quorum"


class AmqpRollingHeader(AmqpRolling):
    name = "amqp-rolling-header"
    kind = "quorum"
    header = "customer-id"
