# SPDX-License-Identifier: MIT
"""RabbitMQ 4.0 drops a message of a quorum queue at its 21st return; the proxy is restarted 25 times, SIGTERM and kill -9
in turn, while handlers finish one message a round."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import brokers
from process import Process, wait_until
from proxy import EXIT_CLEAN
from scene import Case, Outcome
from stream import RabbitStream

WARNING = "quorum queue of RabbitMQ 4|drops messages that were returned"


def debian_13():
    """Folder with Debian 13 and its RabbitMQ; debootstrap makes it on first use, which takes a minute and root."""
    root = brokers.cache_directory() / "debian-13"
    if not root.is_dir():
        root.parent.mkdir(parents=True, exist_ok=True)
        work = pathlib.Path(tempfile.mkdtemp(prefix=".debian-", dir=root.parent))
        subprocess.run(["debootstrap", "--variant=minbase", "--include=rabbitmq-server", "trixie", work],
                       check=True, capture_output=True)
        work.rename(root)
    return root


class RabbitMQ4(brokers.RabbitMQ):
    """Runs with Debian 13 as its root, in a mount namespace that ends with it."""

    def __init__(self, _directory):
        self.root = debian_13()
        self.home = tempfile.mkdtemp(prefix="qbus-", dir=self.root / "tmp")
        super().__init__(self.home)
        self.environment = {name: value.replace(str(self.root), "") for name, value in self.environment.items()}
        (self.root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")

    def start(self):
        if not self.epmd:
            self.epmd = Process(["epmd", "-address", "127.0.0.1", "-port", self.epmd_port], self.directory / "epmd.log")
        (self.directory / "pid").unlink(missing_ok=True)
        inside = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
        self.process = Process(["unshare", "--mount", "sh", "-c", inside, self.root, "/usr/lib/rabbitmq/bin/rabbitmq-server"],
                               self.directory / "rabbitmq.log",
                               {**self.environment, "PATH": "/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
        wait_until(self.answers, 90, f"RabbitMQ 4 answers\n{self.process.tail()}")
        return self

    def finish(self):
        super().finish()
        shutil.rmtree(self.home, ignore_errors=True)


class Rabbit4(Case):
    name = "rabbit4"
    n_rounds = 25
    ordered = False     # a killed consumer's messages return in an order of the broker's own
    messages = 200

    def prepare(self):
        if os.geteuid() or not shutil.which("debootstrap"):
            raise AssertionError("this case needs root and debootstrap")
        self.rabbit = self.scene.broker("rabbit4", RabbitMQ4)
        self.queue = self.rabbit.declare(self.label, "quorum")
        self.stream = RabbitStream(self.oracle, f"{self.scene.seed} {self.label}", self.rabbit, self.queue, max_us=0,
                                   slow=(1, 60_000))
        self.stream.send(self.messages)
        self.serve(self.amqp_configuration(self.rabbit, self.queue, pipelines={
            "orders": {"max_attempts": 0, "credit": 1, "source": {"prefetch": 100}}}, pools={"php": {"num_workers": 1}}))
        self.kills = 0

    def round(self, number):
        self.wait_done(1)
        if self.is_twin:
            return Outcome({"done": len(self.oracle.done)}, [])
        faults = []
        try:
            self.proxies["qbus"].wait_log(WARNING, 1)
        except AssertionError:
            faults.append("the start-up warning does not name the risk")
        how = "SIGTERM" if number % 2 else "kill -9"
        if how == "SIGTERM":
            code = self.proxies["qbus"].stop()
            faults += [f"exit code {code}"] if code != EXIT_CLEAN else []
        else:
            self.kill_proxy()
            self.kills += 1
        wait_until(lambda: self.rabbit.consumers(self.queue) == 0, 120, "the broker notices")
        done, left = len(self.oracle.read().done), self.rabbit.ready(self.queue)
        gone = self.messages - left - done
        faults += [f"{gone} messages are gone"] if gone > 0 else []
        if how == "SIGTERM" and gone < 0:
            faults.append(f"a clean stop left {-gone} handled messages unacked")
        highest = max(self.oracle.attempts.values())
        if highest > self.kills + 1:
            faults.append(f"a message came for the {highest}th time after {self.kills} kills: clean stops return messages")
        self.proxies["qbus"].start()
        return Outcome({"how": how, "done": done, "left": left, "highest_attempt": highest}, faults)

    def judge_end(self):
        wait_until(lambda: self.rabbit.consumers(self.queue) == 0, 120, "the consumer left")
        left = self.rabbit.ready(self.queue)
        return [f"{left} messages are left in the queue"] if left else []

    def finish(self):
        super().finish()
        self.stream.close()
