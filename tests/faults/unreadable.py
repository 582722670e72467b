# SPDX-License-Identifier: MIT
"""Something in a Kafka partition cannot be read: the lane is wedged and named, nothing behind it is handled, other lanes
go on, and after what an operator does nothing is lost."""
import json
import os
import struct
import time

import confluent_kafka

from process import wait_until
from proxy import EXIT_CLEAN, merge, run
from scene import Case, Outcome
from stream import KafkaStream
from watch import judge_lines, judge_wedged, peak_mib, reasons

GOOD = 20
SICK, WELL = 0, 1   # partitions


class Unreadable(Case):
    n_rounds = 1
    is_story = True
    has_twin = False    # its own partitions that are well are the proof
    ordered = False
    words = None        # in the reason that is told
    properties = {}     # of librdkafka while the lane is wedged
    fetch = None

    def prepare(self):
        self.kafka = self.scene.kafka()
        self.topic = self.kafka.create_topic(self.label, 2)
        self.stream = KafkaStream(self.oracle, f"{self.scene.seed} {self.label}", self.kafka, self.topic, max_us=500)
        self.fill()

    def fill(self):
        """GOOD orders that are read, then trouble, then GOOD orders that must wait behind it; self.bad is its offset."""
        raise NotImplementedError

    def mend(self):
        """What an operator does while the proxy is stopped."""

    def send(self, count, partition, topic=None, pad=0, properties=None):
        """Confirmed orders to one partition, in one batch; returns their ids."""
        topic = topic or self.topic
        begin = self.kafka.ends(topic)[partition]
        producer = confluent_kafka.Producer({"bootstrap.servers": self.kafka.bootstrap, "linger.ms": 60_000,
                                             "log_level": 0, **(properties or {})})
        producer.list_topics(topic)     # a topic that becomes known while flush() runs has its first message sent alone
        orders = [self.stream.make(None) for _ in range(count)]
        for order in orders:
            producer.produce(topic, json.dumps({**order, "pad": "x" * pad}), order["key"],
                             partition=partition, on_delivery=self.stream.report)
        assert not producer.flush(60), "orders are not confirmed"
        assert {order["id"] for order in orders} <= self.oracle.confirmed
        assert self.batches(topic, partition)[begin][1] == begin + count, "the orders are not one batch"
        return {order["id"] for order in orders}

    def log(self, topic, partition):
        return self.kafka.directory / "data" / f"{topic}-{partition}" / f"{0:020}.log"

    def batches(self, topic, partition):
        """Of each batch by its first offset: where in the log's file it ends, and the offset that follows it."""
        found = {}
        with open(self.log(topic, partition), "rb") as file:
            while head := file.read(27):
                base, length, _, _, _, _, last_delta = struct.unpack(">qiiBIhi", head)
                found[base] = (file.seek(12 + length - len(head), os.SEEK_CUR), base + last_delta + 1)
        return found

    def configuration(self, properties):
        changes = {"brokers": {"b": {"properties": properties}}, "pipelines": {"orders": {"commit_interval": "100ms"}},
                   "pools": {"php": {"num_workers": 2}}}
        if self.fetch:
            changes = merge(changes, {"pipelines": {"orders": {"fetch": self.fetch}}})
        return self.kafka_configuration(self.kafka, self.topic, **changes)

    def round(self, number):
        self.serve(self.configuration(self.properties))
        proxy = self.proxies["qbus"]
        self.found += judge_wedged(proxy, self.topic, SICK, self.bad, self.words)
        wait_until(lambda: self.before <= self.oracle.read().done.keys(), 120, "what lies before is handled")
        self.found += self.judge_others()
        passed = self.behind & self.oracle.read().done.keys()
        self.found += [f"{len(passed)} behind the trouble were handled"] if passed else []
        if self.scene.scale >= 1:   # the second line of the log comes after a minute
            time.sleep(65)
            self.found += judge_lines(proxy, self.topic, SICK, 2)
        wait_until(lambda: self.kafka.committed(self.label, self.topic)[SICK] == self.bad, 60,
                   f"all before offset {self.bad} is committed, and not more")
        self.found += self.cure(proxy)
        wait_until(lambda: self.behind <= self.oracle.read().done.keys(), 120, "what lies behind is handled")
        return Outcome({"bad_offset": self.bad, "done": len(self.oracle.done)}, [])

    def cure(self, proxy):
        code = proxy.stop()
        self.mend()
        proxy.configure(self.configuration({}))
        proxy.start()
        return [f"exit code {code}"] if code != EXIT_CLEAN else []

    def judge_others(self):
        well = self.send(GOOD, WELL)
        wait_until(lambda: well <= self.oracle.read().done.keys(), 120, "the partition that is well goes on")
        return []

    def judge_end(self):
        again = self.repeats()
        return [f"{len(again)} handled again"] if again else []

    def commit(self, offset):
        consumer = self.kafka.consumer(self.label)
        consumer.commit(offsets=[confluent_kafka.TopicPartition(self.topic, SICK, offset)], asynchronous=False)
        consumer.close()


class CorruptBatch(Unreadable):
    name = "corrupt-batch"
    words = "CRC"

    def fill(self):
        self.before = self.send(GOOD, SICK)
        self.lost = self.send(GOOD, SICK)
        self.behind = self.send(GOOD, SICK)
        self.bad = GOOD
        end, _ = self.batches(self.topic, SICK)[self.bad]
        with open(self.log(self.topic, SICK), "r+b", buffering=0) as file:
            file.seek(end - 9)
            byte = file.read(1)[0]
            file.seek(end - 9)
            file.write(bytes([byte ^ 0x20]))
        self.oracle.confirmed -= self.lost  # given up by the operator who passes the batch over
        for number in self.lost:
            self.oracle.sent.pop(number)

    def cure(self, proxy):
        """The batch is passed over, as an operator does; the lane goes on at once."""
        done = run("pipelines", "skip", "orders", "-c", proxy.file, "--source", self.topic, "--partition", SICK,
                   "--offset", 2 * GOOD - 1)
        faults = [f"skip ends with {done.returncode}: {done.stderr}"] if done.returncode != EXIT_CLEAN else []
        wait_until(lambda: not reasons(proxy, "lane wedged"), 120, "the lane is not wedged any more")
        return faults


class OversizeResponse(Unreadable):
    name = "oversize-response"
    words = "receive.message.max.bytes"
    properties = {"receive.message.max.bytes": 1_200_000}
    fetch = {"max_bytes": "1MiB"}

    def fill(self):
        self.before = self.send(GOOD, SICK)
        self.behind = self.send(1, SICK, pad=2_000_000, properties={"message.max.bytes": 4_000_000})
        self.bad = GOOD

    def judge_others(self):
        return []   # the broker's connection breaks with each answer, so its other partitions stand still too


class OffsetOutOfRange(Unreadable):
    name = "offset-out-of-range"
    words = "the broker keeps 0 to 20"

    def fill(self):
        self.before = set()
        self.behind = self.send(GOOD, SICK)
        self.bad = 1000
        self.commit(self.bad)

    def mend(self):
        self.commit(0)


class CodecBomb(Unreadable):
    """A batch of 100 MB of which a hundredth or less is sent."""
    name = "codec-bomb"
    words = "(?i)compress"
    codecs = ("gzip", "snappy", "lz4")
    properties = {"receive.message.max.bytes": 100_000_000}     # as it is by default

    def fill(self):
        self.before = self.send(GOOD, SICK)
        self.behind = self.bomb("zstd", self.topic) | self.send(GOOD, SICK)
        self.bad = GOOD
        self.topics = {codec: self.kafka.create_topic(f"{self.label}.{codec}", 1) for codec in self.codecs}
        self.bombs = set().union(*(self.bomb(codec, topic) for codec, topic in self.topics.items()))

    def bomb(self, codec, topic):
        return self.send(105, SICK, topic, pad=1_000_000, properties={
            "compression.type": codec, "message.max.bytes": 200_000_000, "batch.size": 200_000_000,
            "queue.buffering.max.kbytes": 400_000})

    def configuration(self, properties):
        # What bounds zstd is the size of an answer; the library tries sizes of which each is three times the last.
        return merge(super().configuration(properties or {"receive.message.max.bytes": 1_000_000_000}), {"pipelines": {
            "orders": {"source": {"topics": [self.topic, *self.topics.values()]}}}})

    def judge_others(self):
        wait_until(lambda: self.bombs <= self.oracle.read().done.keys(), 120, "the batches that unpack are handled")
        self.peak = peak_mib(self.proxies["qbus"])
        return super().judge_others()

    def summary(self):
        return {"peak_mib": getattr(self, "peak", "-")}
