# SPDX-License-Identifier: MIT
"""A worker written from runtime/wire/PROTOCOL.md alone: the standard library and msgpack."""
import socket
import struct
import time
import typing

import msgpack

HELLO, SETTLE, EXTEND, BYE, CREDIT, PUBLISH, LIMIT, UNLIMIT, LEAK, READ, SYNC = range(1, 12)
WELCOME, DELIVER, CANCEL, EXTENDED, LATE, DRAIN, ERROR, CHUNK, SYNCED = range(65, 74)
RETRY, REJECT, RELEASE, ACK = 1, 2, 3, 4


class Closed(Exception):
    """The proxy closed the connection."""


class Delivery(typing.NamedTuple):
    id: int
    pipeline: int
    attempt: int
    remaining_ms: int
    source: str
    partition: typing.Any  # AMQP: the routing key
    offset: int            # AMQP: the delivery tag
    timestamp: int
    key: bytes
    headers: list
    body: bytes


def frame(word, value, flags=0):
    payload = msgpack.packb(value)
    return struct.pack(">IBBH", len(payload), word, flags, 0) + payload


class Client:
    def __init__(self, path, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.deliveries = []  # came and were not taken yet

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- frames

    def send(self, word, value):
        self.socket.sendall(frame(word, value))

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.socket.recv(count - len(data))
            except ConnectionResetError:
                part = b""
            if not part:
                raise Closed
            data += part
        return data

    def read(self):
        """The next frame: (word, value). Deliveries are put aside as well."""
        length, word, _, _ = struct.unpack(">IBBH", self.read_exactly(8))
        value = msgpack.unpackb(self.read_exactly(length), raw=False, strict_map_key=False)
        if word == DELIVER:
            pipeline, first, attempt, remaining, rows = value[:5]
            self.deliveries += [Delivery(first + i, pipeline, attempt, remaining, *row[:7]) for i, row in enumerate(rows)]
        return word, value

    def expect(self, word):
        """Reads until a frame with this word comes; its value."""
        while True:
            found, value = self.read()
            if found == word:
                return value
            assert found in (DELIVER, LATE, CANCEL), f"word {found} instead of {word}: {value}"

    def silence(self, seconds):
        """Whether nothing comes for so long."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)

    # -- words

    def hello(self, pipelines=("orders",), credit=0, **changes):
        self.send(HELLO, {"protocol": 1, "client": "tests/1", "pipelines": pipelines, "credit": credit, **changes})
        return self

    def welcome(self, *arguments, **changes):
        return self.hello(*arguments, **changes).expect(WELCOME)

    def settle(self, acks=(), others=None, memory=0):
        self.send(SETTLE, [list(acks), others, memory])

    def ack(self, deliveries):
        """Acks as runs of consecutive ids."""
        runs = []
        for delivery in sorted(deliveries, key=lambda d: d.id):
            if runs and runs[-2] + runs[-1] == delivery.id:
                runs[-1] += 1
            else:
                runs += [delivery.id, 1]
        self.settle(runs)

    def take(self, count, timeout=60):
        """Reads until `count` deliveries are at hand; they are the caller's then."""
        deadline = time.monotonic() + timeout
        while len(self.deliveries) < count:
            assert time.monotonic() < deadline, f"{len(self.deliveries)} of {count} deliveries came"
            self.read()
        taken, self.deliveries = self.deliveries[:count], self.deliveries[count:]
        return taken
