# SPDX-License-Identifier: MIT
"""Runs the proxy, the producer and the count for scripts/demo; leaves nothing behind."""
import argparse
import json
import os
import pathlib
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / os.environ.get("QBUS_BUILD", "build") / "bin"
RECORD_BYTES = 192
MAX_UNHANDLED = 16_000_000 // RECORD_BYTES  # the embedded cluster keeps 5 MiB a partition, no more
STALL_SECONDS = 60
EXIT_INTERRUPTED = 130  # what a shell makes of SIGINT


class Ledger:
    """Counts what the handlers report: lines of `id attempt pid`."""

    def __init__(self, messages):
        self.times = bytearray(messages + 1)
        self.handled = self.duplicates = self.retries = 0
        self.workers = set()
        self.first = self.last = None
        self.rest = b""

    def feed(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            number, attempt, pid = map(int, line.split())
            self.duplicates += self.times[number] > 0
            self.handled += self.times[number] == 0
            self.times[number] = min(self.times[number] + 1, 255)
            self.retries += attempt > 1
            self.workers.add(pid)
        if lines:
            self.last = time.monotonic()
            self.first = self.first or self.last

    def seconds(self):
        return self.last - self.first if self.handled else 0.0


class Demo:
    def __init__(self, options):
        self.options = options
        self.ledger = Ledger(options.messages)
        self.confirmed = self.allowed = self.dead_letters = self.interrupts = 0
        self.proxy = self.producer = None
        self.log = []
        self.selector = selectors.DefaultSelector()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="qbus-demo-"))

    # -- what runs

    def spawn(self, command, **options):
        """A child in a session of its own (Ctrl-C is for us alone), told to end should we vanish."""
        return subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *map(str, command)], start_new_session=True, **options)

    def start_proxy(self):
        os.mkfifo(self.directory / "handled", 0o600)
        fifo = os.open(self.directory / "handled", os.O_RDWR | os.O_NONBLOCK)
        self.watch(fifo, self.ledger.feed)
        environment = {**os.environ, "QBUS_DEMO_DIR": str(self.directory), "QBUS_DEMO_WORKERS": str(self.options.workers),
                       "QBUS_DEMO_HANDLER": str(ROOT / "conf" / "demo" / "worker.php")}
        self.proxy = self.spawn([BIN / "qbus-proxy", "serve", "-c", ROOT / "conf" / "demo" / "qbus.yaml"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
        self.watch(self.proxy.stderr.fileno(), self.lines(self.on_log))

    def start_producer(self, bootstrap):
        self.producer = self.spawn([BIN / "qbus-bench", "produce", "--bootstrap", bootstrap, "--topic", "orders", "--messages",
                                    self.options.messages, "--size", RECORD_BYTES, "--paced"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.watch(self.producer.stdout.fileno(), self.lines(self.on_progress))

    # -- what comes in

    def watch(self, fd, feed):
        os.set_blocking(fd, False)
        self.selector.register(fd, selectors.EVENT_READ, feed)

    @staticmethod
    def lines(take):
        rest = b""

        def feed(data):
            nonlocal rest
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                take(line.decode(errors="replace"))
        return feed

    def on_log(self, line):
        self.log = [*self.log[-19:], line]
        listens = re.search(r"embedded cluster listens bootstrap_servers=([\w.:,]+)", line)
        if listens and not self.producer:
            self.start_producer(listens[1])
        self.dead_letters += "message is rejected," in line or "message is dead-lettered" in line

    def on_progress(self, line):
        self.confirmed = int(re.search(r"confirmed=(\d+)", line)[1])

    def serve(self, seconds):
        """Takes what comes in for so long, and lets the producer go on as far as the handlers have come."""
        deadline = time.monotonic() + seconds
        while not self.is_done() and self.interrupts < 2:
            for key, _ in self.selector.select(max(0, deadline - time.monotonic())):
                data = os.read(key.fd, 1 << 16)
                if not data:
                    self.selector.unregister(key.fd)
                key.data(data)
            self.pace()
            if time.monotonic() >= deadline:
                return

    def pace(self):
        allowed = min(self.options.messages, self.ledger.handled + MAX_UNHANDLED)
        if not self.producer or self.producer.stdin.closed:
            return
        if self.interrupts:
            self.producer.stdin.close()
        elif allowed > self.allowed:
            self.allowed = allowed
            try:
                self.producer.stdin.write(b"%d\n" % allowed)
                self.producer.stdin.flush()
            except BrokenPipeError:
                self.producer.stdin.close()

    # -- the course of it

    def is_done(self):
        """All is handled; after Ctrl-C: all that was sent until then."""
        if not self.producer:
            return self.interrupts > 0
        sent_all = self.producer.poll() is not None
        return self.ledger.handled >= (self.confirmed if self.interrupts and sent_all else self.options.messages)

    def on_interrupt(self, *_):
        """Only counts: it may come in the middle of anything."""
        self.interrupts += 1

    def run(self):
        begin = time.monotonic()
        progress = begin
        before = 0
        while not self.is_done() and self.interrupts < 2:
            self.serve(1)
            handled = self.ledger.handled
            show_line(self, time.monotonic() - begin, handled - before)
            if handled > before:
                progress = time.monotonic()
            before = handled
            if self.proxy.poll() is not None:
                raise RuntimeError("qbus-proxy ended by itself")
            if time.monotonic() - progress > STALL_SECONDS:
                raise RuntimeError(f"no message was handled for {STALL_SECONDS} s")

    def stop(self):
        """Ends both children, takes in what they still say. True: both ended well."""
        if self.producer and not self.producer.stdin.closed:
            self.producer.stdin.close()
        codes = []
        for child in filter(None, (self.producer, self.proxy)):
            if child is self.proxy and child.poll() is None:
                child.terminate()
            deadline = time.monotonic() + 45
            while child.poll() is None:
                self.take()
                if time.monotonic() > deadline:
                    child.kill()
            codes.append(child.returncode)
        self.take()
        return codes == [0, 0] or (self.interrupts > 0 and codes[-1:] == [0])

    def take(self):
        for key, _ in self.selector.select(0.05):
            data = os.read(key.fd, 1 << 16)
            if not data:
                self.selector.unregister(key.fd)
            key.data(data)

    def clear(self):
        for child in filter(None, (self.producer, self.proxy)):
            if child.poll() is None:
                child.kill()
                child.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def summary(self):
        """Whoever asks twice does not want to wait: what is left then is not lost, nobody has come to it."""
        seconds = self.ledger.seconds()
        missing = max(0, self.confirmed - self.ledger.handled)
        is_cut_short = self.interrupts > 1
        return {"handled": self.ledger.handled, "lost": 0 if is_cut_short else missing,
                "not_handled": missing if is_cut_short else 0,
                "duplicates": self.ledger.duplicates, "retries": self.ledger.retries, "dead_letters": self.dead_letters,
                "workers": len(self.ledger.workers), "seconds": round(seconds, 3),
                "rate": round(self.ledger.handled / seconds) if seconds else 0}


# -- how it looks

def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() else text


def counted(number, word):
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word[:-1] + 'ies' if word.endswith('y') else word + 's'}"


def show_line(demo, elapsed, rate):
    handled, wanted = demo.ledger.handled, demo.options.messages
    facts = f"{elapsed:4.0f} s   joining the consumer group" if not handled else (
             f"{elapsed:4.0f} s   handled {handled:>10,}   {rate:>8,}/s   in flight {max(0, demo.confirmed - handled):>7,}   "
             f"retries {demo.ledger.retries:>5,}   dead letters {demo.dead_letters}")
    if sys.stdout.isatty():
        full = 24 * handled // wanted
        print(f"\r\033[K{paint(32, '━' * full)}{paint(90, '━' * (24 - full))} {facts}", end="", flush=True)
    else:
        print(facts, flush=True)


def show_summary(result):
    if sys.stdout.isatty():
        print()
    outcome = f"{result['handled']:,} handled, {result['lost']:,} lost"
    if result["not_handled"]:
        outcome = f"{result['handled']:,} handled, cut short: {result['not_handled']:,} not handled"
    colour = "1;31" if result["lost"] else "1;33" if result["not_handled"] else "1;32"
    print(paint(colour, "\n" + outcome) + f"   by {counted(result['workers'], 'PHP worker')} in {result['seconds']:.1f} s "
          f"from the first message to the last, {result['rate']:,} a second")
    print(", ".join(counted(result[key], word) for key, word in
                    (("duplicates", "duplicate"), ("retries", "retry"), ("dead_letters", "dead letter"))))


def within(most):
    """The type of an option that is a number from 1 to most."""
    def read(text):
        if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"it is a number from 1 to {most:,}")
        return int(text)
    return read


def exit_code(demo, result, ended_well):
    if result["not_handled"]:
        return EXIT_INTERRUPTED
    complete = demo.interrupts > 0 or result["handled"] == demo.options.messages
    return 0 if ended_well and complete and result["lost"] == 0 else 1


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo", add_help=False)
    parser.add_argument("--messages", type=within(10_000_000), default=100_000)
    parser.add_argument("--workers", type=within(64), default=2)
    parser.add_argument("--json", action="store_true")
    demo = Demo(parser.parse_args())
    signal.signal(signal.SIGINT, demo.on_interrupt)
    signal.signal(signal.SIGTERM, demo.on_interrupt)
    try:
        demo.start_proxy()
        print(f"{counted(demo.options.messages, 'order')} from an embedded Kafka, "
              f"{counted(demo.options.workers, 'PHP worker')}; Ctrl-C drains\n", flush=True)
        demo.run()
        ended_well = demo.stop()
    except RuntimeError as error:
        print(f"\ndemo: {error}; the end of its log:", *demo.log, sep="\n", file=sys.stderr)
        if not demo.ledger.handled:
            return 1
        ended_well = False
    finally:
        demo.clear()
    result = demo.summary()
    show_summary(result)
    if demo.options.json:
        print(json.dumps(result), flush=True)
    return exit_code(demo, result, ended_well)


if __name__ == "__main__":
    sys.exit(main())
