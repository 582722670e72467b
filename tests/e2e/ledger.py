# SPDX-License-Identifier: MIT
"""What the handlers themselves wrote: one line a handled message, `id partition offset attempt pid time_us`."""
import collections
import pathlib
import typing


class Entry(typing.NamedTuple):
    id: int
    partition: int  # -1: no partitions (AMQP)
    offset: int     # offset or delivery tag
    attempt: int
    pid: int        # of the worker
    time_us: int    # monotonic, when the handler was done


class Report(typing.NamedTuple):
    handled: int           # different ids
    lost: list             # ids that were never handled
    duplicates: dict       # id -> how often it was handled beyond the first time
    unexpected: list       # ids that were never sent
    workers: set           # process ids

    def __str__(self):
        return (f"handled={self.handled} lost={len(self.lost)} {self.lost[:5]} duplicates={sum(self.duplicates.values())} "
                f"{list(self.duplicates)[:5]} unexpected={self.unexpected[:5]} workers={len(self.workers)}")


class Ledger:
    """A file that handlers append to, each line with one write; only whole lines count."""

    def __init__(self, directory, name="ledger"):
        self.path = pathlib.Path(directory) / name
        self.path.touch()
        self.entries = []
        self.ids = set()
        self.offset = 0

    def read(self):
        """All entries up to now, in the order of writing."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            text = file.read()
        whole = text[:text.rfind(b"\n") + 1]
        self.offset += len(whole)
        added = [Entry(*map(int, line.split())) for line in whole.splitlines()]
        self.entries += added
        self.ids.update(entry.id for entry in added)
        return self.entries

    def count(self):
        return len(self.read())

    def unique(self):
        self.read()
        return len(self.ids)

    def report(self, expected):
        """Compares what was handled with the ids that were sent."""
        times = collections.Counter(entry.id for entry in self.read())
        wanted = set(expected)
        return Report(handled=len(times), lost=sorted(wanted - times.keys()),
                      duplicates={i: n - 1 for i, n in times.items() if n > 1},
                      unexpected=sorted(times.keys() - wanted), workers={entry.pid for entry in self.entries})
