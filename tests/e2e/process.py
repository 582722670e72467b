# SPDX-License-Identifier: MIT
"""Child processes that never outlive the tests: own session, parent-death signal, stopped by process id."""
import atexit
import glob
import os
import pathlib
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("QBUS_BUILD", "build")
PROXY = BUILD / "bin" / "qbus-proxy"
BENCH = BUILD / "bin" / "qbus-bench"
SANITIZED = "asan" in BUILD.name
SCALE = float(os.environ.get("QBUS_E2E_SCALE", "1"))


def scaled(count, least=2000):
    """The size of a run: QBUS_E2E_SCALE=0.1 makes a tenth of it."""
    return max(least, int(count * SCALE))


def wait_until(condition, timeout, what):
    """Polls until condition() is true and returns its value; fails with `what` after `timeout` seconds. A function as
    `what` tells it as it is by then."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(0.02)


def is_alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # the latter when it ends between open and read
        return False


def is_keeper(pid):
    """The proxy's helper that cleans up behind a killed proxy: no worker."""
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "qbus-keeper"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid):
    """Process ids of all children, their children and so on; workers and what they started."""
    found = []
    for file in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            children = pathlib.Path(file).read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # that thread has ended
        for child in children:
            found += [] if is_keeper(child) else [int(child), *descendants(child)]
    return found


class Process:
    """A child whose output goes to a file. `log` is that file's path."""

    def __init__(self, command, log, environment=None, stdin=subprocess.DEVNULL):
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as out:
            self.start_size = out.tell()
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *map(str, command)], stdin=stdin, stdout=out,
                stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}, start_new_session=True)
        self.pid = self.popen.pid
        atexit.register(self.finish)

    def text(self):
        """What this run has written so far."""
        with open(self.log, "rb") as log:
            log.seek(self.start_size)
            return log.read().decode(errors="replace")

    def tail(self, lines=15):
        return "\n".join(self.text().splitlines()[-lines:])

    def is_running(self):
        return self.popen.poll() is None

    def send(self, number):
        if self.is_running():
            self.popen.send_signal(number)

    def wait(self, timeout):
        """The exit code; negative: the signal that ended it."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"pid {self.pid} still runs after {timeout} s:\n{self.tail()}") from None

    def stop(self, number=signal.SIGTERM, timeout=90):
        self.send(number)
        return self.wait(timeout)

    def finish(self):
        """Ends it, whatever its state, and all that is left of its session."""
        atexit.unregister(self.finish)
        for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            if self.is_running():
                self.send(number)
                try:
                    self.popen.wait(patience)
                except subprocess.TimeoutExpired:
                    pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
