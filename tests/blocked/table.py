# SPDX-License-Identifier: MIT
"""Each call hangs once in one worker after the other's place: what became of it, and when."""
import json
import time
import typing

from calls import BROKEN, CALLS, ENDED, TOLD
from process import is_alive, wait_until
from scene import HERE, counters, settings

TIMEOUT_MS, BREAK_MS, GRACE_MS, DESTROY_MS = 500, 100, 1000, 500
SLACK_MS = 15_000   # of a busy machine
GOAL_MS = 250       # from the deadline to the exit of a handler whose call was broken
COLUMNS = ("call", "outcome", "exception", "ms", "worker lived", "what the handler saw")


class Row(typing.NamedTuple):
    call: str
    outcome: str
    threw: str
    ms: float       # from the deadline to the handler's exit, or to its worker's end
    lived: bool     # the same process went on to the next message
    saw: str
    faults: list

    def cells(self):
        return (self.call, self.outcome, self.threw or "-", f"{self.ms:.0f}", "yes" if self.lived else "no", self.saw)


class Ledger:
    """What the handlers wrote, and when the processes that wrote it died."""

    def __init__(self, path):
        self.path = path
        self.path.touch()
        self.lines = []
        self.died_us = {}

    def read(self):
        text = self.path.read_text()
        self.lines = [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]
        for pid in {line["pid"] for line in self.lines} - self.died_us.keys():
            if not is_alive(pid):
                self.died_us[pid] = time.monotonic_ns() // 1000
        return self.lines

    def of(self, call, kind):
        return next((line for line in self.lines if line["call"] == call and line["kind"] == kind), None)

    def went_on(self, pid, since_us):
        return any(line["pid"] == pid and line["us"] > since_us and line["kind"] in "AB" for line in self.lines)


def outcome_of(count, call):
    """The last stage that it took, as the proxy counts it."""
    for stage in (ENDED, BROKEN, TOLD):
        if count.get(("qbus_deadline_total", call, stage)):
            return stage
    return "returned"


def judge(call, row, again, profile):
    """Sentences about what is wrong with it."""
    expected = call.outcome_under(profile)
    limit = BREAK_MS + SLACK_MS + (GRACE_MS + DESTROY_MS if expected == ENDED else 0)
    faults = []
    if row.outcome != expected:
        faults.append(f"{row.outcome}, not {expected}")
    if row.ms > limit:
        faults.append(f"{row.ms:.0f} ms after the deadline, at most {limit}")
    if expected != ENDED and not row.lived:
        faults.append("its worker did not live")
    if expected == ENDED and row.lived:
        faults.append("its worker lived")
    if expected != ENDED and call.threw not in row.threw:
        faults.append(f"threw {row.threw or 'nothing'}, not {call.threw}")
    acked = row.outcome == TOLD and not row.threw
    if acked == again:
        faults.append("delivered again although it was only told" if again else "acked although it was not whole")
    return faults


def judged(call, ledger, count, profile):
    begin, end = ledger.of(call.name, "B"), ledger.of(call.name, "E")
    exit_us = end["us"] if end else ledger.died_us.get(begin["pid"], time.monotonic_ns() // 1000)
    end = end or {"threw": "", "saw": "its process ended"}
    row = Row(call.name, outcome_of(count, call.name), end["threw"] or "", (exit_us - begin["deadline_us"]) / 1000,
              ledger.went_on(begin["pid"], exit_us), " ".join(end["saw"].split()), [])
    row.faults.extend(judge(call, row, ledger.of(call.name, "A") is not None, profile))
    return row


def possible(scene, calls):
    """(those whose peers are here, [(call, why not)])"""
    skipped = []
    for call in calls:
        for name in call.needs:
            if scene.peer(name) is None:
                skipped.append((call.name, scene.missing[name]))
    names = {name for name, _ in skipped}
    return [call for call in calls if call.name not in names], skipped


def pipeline(call, profile):
    """What is not to be ended has time enough for that also where the machine stands still; so has what is only told."""
    expected = call.outcome_under(profile)
    return {"source": {"messages": 1}, "backoff": {"initial": "50ms", "max": "100ms"},
            "handler_timeout": f"{TIMEOUT_MS}ms",
            "handler_break": f"{SLACK_MS}ms" if expected == TOLD else call.handler_break,
            "handler_grace": f"{GRACE_MS if expected == ENDED else 2 * SLACK_MS}ms"}


def configuration(scene, calls, ledger):
    handler = [HERE / "handler.php", ledger.path, json.dumps(scene.addresses()), *(call.name for call in calls)]
    after = {"source": {"rate": 20}}    # so that a worker that lives has a next message
    each = {call.name: pipeline(call, scene.profile) for call in calls}
    return settings(scene.directory, {"after": after, **each}, [*handler, "after"], 1, "table")


def play(scene, wanted):
    """Rows of the table, [(call, why it was left out)], and what the proxy said of its stages."""
    calls, skipped = possible(scene, [call for call in CALLS if call.name in wanted])
    ledger = Ledger(scene.directory / "table.ledger")
    proxy = scene.serve(configuration(scene, calls, ledger), "table")
    seconds = 10 + len(calls) * (TIMEOUT_MS + BREAK_MS + GRACE_MS + DESTROY_MS + SLACK_MS) / 500

    def all_is_acked():
        ledger.read()
        assert proxy.process.is_running(), proxy.process.tail()
        count = counters(proxy)
        return all(count.get(("qbus_messages_acked_total", call.name)) for call in calls) and count

    count = wait_until(all_is_acked, seconds, "every call has ended and every message is acked")
    last_us = time.monotonic_ns() // 1000
    wait_until(lambda: any(line["us"] > last_us for line in ledger.read()), 60, "one more message is handled")
    proxy.stop()    # its handlers would let the peers of others go on
    rows = [judged(call, ledger, count, scene.profile) for call in calls]
    return rows, skipped, proxy.wait_log(r"php: (calls that hang .*)")[1]
