# SPDX-License-Identifier: MIT
"""Headers that are made to break a reader: tables inside tables as deep as a frame is long, and names without a letter.
The messages are handled, and their dead letters arrive."""
import json
import sys

import confluent_kafka
import pika

from graves import KafkaGraves, RabbitGraves
from process import wait_until
from scene import Case, Outcome
from stream import KafkaStream, RabbitStream

LEVELS = (100, 2_500, 21_000)   # the last just fits into the largest frame
sys.setrecursionlimit(4 * LEVELS[-1])


class Strange(Case):
    n_rounds = 1
    is_story = True
    has_twin = False    # a second reader finds what was sent: that is the proof
    ordered = False

    def round(self, number):
        proxy = self.proxies["qbus"]
        pids = {proxy.process.pid, *proxy.workers()}
        facts = {}
        buried = self.strike(facts)

        def settled():
            self.graves.read(self.oracle)
            return not self.oracle.backlog()
        wait_until(settled, 120, "all is handled or dead")
        faults = [] if buried == self.oracle.dead.keys() else [f"dead are {sorted(self.oracle.dead)}, not {sorted(buried)}"]
        faults += ["a process ended"] if pids != {proxy.process.pid, *proxy.workers()} else []
        faults += ["handled again"] if self.repeats() else []
        return Outcome({**facts, "done": len(self.oracle.done), "dead": self.oracle.n_dead}, faults)

    def pipeline(self):
        return {"pipelines": {"orders": {"max_attempts": 3, "dead_letter": self.graves.target}},
                "pools": {"php": {"num_workers": 2}}}

    def finish(self):
        super().finish()
        self.graves.close()


class StrangeAmqp(Strange):
    def prepare(self):
        rabbit = self.scene.rabbit()
        queue = rabbit.declare(self.label, "quorum")
        self.graves = RabbitGraves(rabbit, f"{self.label}.dlx")
        self.graves.create()
        self.stream = RabbitStream(self.oracle, f"{self.scene.seed} {self.label}", rabbit, queue, max_us=500)
        self.stream.connect()
        self.stream.channel.queue_declare("mirror-" + queue)
        self.stream.channel.queue_bind("mirror-" + queue, self.stream.exchange)
        self.serve(self.amqp_configuration(rabbit, queue, **self.pipeline()))
        wait_until(lambda: len(self.proxies["qbus"].workers()) == 2, 120, "the workers run")

    def publish(self, headers, do):
        order = self.stream.make(do)
        self.stream.channel.basic_publish(self.stream.exchange, order["key"], json.dumps(order).encode(),
                                          pika.BasicProperties(delivery_mode=2, headers=headers), mandatory=True)
        self.oracle.confirmed.add(order["id"])
        return order["id"]

    def mirrored(self):
        """The headers of the next message as another reader sees them."""
        found = wait_until(lambda: self.stream.channel.basic_get("mirror-" + self.label, auto_ack=True)[1], 120, "it is there")
        return found.headers

    def finish(self):
        super().finish()
        self.stream.close()


class NestedHeaders(StrangeAmqp):
    name = "nested-headers"

    def strike(self, facts):
        buried = set()
        for levels in LEVELS:
            table = {}
            for _ in range(levels):
                table = {"": table}
            buried.add(self.publish(table, "reject"))   # of the deepest one only: RabbitMQ itself takes 10 s for it
            depths = [self.depth(self.mirrored())]
            if levels != LEVELS[-1]:
                self.publish(table, None)
                depths.append(self.depth(self.mirrored()))
            assert set(depths) == {levels}, depths
            facts[f"sent_{levels}"] = len(depths)
        self.publish(None, None)
        return buried

    @staticmethod
    def depth(table):
        depth = 0
        while table:
            table, depth = table[""], depth + 1
        return depth


class EmptyHeaderName(StrangeAmqp):
    name = "empty-header-name"

    def strike(self, facts):
        self.publish({"": "nameless", "a": "b"}, None)
        buried = {self.publish({"": "nameless", "a": "b"}, "reject")}
        for _ in range(2):
            assert self.mirrored() == {"": "nameless", "a": "b"}
        return buried


class EmptyHeaderNameKafka(Strange):
    name = "empty-header-name-kafka"
    headers = [("", b"nameless"), ("a", b"b")]

    def prepare(self):
        self.kafka = kafka = self.scene.kafka()
        topic = kafka.create_topic(self.label, 1)
        self.graves = KafkaGraves(kafka, f"{self.label}.dlq")
        self.graves.create()
        self.stream = KafkaStream(self.oracle, f"{self.scene.seed} {self.label}", kafka, topic, max_us=500)
        self.serve(self.kafka_configuration(kafka, topic, **self.pipeline()))
        wait_until(lambda: len(self.proxies["qbus"].workers()) == 2, 120, "the workers run")

    def strike(self, facts):
        orders = [self.stream.make(do) for do in (None, "reject")]
        for order in orders:
            self.stream.producer.produce(self.stream.topic, json.dumps(order), order["key"], headers=self.headers,
                                         on_delivery=self.stream.report)
        assert not self.stream.producer.flush(30)
        reader = self.kafka.consumer("mirror")
        reader.assign([confluent_kafka.TopicPartition(self.stream.topic, 0, 0)])
        found = [message.headers() for message in reader.consume(2, timeout=60)]
        reader.close()
        assert found == [self.headers] * 2, found
        return {orders[1]["id"]}
