# SPDX-License-Identifier: MIT
"""Messages whose handler exits, crashes or exhausts its memory, among good ones that the same workers hold."""
from process import wait_until
from graves import KafkaGraves, RabbitGraves
from oracle import DIES
from scene import Case, Outcome
from stream import KafkaStream, RabbitStream

WORKERS, CREDIT, MAX_ATTEMPTS = 4, 8, 3
ENDS = {"exit": "exit 3", "segv": "signal SIGSEGV", "memory": "exit 255"}
FATES = tuple(ENDS)


class Poison(Case):
    n_rounds = 6
    ordered = False

    def pipeline(self):
        return {"orders": {"credit": CREDIT, "max_attempts": MAX_ATTEMPTS, "dead_letter": self.graves.target,
                           "backoff": {"initial": "20ms", "max": "100ms"}}}

    def round(self, number):
        count = self.scaled(300, 150)
        fates = {} if self.is_twin else {
            place: fate for place, fate in zip(sorted(self.chance.sample(range(20, count // 2), len(FATES))),
                                               self.chance.sample(FATES, len(FATES)))}
        ids = self.stream.send(count, fates)
        poison = {ids[place]: fate for place, fate in fates.items()}
        neighbours = set(ids) - poison.keys()

        def settled():
            self.graves.read(self.oracle)
            return poison.keys() <= self.oracle.dead.keys() and neighbours <= self.oracle.read().done.keys()
        wait_until(settled, 120, f"neighbours are handled, poison is dead: {poison}")
        crashes = self.oracle.counts[DIES]
        again = self.repeats()
        faults = [fault for number, fate in poison.items() for fault in self.judge_dead(number, fate)]
        charged = [number for number in neighbours if self.oracle.attempts[number] > 1]
        if charged:
            faults.append(f"{len(charged)} neighbours were charged an attempt, as {charged[:5]}")
        if len(again) > len(poison) * MAX_ATTEMPTS * CREDIT:
            faults.append(f"{len(again)} neighbours were handled again")
        return Outcome({"poison": ",".join(poison.values()) or "none", "neighbours": len(neighbours),
                        "crashes": crashes, "dead": self.oracle.n_dead, "again": len(again)}, faults)

    def judge_dead(self, number, fate):
        headers, last = self.oracle.dead[number], self.oracle.last[number, DIES]
        expected = {"x-qbus-reason": "crash", "x-qbus-attempts": str(MAX_ATTEMPTS), "x-qbus-pipeline": "orders",
                    "x-qbus-origin": self.origin(last), "x-qbus-exit": ENDS[fate]}
        faults = [f"dead letter {number}: {name} is {headers.get(name)!r}, not {value!r}"
                  for name, value in expected.items() if headers.get(name) != value]
        faults += [f"dead letter {number}: no {name}" for name in ("x-qbus-first-delivered", "x-qbus-error")
                   if not headers.get(name)]
        if last.attempt != MAX_ATTEMPTS:
            faults.append(f"dead letter {number} had {last.attempt} attempts")
        return faults

    def judge_end(self):
        self.graves.read(self.oracle)
        copies = self.oracle.n_dead - len(self.oracle.dead)
        return [f"{copies} dead letters came twice"] if copies else []

    def summary(self):
        return {"crashes": self.oracle.counts[DIES]}

    def finish(self):
        super().finish()
        self.graves.close()


class PoisonKafka(Poison):
    name = "poison-kafka"

    def prepare(self):
        kafka = self.scene.kafka()
        topic = kafka.create_topic(self.label, 4)
        self.graves = KafkaGraves(kafka, f"{self.label}.dlq")
        self.graves.create()
        self.stream = KafkaStream(self.oracle, f"{self.scene.seed} {self.label}", kafka, topic, max_us=5000)
        self.serve(self.kafka_configuration(kafka, topic, pipelines=self.pipeline(),
                                            pools={"php": {"num_workers": WORKERS}}))

    def origin(self, line):
        return f"{self.label}/{line.partition}/{line.receipt}"


class PoisonAmqp(Poison):
    name = "poison-amqp"

    def prepare(self):
        rabbit = self.scene.rabbit()
        queue = rabbit.declare(self.label, "quorum")
        self.graves = RabbitGraves(rabbit, f"{self.label}.dlx")
        self.graves.create()
        self.stream = RabbitStream(self.oracle, f"{self.scene.seed} {self.label}", rabbit, queue, max_us=5000)
        self.serve(self.amqp_configuration(rabbit, queue, pipelines=self.pipeline(),
                                           pools={"php": {"num_workers": WORKERS}}))

    def origin(self, line):
        return f"{self.stream.exchange}/{line.key}"
