# SPDX-License-Identifier: MIT
"""Answers that come in the very moment of a break: nothing but the call that was meant is hit, and no ack is wrong."""
import json

from adversary import Adversary
from process import wait_until
from scene import HERE, counters, settings

TIMEOUT_MS, BREAK_MS = 25, 5
SPREAD_US = 75          # an answer comes so long after the break began, at most
COLUMNS = ("what became of a try", "tries", "share")
BUSY = 0.7              # share of a processor from which a wait in curl counts as a loop


def configuration(scene, adversary, ledger, n):
    common = {"handler_break": f"{BREAK_MS}ms", "handler_grace": "5s", "backoff": {"initial": "10ms", "max": "10ms"}}
    handler = [HERE / "tries.php", ledger, adversary.port]
    base = settings(scene.directory, {
        "try": {**common, "source": {"messages": n}, "handler_timeout": f"{TIMEOUT_MS}ms"},
        "calm": {**common, "source": {"rate": 100}, "handler_timeout": "10s", "pool": "calm"}}, [*handler, "try"], 1,
        "tries")
    php = base["pools"]["php"]
    base["pools"]["calm"] = {**php, "command": [*php["command"][:-1], "calm"]}
    base["log"]["level"] = "info"
    return base


def sort_out(lines):
    """Facts and faults of what the handlers saw, in the order of writing."""
    tries, last, redelivered, dead = {}, None, set(), set()
    faults, n_slow = [], 0
    for line in lines:
        if "calm" in line:
            faults.append("a connection of another process was broken")
            continue
        if line["after"] == "" and line["left_us"] > -BREAK_MS * 500:
            faults.append(f"the call behind try {last} was broken, {line['left_us']} us before its deadline")
        n_slow += line["after"] == ""   # on a busy machine it comes to its own end
        if line["whole"] == "" and last is not None:
            dead.add(last)
        if line["attempt"] > 1:
            redelivered.add(line["receipt"])
        else:
            tries[line["receipt"]] = line
            last = line["receipt"]
    streams = {receipt for receipt, line in tries.items() if line["by"] == "stream"}
    empty = {receipt for receipt, line in tries.items() if line["got"] == ""}
    faults += [f"try {receipt} was acked, though it had got nothing" for receipt in sorted(empty - redelivered)]
    faults += [f"try {receipt} was acked, though its connection was shut" for receipt in sorted(dead - redelivered)]
    faults += [f"curl used {line['cpu']:.2f} of a processor in try {receipt}" for receipt, line in tries.items()
               if line["by"] == "curl" and line["cpu"] > BUSY]
    if len({line["pid"] for line in tries.values()}) != 1:
        faults.append("the worker did not live")
    facts = {"broken, no answer": len(empty & streams), "answered, connection whole": len(streams - empty - dead),
             "answered, but the connection was shut": len((streams & dead) - empty),
             "not begun in time": n_slow, "curl, no answer": len(empty - streams), "curl, answered": len(tries.keys() - empty - streams)}
    return facts, faults, len(tries), len(redelivered)


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
        count = wait_until(all_is_acked, 10, f"{n} tries are acked")
        found, faults, n_tries, n_redelivered = sort_out([json.loads(line) for line in ledger.read_text().splitlines()])
        told = {"answers upon a break": adversary.struck.value, "asked again by curl": adversary.asked_again.value,
                "counted as broken": int(count.get(("qbus_deadline_total", "try", "broken"), 0)),
                "delivered again": n_redelivered, "acked": n}
        if n_tries != n:
            faults.append(f"{n_tries} tries of {n}")
        if adversary.struck.value < n / 5:
            faults.append("few answers came upon a break")
        proxy.stop()
        rows = [(what, str(k), f"{k / n_tries:.4f}") for what, k in found.items()]
        return rows, told, faults
    finally:
        adversary.finish()
