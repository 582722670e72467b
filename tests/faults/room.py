# SPDX-License-Identifier: MIT
"""Little room: a worker with memory_limit=32M behind fetches of 30 MiB, and a /tmp that is full."""
import os
import pathlib
import re
import statistics
import tempfile
import time

from process import ROOT, wait_until
from proxy import EXIT_CLEAN, Proxy, merge
from scene import Case, Outcome

HANDLER = ROOT / "tests" / "e2e" / "stream.php"
MIB = 1 << 20
SMALL = 1024


class Room(Case):
    n_rounds = 1
    is_story = True
    has_twin = False
    ordered = False

    def configuration(self, topic, group, *options):
        """One worker that writes `size md5 peak attempt pid` of each body to self.reads."""
        self.reads = self.directory / f"reads-{group}"
        self.reads.touch()
        command = ["php", "-d", "memory_limit=32M", str(HANDLER), str(self.reads), *options]
        return merge(self.kafka_configuration(self.kafka, topic), {
            "pipelines": {"orders": {"fetch": {"max_bytes": "30MiB", "max_partition_bytes": "30MiB"},
                                     "source": {"group_id": group}}},
            "pools": {"php": {"command": command, "num_workers": 1}}})

    def count(self):
        return self.reads.read_bytes().count(b"\n")


class SmallWorker(Room):
    name = "small-worker"

    def prepare(self):
        self.kafka = self.scene.kafka()
        self.sizes = {"small": (self.scaled(200_000, 40_000), SMALL), "large": (self.scaled(20, 4), 30_000_000)}
        for name, (count, size) in self.sizes.items():
            topic = self.kafka.create_topic(f"{self.label}.{name}", 1, max_message_bytes=40 * MIB, segment_bytes=64 * MIB)
            self.kafka.produce(topic, count, "--size", size, "-X", f"message.max.bytes={40 * MIB}")

    def round(self, number):
        facts, faults = {}, []
        for name, (count, size) in self.sizes.items():
            self.serve(self.configuration(f"{self.label}.{name}", name, *(["body=1"] if name == "small" else [])), name)
            wait_until(lambda count=count: self.count() >= count, 120, f"{count} bodies are read")
            worker, = self.proxies[name].workers()
            rss = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{worker}/status").read_text())[1]) // 1024
            rows = [list(map(int, row.split()[0:1] + row.split()[2:])) for row in self.reads.read_text().splitlines()]
            facts |= {f"{name}_messages": len(rows), f"{name}_php_peak_mib": round(max(row[1] for row in rows) / MIB, 1),
                      f"{name}_rss_peak_mib": rss}
            if {row[0] for row in rows} != {size} or len(rows) != count or {row[2] for row in rows} != {1}:
                faults.append(f"{name}: {len(rows)} of {count} bodies, sizes {sorted({row[0] for row in rows})[:3]}")
            if {row[3] for row in rows} != {worker}:
                faults.append(f"{name}: a worker ended")
            faults += [f"{name}: exit code"] if self.proxies[name].stop() != EXIT_CLEAN else []
        return Outcome(facts, faults)


class FullTmp(Room):
    """Runs of the proxy with an ordinary /tmp and with a full one of 1 MiB, in turns."""
    name = "full-tmp"
    runs = 3
    ratio_min = 0.5     # far below what a busy machine does to a rate; a worker that fails to spill is at 0

    def prepare(self):
        self.kafka = self.scene.kafka()
        self.n = self.scaled(300_000, 100_000)
        self.kafka.produce(self.kafka.create_topic(self.label, 1), self.n, "--size", SMALL)

    def round(self, number):
        if os.geteuid() != 0:
            return Outcome({"skipped": "1 skipped: only root may mount a /tmp of its own"}, [])
        rates = {"normal": [], "full": []}
        for run in range(self.runs):
            for kind, found in rates.items():
                found.append(self.rate(kind, f"{kind}-{run}"))
        medians = {kind: round(statistics.median(found)) for kind, found in rates.items()}
        ratio = medians["full"] / medians["normal"]
        return Outcome({"messages": self.n, "runs": self.runs, "normal_per_s": medians["normal"],
                        "full_per_s": medians["full"], "ratio": round(ratio, 2)},
                       [] if ratio > self.ratio_min else [f"a full /tmp costs: {rates}"])

    def rate(self, kind, name):
        wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-ec", self.mount(), "sh"] if kind == "full" else []
        proxy = self.proxies[name] = Proxy(self.directory, self.configuration(self.label, name, "body=1"), name, wrapper)
        proxy.start()
        if kind == "full":  # the wrapper has become the proxy
            room = os.statvfs(f"/proc/{proxy.process.pid}/root{tempfile.gettempdir()}")
            assert room.f_bavail == 0 and room.f_blocks * room.f_frsize == MIB, room
        wait_until(self.count, 120, "the first message is handled")
        first, begin = self.count(), time.monotonic()
        wait_until(lambda: self.count() >= self.n, 120, "all are handled")
        rate = (self.n - first) / (time.monotonic() - begin)
        assert proxy.stop() == EXIT_CLEAN
        return rate

    def mount(self):
        """A shell's words: a full tmpfs over the temporary directory, with what the run needs of it shining through."""
        tmp = pathlib.Path(tempfile.gettempdir())
        needed = [path for path in (ROOT, self.scene.directory) if path.is_relative_to(tmp)]
        shine = "".join(f"mkdir -p {path}; mount --bind /mnt/{path.relative_to(tmp)} {path}; " for path in needed)
        return (f"mount --bind {tmp} /mnt; mount -t tmpfs -o size=1m none {tmp}; {shine}"
                f"head -c 2M /dev/zero > {tmp}/full 2>/dev/null || true; exec \"$@\"")
