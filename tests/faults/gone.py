# SPDX-License-Identifier: MIT
"""The topic or queue is deleted while it is read: that is told, nothing spins, and its successor of the same name is read."""
import json
import time

from process import wait_until
from scene import Case, Outcome
from stream import KafkaStream, RabbitStream
from watch import page, reasons

COUNT = 40
LOOK_S = 3
LINES_MAX = 12      # in so long; a loop without a pause would write hundreds


class Gone(Case):
    n_rounds = 1
    is_story = True
    has_twin = False    # what was handled before is the proof
    ordered = False

    def round(self, number):
        proxy = self.proxies["qbus"]
        pid = proxy.process.pid
        self.stream.send(COUNT)
        self.wait_all()
        self.delete()
        told = wait_until(lambda: reasons(proxy, "consumer cancelled"), 120, "it is told that the consumer was ended")[0]
        self.found += [] if self.label in told["why"] or "deleted" in told["why"] or "nknown topic" in told["why"] else [
            f"the reason says {told['why']!r}"]
        code, text = page(proxy, "/readyz")
        if code != 503 or "consumer cancelled" not in [reason["reason"] for reason in json.loads(text)["reasons"]]:
            self.found.append(f"readyz says {code} {text}")
        lines = self.count_lines(proxy)
        time.sleep(LOOK_S)
        lines = self.count_lines(proxy) - lines
        if lines > LINES_MAX:
            self.found.append(f"{lines} log lines in {LOOK_S} s")
        self.make()
        begin = time.monotonic()
        self.stream.send(COUNT)
        self.wait_all()
        facts = {"lines": lines, "back_ms": round((time.monotonic() - begin) * 1000)}
        wait_until(lambda: not reasons(proxy, "consumer cancelled"), 120, "it is told that messages come again")
        self.found += [] if proxy.process.pid == pid and proxy.process.is_running() else ["the proxy ended"]
        self.found += ["handled again"] if self.repeats() else []
        return Outcome({**facts, "done": len(self.oracle.done)}, [])

    @staticmethod
    def count_lines(proxy):
        return sum('"level":"debug"' not in line for line in proxy.text().splitlines())


class DeletedTopic(Gone):
    name = "deleted-topic"

    def prepare(self):
        self.kafka = self.scene.kafka()
        self.make()
        self.stream = KafkaStream(self.oracle, f"{self.scene.seed} {self.label}", self.kafka, self.label, max_us=500)
        self.serve(self.kafka_configuration(self.kafka, self.label, pools={"php": {"num_workers": 2}}))

    def make(self):
        self.kafka.create_topic(self.label, 2)

    def delete(self):
        admin = self.kafka.admin()  # lives until the answer is there
        for future in admin.delete_topics([self.label]).values():
            future.result(30)


class DeletedQueue(Gone):
    name = "deleted-queue"

    def prepare(self):
        self.rabbit = self.scene.rabbit()
        self.make()
        self.stream = RabbitStream(self.oracle, f"{self.scene.seed} {self.label}", self.rabbit, self.label, max_us=500)
        self.serve(self.amqp_configuration(self.rabbit, self.label, pools={"php": {"num_workers": 2}}))

    def make(self):
        self.rabbit.declare(self.label, "quorum")

    def delete(self):
        self.rabbit.delete(self.label)

    def finish(self):
        super().finish()
        self.stream.close()
