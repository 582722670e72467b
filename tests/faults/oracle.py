# SPDX-License-Identifier: MIT
"""Judges a run by three ledgers that the proxy has no part in: what producers had confirmed, what handlers wrote, what
became a dead letter."""
import collections
import pathlib
import typing

BEGIN, END, THREW, REJECTED, DIES = "B", "E", "F", "R", "D"


class Line(typing.NamedTuple):
    """One word of a handler."""
    kind: str
    id: int
    key: str
    partition: int  # -1: no partitions
    receipt: int    # offset or delivery tag
    attempt: int
    pid: int        # of the worker
    time_us: int    # monotonic


class Report(typing.NamedTuple):
    """Counts of ids, each id that was sent under one of ok, lost, recovered."""
    sent: int
    ok: int             # confirmed, and handled or a dead letter
    lost: list          # confirmed, and neither
    recovered: int      # never confirmed, and yet handled
    duplicated: int     # completions beyond the first
    unexpected: list    # handled or dead letters, and never sent
    dead: int           # dead letters, every copy counted

    def faults(self):
        return [f"{len(ids)} {name}, as {ids[:5]}" for name, ids in
                (("lost", self.lost), ("unexpected", self.unexpected)) if ids]


class Oracle:
    """Reads the handlers' ledger: a file to which each line is appended with one write, so that the order of the lines
    is the order of what happened. Only whole lines count."""

    def __init__(self, path, ordered=True):
        self.path = pathlib.Path(path)
        self.path.touch()
        self.offset = 0
        self.ordered = ordered  # whether messages of one key must be serial
        self.sent = {}          # id -> key
        self.confirmed = set()  # ids that the broker promised to keep
        self.dead = {}          # id -> headers of its first dead letter
        self.n_dead = 0
        self.done = {}          # id -> the newest Line of its completion
        self.pids = {}          # id -> of the workers that completed it
        self.attempts = {}      # id -> the highest attempt seen
        self.settled_us = {}    # (partition, receipt) -> first completion
        self.repeats = []       # lines of completions that were not the first
        self.order_faults = []
        self.counts = collections.Counter()     # lines of each kind
        self.last = {}          # (id, kind) -> newest Line
        self.running = {}       # pid -> Line of a handler that began and has not said how it ended
        self.deaths = {}        # pid -> when it was killed, monotonic us
        self.holders = {}       # key -> Line of the handler that has it
        self.newest = {}        # key -> highest id completed

    def killed(self, pids, time_us):
        """Call it before the next read: from then on these workers hold no key."""
        self.deaths.update((pid, time_us) for pid in pids)

    def bury(self, number, headers):
        self.dead.setdefault(number, headers)
        self.n_dead += 1

    def read(self):
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            text = file.read()
        text = text[:text.rfind(b"\n") + 1]
        self.offset += len(text)
        for row in text.decode().splitlines():
            kind, number, key, *rest = row.split()
            self.take(Line(kind, int(number), key, *map(int, rest)))
        return self

    def take(self, line):
        self.counts[line.kind] += 1
        self.last[line.id, line.kind] = line
        self.attempts[line.id] = max(line.attempt, self.attempts.get(line.id, 0))
        if line.kind == BEGIN:
            self.running[line.pid] = line
            self.take_key(line)
            return
        self.running.pop(line.pid, None)
        if self.holders.get(line.key, line).pid == line.pid:
            self.holders.pop(line.key, None)
        if line.kind == END:
            self.complete(line)

    def take_key(self, line):
        holder = self.holders.get(line.key)
        if self.ordered and holder and line.time_us < self.deaths.get(holder.pid, line.time_us + 1):
            self.order_faults.append(f"key {line.key}: {line.id} began in {line.pid} while {holder.id} ran in {holder.pid}")
        self.holders[line.key] = line

    def complete(self, line):
        if line.id in self.done:
            self.repeats.append(line)
        else:
            if self.ordered and line.id < self.newest.get(line.key, 0):
                self.order_faults.append(f"key {line.key}: {line.id} was completed after {self.newest[line.key]}")
            self.newest[line.key] = max(line.id, self.newest.get(line.key, 0))
        self.done[line.id] = line
        self.pids.setdefault(line.id, set()).add(line.pid)
        self.settled_us.setdefault((line.partition, line.receipt), line.time_us)

    def struck(self, pids):
        """Handlers that ran in these workers when they were killed. They run no more."""
        self.read()
        return [self.running.pop(pid) for pid in pids if pid in self.running]

    @property
    def begun(self):
        return self.counts[BEGIN]

    def settled(self):
        return self.read().done.keys() | self.dead.keys()

    def backlog(self):
        return len(self.confirmed - self.settled())

    def report(self):
        settled = self.settled()
        return Report(sent=len(self.sent), ok=len(self.confirmed & settled), lost=sorted(self.confirmed - settled),
                      recovered=len((self.sent.keys() - self.confirmed) & settled), duplicated=len(self.repeats),
                      unexpected=sorted(settled - self.sent.keys()), dead=self.n_dead)
