# SPDX-License-Identifier: MIT
"""A slow handler behind 100 partitions of 1 MB messages: the proxy's memory stays below memory.max_bytes and a bit."""
import json
import time

import confluent_kafka

from scene import Case, Outcome, status

PARTITIONS, BODY_BYTES = 100, 1_000_000
MIB = 1 << 20
CEILING, BESIDE = 256 * MIB, 32 * MIB   # BESIDE: for everything that is no message
HANDLER_US = 100_000
# One message fetched ahead of a partition, not two: see what `check-config --print` says of so many partitions.
FETCH = {"queue_bytes": "512KiB"}
PER_PARTITION = 5                       # more than the client library fetches ahead of a partition
LONG_S, SHORT_S, TWIN_S = 300, 20, 3
ROWS = 20                               # of the table
COLUMNS = ("seconds", "rss_mib", "used_mib", "held_mib", "library_mib", "handled")


class Sample(tuple):
    """One row of the table: seconds, then bytes, then messages."""

    def __str__(self):
        seconds, *sizes, handled = self
        return "  ".join(f"{cell:>11}" for cell in (round(seconds), *(size // MIB for size in sizes), handled))


class Memory2076(Case):
    name = "memory-2076"
    n_rounds = 1
    n_short = 1
    ordered = False

    def prepare(self):
        self.kafka = self.scene.kafka()
        self.topic = self.kafka.create_topic(self.label, PARTITIONS)
        self.producer = confluent_kafka.Producer({
            "bootstrap.servers": self.kafka.bootstrap, "linger.ms": 5, "message.max.bytes": 2 * BODY_BYTES,
            "queue.buffering.max.kbytes": 64 * 1024, "log_level": 0})
        self.next = 0
        self.top_up()
        self.proxy = self.start("qbus", 1)

    def start(self, name, workers):
        return self.serve(self.kafka_configuration(
            self.kafka, self.topic, name, memory={"max_bytes": CEILING}, pools={"php": {"num_workers": workers}},
            pipelines={"orders": {"source": {"session_timeout": "10s"}, "fetch": FETCH,
                                  "max_outstanding_bytes": CEILING}}), name)

    def top_up(self):
        """Sends what is missing until so many messages wait in each partition."""
        for _ in range(PARTITIONS * PER_PARTITION - self.oracle.backlog()):
            self.next += 1
            self.oracle.sent[self.next] = "k"
            order = json.dumps({"id": self.next, "key": "k", "us": HANDLER_US, "pad": "." * BODY_BYTES})
            while True:
                try:
                    self.producer.produce(self.topic, order[:BODY_BYTES - 2] + '"}', str(self.next),
                                          partition=self.next % PARTITIONS, on_delivery=self.report)
                    break
                except BufferError:
                    self.producer.poll(1)
        assert not self.producer.flush(120), "the messages are confirmed"

    def report(self, error, message):
        if not error:
            self.oracle.confirmed.add(int(message.key()))

    def sample(self, begin):
        with open(f"/proc/{self.proxy.process.pid}/statm", encoding="ascii") as file:
            rss = int(file.read().split()[1]) * 4096
        told = status(self.proxy)
        used, held = told["memory"]["used_bytes"], told["pipelines"][0]["buffered_bytes"]
        return Sample((time.monotonic() - begin, rss, used, held, used - held, len(self.oracle.read().done)))

    def round(self, number):
        seconds = TWIN_S if self.is_twin else LONG_S if self.scene.scale >= 1 else SHORT_S
        begin, samples, topped = time.monotonic(), [], 0
        while time.monotonic() < begin + seconds:
            samples.append(self.sample(begin))
            if time.monotonic() > topped + 10:
                self.top_up()
                topped = time.monotonic()
            time.sleep(0.25)
        if not self.is_twin:
            self.table(samples)
        most = max(sample[1] for sample in samples)
        library = max(sample[4] for sample in samples)
        return Outcome({"seconds": seconds, "samples": len(samples), "max_rss_mib": most // MIB,
                        "max_library_mib": library // MIB, "handled": samples[-1][-1]},
                       self.judge(most, library, samples))

    def judge(self, most, library, samples):
        faults = [f"{most // MIB} MiB resident"] if most > CEILING + BESIDE else []
        if self.is_twin:
            return faults
        if library < PARTITIONS * BODY_BYTES // 2:
            faults.append(f"the client library never held more than {library // MIB} MiB: nothing was proved")
        if samples[-1][-1] < samples[-1][0] * 1_000_000 / HANDLER_US / 2:
            faults.append(f"only {samples[-1][-1]} messages were handled in {round(samples[-1][0])} s")
        return faults

    def end(self):
        """More workers for what is left."""
        self.proxy.stop()
        self.start("end", 16)
        return super().end()

    @staticmethod
    def table(samples):
        """Of each stretch the sample with the most resident memory."""
        print("  ".join(f"{column:>11}" for column in COLUMNS))
        size = -(-len(samples) // ROWS)
        for at in range(0, len(samples), size):
            print(max(samples[at:at + size], key=lambda sample: sample[1]))
