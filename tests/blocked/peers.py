# SPDX-License-Identifier: MIT
"""Whom the handlers call: real servers on free loopback ports with private data, and small ones that never answer."""
import collections
import glob
import http.server
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import threading

import brokers
from process import Process, descendants, wait_until

POSTGRES_USER = "postgres"


class Server:
    """A process that listens on one port. A subclass gives name and command()."""
    name = None

    def __init__(self, directory):
        self.directory = pathlib.Path(directory) / self.name
        self.directory.mkdir()
        self.port, = brokers.free_ports(1)
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        self.process = Process(self.command(), self.directory.with_suffix(".log"))
        wait_until(self.answers, 120, lambda: f"{self.name} listens\n{self.process.tail()}")
        return self

    def answers(self):
        assert self.process.is_running(), f"{self.name} ended\n{self.process.tail()}"
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def pid(self):
        return self.process.pid

    def send(self, number):
        """Sends a signal to all of its processes."""
        for pid in [self.pid, *descendants(self.pid)]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def finish(self):
        if self.process:
            self.send(signal.SIGCONT)
            self.process.finish()


class MariaDB(Server):
    name = "mysql"

    def command(self):
        user = pwd.getpwuid(os.getuid()).pw_name
        return ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={self.directory}", f"--port={self.port}",
                f"--socket={self.directory}/socket", "--bind-address=127.0.0.1", f"--user={user}",
                "--skip-grant-tables", "--skip-name-resolve", "--innodb-buffer-pool-size=16M"]


class PostgreSQL(Server):
    """Never runs as root: as root it is the package's own user who owns it."""
    name = "pgsql"

    def start(self):
        self.binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        if os.getuid() == 0:
            shutil.chown(self.directory, POSTGRES_USER, POSTGRES_USER)
        subprocess.run([*self.other_user(), f"{self.binaries}/initdb", "-D", self.directory, "-A", "trust", "-N",
                        "-U", "qbus"], check=True, capture_output=True, cwd="/")
        return super().start()

    def answers(self):
        """It listens before it lets anybody in."""
        ask = [f"{self.binaries}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return super().answers() and subprocess.run(ask, check=False).returncode == 0

    @staticmethod
    def other_user():
        if os.getuid() != 0:
            return []
        return ["setpriv", f"--reuid={POSTGRES_USER}", f"--regid={POSTGRES_USER}", "--clear-groups"]

    def command(self):
        return [*self.other_user(), f"{self.binaries}/postgres", "-D", self.directory, "-p", self.port,
                "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]


class Redis(Server):
    name = "redis"

    def command(self):
        return ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--save", "", "--appendonly", "no",
                "--dir", self.directory]


class Memcached(Server):
    name = "memcached"

    def command(self):
        user = pwd.getpwuid(os.getuid()).pw_name
        return ["memcached", "-l", "127.0.0.1", "-p", self.port, "-U", "0", "-u", user, "-t", "1"]


class RabbitMQ(brokers.RabbitMQ):
    """The tests' own broker; silent when its Erlang machine is."""
    name = "amqp"

    def __init__(self, directory):
        home = pathlib.Path(directory) / self.name
        home.mkdir()
        super().__init__(home)

    @property
    def pid(self):
        return self.beam()

    def finish(self):
        if self.process:
            os.kill(self.beam(), signal.SIGCONT)
        super().finish()


SERVERS = {kind.name: kind for kind in (MariaDB, PostgreSQL, Redis, Memcached, RabbitMQ)}


class Request(http.server.BaseHTTPRequestHandler):
    """/hello is answered, /half by half of what it announces, everything else never; nor is he who says nothing."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests[self.path] += 1
        if self.path in ("/hello", "/half"):
            self.send_response(200)
            self.send_header("Content-Length", "5" if self.path == "/hello" else "10")
            self.end_headers()
            self.wfile.write(b"hello")
            self.wfile.flush()
        if self.path != "/hello":
            self.connection.recv(1)  # until it is closed
            self.close_connection = True

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Silent(http.server.ThreadingHTTPServer):
    """A peer that takes connections; counts the requests to each path."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Request)
        self.port = self.server_address[1]
        self.requests = collections.Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # that a connection breaks is what all this is about

    def finish(self):
        self.shutdown()
        self.server_close()


class SilentResolver:
    """A name server that never answers, and the command around a program that makes it the only one of that program."""

    def __init__(self, directory):
        self.address = f"127.{random.randrange(1, 250)}.{random.randrange(250)}.{random.randrange(2, 250)}"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.address, 53))
        self.socket.setblocking(False)
        self.file = pathlib.Path(directory) / "resolv.conf"
        self.file.write_text(f"nameserver {self.address}\n")

    def wrapper(self):
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(self.file)]

    def count(self):
        """How many questions came."""
        n = 0
        try:
            while self.socket.recv(512):
                n += 1
        except BlockingIOError:
            return n

    def finish(self):
        self.socket.close()


def resolver_or_reason(directory):
    """(SilentResolver, None), or (None, why there cannot be one here)."""
    try:
        resolver = SilentResolver(directory)
    except PermissionError:
        return None, "port 53 needs root"
    done = subprocess.run([*resolver.wrapper(), "true"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return resolver, None
    resolver.finish()
    return None, f"no mount namespace: {done.stderr.strip()}"
