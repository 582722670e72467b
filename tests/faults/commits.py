# SPDX-License-Identifier: MIT
"""Every commit of a consumer group, read from the topic in which Kafka itself keeps them."""
import struct
import time
import typing

import confluent_kafka

from process import wait_until

MAGIC = "qbus2:"
LOG = "__consumer_offsets"


class Commit(typing.NamedTuple):
    partition: int
    offset: int     # of the next message
    memo: str
    time_us: int    # when the broker stored it, on the monotonic clock; good to a millisecond


def above(commit):
    """Offsets above commit.offset that its memo calls settled (runs may hide holes)."""
    if not commit.memo:
        return set()
    assert commit.memo.startswith(MAGIC), commit.memo
    begin, *numbers = [int(number, 36) for number in commit.memo[len(MAGIC):].split(",")]
    assert begin == commit.offset, commit
    at, settled = commit.offset - 1, set()
    for gap, run in zip(numbers[::2], numbers[1::2]):
        settled.update(range(at + gap + 1, at + gap + run + 1))
        at += gap + run
    return settled


def is_covered(commit, offset):
    """Whether the newest commit of a partition, or None, says that this offset is settled."""
    return commit is not None and (offset < commit.offset or offset in above(commit))


class Reader:
    """Takes big-endian fields from the front of some bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, code):
        value, = struct.unpack_from(">" + code, self.data, self.at)
        self.at += struct.calcsize(">" + code)
        return value

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take("B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self, compact=False):
        length = self.varint() - 1 if compact else self.take("h")
        self.at += max(length, 0)
        return self.data[self.at - length:self.at].decode() if length > 0 else ""


class Commits:
    """The commits of one group and topic, in order."""

    def __init__(self, kafka, group, topic, record):
        self.group, self.topic = group, topic
        self.record = open(record, "w", encoding="ascii")  # for whoever looks into a failure
        self.all = []
        self.n_judged = 0
        self.judged = {}    # partition -> offset
        self.buried = set() # (partition, offset) of dead letters
        self.newest = {}    # partition -> Commit
        self.unix_us = time.time_ns() // 1000 - time.monotonic_ns() // 1000
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": kafka.bootstrap, "group.id": "reads-commits", "enable.auto.commit": False,
            "log_level": 0, "enable.partition.eof": True, "fetch.wait.max.ms": 10})
        self.positions = {}

    def close(self):
        self.consumer.close()
        self.record.close()

    def parse(self, message):
        key = Reader(message.key())
        if key.take("h") > 1 or message.value() is None or (key.text(), key.text()) != (self.group, self.topic):
            return
        partition, value = key.take("i"), Reader(message.value())
        version, offset = value.take("h"), value.take("q")
        if version >= 3:
            value.take("i")  # leader epoch
        commit = Commit(partition, offset, value.text(compact=version >= 4), value.take("q") * 1000 - self.unix_us)
        self.all.append(commit)
        self.newest[partition] = commit
        print(commit.time_us, partition, commit.offset, commit.memo, sep=" ", file=self.record, flush=True)

    def read(self):
        """All commits up to now."""
        if not self.positions:
            def partitions():
                topic = self.consumer.list_topics(LOG, timeout=60).topics[LOG]
                return sorted(topic.partitions) if not topic.error else None
            found = wait_until(partitions, 90, "the group's log exists")
            self.positions = dict.fromkeys(found, 0)
            self.consumer.assign([confluent_kafka.TopicPartition(LOG, p, 0) for p in found])
        ends = {p: self.consumer.get_watermark_offsets(confluent_kafka.TopicPartition(LOG, p), timeout=60)[1]
                for p in self.positions}

        def is_read():
            for message in self.consumer.consume(1000, timeout=0.05):
                if not message.error():
                    self.parse(message)
                    self.positions[message.partition()] = message.offset() + 1
                elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    self.positions[message.partition()] = max(message.offset(), self.positions[message.partition()])
            return all(self.positions[p] >= end for p, end in ends.items())

        wait_until(is_read, 90, "the group's log is read")
        return self.all

    def covered(self, partition, offset):
        return is_covered(self.newest.get(partition), offset)

    def faults(self, oracle, slack_us=5000):
        """What is wrong with the commits that were not judged yet: an offset that went back; an offset below it or in
        its memo that was not settled by then. Dead letters carry no time: they count as settled from the first."""
        faults = []
        commits = self.read()
        oracle.read()
        for commit in commits[self.n_judged:]:
            before = self.judged.get(commit.partition, 0)
            self.judged[commit.partition] = commit.offset
            if commit.offset < before:
                faults.append(f"partition {commit.partition}: committed {commit.offset} after {before}")
            for offset in [*range(before, commit.offset), *above(commit)]:
                at = commit.partition, offset
                done = 0 if at in self.buried else oracle.settled_us.get(at)
                if done is None or done > commit.time_us + slack_us:
                    faults.append(f"partition {commit.partition}: commit {commit.offset} covers {offset}, which was "
                                  + ("not settled" if done is None else f"settled {done - commit.time_us} us later"))
        self.n_judged = len(commits)
        return faults
