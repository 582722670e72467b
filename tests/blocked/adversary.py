# SPDX-License-Identifier: MIT
"""A peer whose answer comes about when the call that waits for it is broken: it watches the proxy begin."""
import multiprocessing
import os
import random
import select
import selectors
import socket
import time

LATER_S = 0.002         # how long an answer to `later` takes
EARLY_S = 0.005         # before the expected break, from when on it looks without a pause
PATIENCE_S = 0.1        # then it answers whatever it sees
HTTP = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"


class Adversary:
    """One process, so that nothing else of ours disturbs its timing.

    The proxy opens descriptors when it begins to break; their number is seen in the size of its folder of them (Linux
    6.2). `struck` counts the answers that came upon that."""

    def __init__(self, proxy_pid, break_s, spread_us, seed):
        self.descriptors = f"/proc/{proxy_pid}/fd"
        self.break_s, self.spread_s = break_s, spread_us / 1e6
        self.chance = random.Random(seed)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.struck = multiprocessing.Value("i", 0)
        self.asked_again = multiprocessing.Value("i", 0)
        self.seen = set()       # tries that were asked for
        self.process = None

    def set_proxy(self, pid):
        self.descriptors = f"/proc/{pid}/fd"

    def start(self):
        self.process = multiprocessing.Process(target=self.serve, daemon=True)
        self.process.start()
        return self

    def finish(self):
        if self.process:
            self.process.terminate()
            self.process.join()
        self.listener.close()

    # ---- in its process ----

    def serve(self):
        try:
            os.nice(-10)        # it has to be there when the proxy is
        except PermissionError:
            pass
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        later = []              # (when, whom)
        while True:
            wait = max(0, later[0][0] - time.monotonic()) if later else None
            for key, _ in self.selector.select(wait):
                if key.fileobj is self.listener:
                    client, _ = self.listener.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.selector.register(client, selectors.EVENT_READ)
                else:
                    self.hear(key.fileobj, later)
            while later and later[0][0] <= time.monotonic():
                self.answer(later.pop(0)[1], b"x")

    def hear(self, client, later):
        try:
            text = client.recv(4096)
        except OSError:
            text = b""
        if not text:
            self.selector.unregister(client)
            client.close()
            return
        words = text.split()
        if words[0] == b"later":
            later.append((time.monotonic() + LATER_S, client))
        elif words[0] == b"ping":
            self.answer(client, b"x")
        elif words[0] == b"try":
            self.strike(client, int(words[1]), int(words[2]), b"x")
        else:                   # GET /try/RECEIPT/DEADLINE
            _, _, receipt, deadline_us = words[1].split(b"/")
            self.strike(client, int(receipt), int(deadline_us), HTTP)

    def answer(self, client, text):
        try:
            client.sendall(text)
        except OSError:
            pass

    def n_descriptors(self):
        return os.stat(self.descriptors).st_size

    def strike(self, client, receipt, deadline_us, text):
        """Waits for the break to begin, then 0 to spread_us, then answers."""
        if receipt in self.seen:        # curl asks again
            self.asked_again.value += 1
            self.answer(client, text)
            return
        self.seen.add(receipt)
        self.struck.value += self.sees_break(client, deadline_us / 1e6 + self.break_s)
        until = time.monotonic() + self.chance.uniform(0, self.spread_s)
        while time.monotonic() < until:
            pass
        self.answer(client, text)

    def sees_break(self, client, expected):
        """Waits for it to begin. False: it is over already, or does not come."""
        before = self.n_descriptors()
        while self.n_descriptors() == before:
            now = time.monotonic()
            if now < expected - EARLY_S:
                time.sleep(0.0001)
            elif now > expected + PATIENCE_S or select.select([client], [], [], 0)[0]:
                return False
        return True
