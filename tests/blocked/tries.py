# SPDX-License-Identifier: MIT
"""Answers that come in the very moment of a break: nothing but the call that was meant is hit, and no ack is wrong."""
import json

from adversary import Adversary
from process import wait_until
from scene import HERE, counters, settings

TIMEOUT_MS, BREAK_MS = 25, 5
SPREAD_US = 75          # an answer comes so long after the break began, at most
COLUMNS = ("what became of a try", "tries", "share")
# Left of the time of a message, below which its calls may be broken for its own sake: the worker counts from when it
# has read the frame, which on a busy machine is later. A break that comes late hits within the first milliseconds.
OWN_US = TIMEOUT_MS * 500
BUSY = 0.7              # share of a processor from which a wait in curl counts as a loop
LOOP_S = 0.005          # a wait that is shorter is none: the answer came at once


def configuration(scene, adversary, ledger, n):
    common = {"handler_break": f"{BREAK_MS}ms", "handler_grace": "60s", "backoff": {"initial": "10ms", "max": "10ms"}}
    handler = [HERE / "tries.php", ledger, adversary.port]
    base = settings(scene.directory, {
        "try": {**common, "source": {"messages": n}, "handler_timeout": f"{TIMEOUT_MS}ms"},
        "calm": {**common, "source": {"rate": 100}, "handler_timeout": "60s", "pool": "calm"}}, [*handler, "try"], 1,
        "tries")
    php = base["pools"]["php"]
    base["pools"]["calm"] = {**php, "command": [*php["command"][:-1], "calm"]}
    base["log"]["level"] = "info"
    return base


class Seen:
    """What the handlers saw, in the order of writing."""

    def __init__(self, lines):
        self.tries = {}             # receipt -> its first attempt
        self.delivered_again = set()
        self.shut = set()           # tries behind which their connection was dead
        self.n_slow = 0
        self.faults = []
        self.last = self.user = None    # the last try, and the one that used the kept connection last
        for line in lines:
            if "calm" in line:
                self.faults.append("a connection of another process was broken")
            else:
                self.read(line)
        self.judge()

    def read(self, line):
        # On a busy machine these calls come to an end of their own.
        self.n_slow += any(line[call] == "" and line[f"{call}_us"] <= OWN_US for call in ("after", "whole"))
        if line["after"] == "" and line["after_us"] > OWN_US:
            self.faults.append(f"the call behind try {self.last} was broken, {line['after_us']} us of its time left")
        if line["whole"] == "":
            if line["whole_us"] > OWN_US and self.user is not None:
                self.shut.add(self.user)
            self.user = None
        if line["attempt"] > 1:
            self.delivered_again.add(line["receipt"])
            return
        self.last = line["receipt"]
        self.tries[self.last] = line
        if line["by"] == "stream":
            self.user = self.last

    def of(self, by, answered):
        return {receipt for receipt, line in self.tries.items() if line["by"] == by and (line["got"] != "") == answered}

    def judge(self):
        empty = self.of("stream", False) | self.of("curl", False)
        self.faults += [f"try {receipt} was acked, though it had got nothing"
                        for receipt in sorted(empty - self.delivered_again)]
        self.faults += [f"try {receipt} was acked, though its connection was shut"
                        for receipt in sorted(self.shut - self.delivered_again)]
        self.faults += [f"curl used {line['cpu']:.2f} of a processor in try {receipt}"
                        for receipt, line in self.tries.items() if line["by"] == "curl" and line["cpu"] > BUSY and line["took"] > LOOP_S]
        if len({line["pid"] for line in self.tries.values()}) != 1:
            self.faults.append("the worker did not live")

    def rows(self):
        answered = self.of("stream", True)
        found = {"no answer": self.of("stream", False), "answered, connection whole": answered - self.shut,
                 "answered, but the connection was shut": answered & self.shut,
                 "curl, no answer": self.of("curl", False), "curl, answered": self.of("curl", True)}
        return [(what, str(len(tries)), f"{len(tries) / len(self.tries):.4f}") for what, tries in found.items()]


def play(scene, n):
    """Rows, facts, faults."""
    ledger = scene.directory / "tries.ledger"
    ledger.touch()
    adversary = Adversary(0, BREAK_MS / 1000, SPREAD_US, n)
    try:
        proxy = scene.serve(configuration(scene, adversary, ledger, n), "tries")
        adversary.set_proxy(proxy.process.pid)
        adversary.start()

        def all_is_tried():     # the counters are not asked before: that would open descriptors
            assert proxy.process.is_running(), proxy.process.tail()
            return ledger.read_bytes().count(b'"by"') >= n

        def all_is_acked():
            count = counters(proxy)
            return count.get(("qbus_messages_acked_total", "try")) == n and count

        wait_until(all_is_tried, 30 + n * 0.2, f"{n} tries")
        count = wait_until(all_is_acked, 60, f"{n} tries are acked")
        seen = Seen([json.loads(line) for line in ledger.read_text().splitlines()])
        told = {"answers upon a break": adversary.struck.value, "asked again by curl": adversary.asked_again.value,
                "counted as broken": int(count.get(("qbus_deadline_total", "try", "broken"), 0)),
                "delivered again": len(seen.delivered_again), "too slow to be told apart": seen.n_slow, "acked": n}
        if len(seen.tries) != n:
            seen.faults.append(f"{len(seen.tries)} tries of {n}")
        if adversary.struck.value < n / 20:     # on a busy machine it often looks too late
            seen.faults.append("few answers came upon a break")
        proxy.stop()
        return seen.rows(), told, seen.faults
    finally:
        adversary.finish()
