# SPDX-License-Identifier: MIT
"""A worker that goes otherwise than it should:  worker_leaving.py HOW LEDGER  (HOW is a function below; the client's
folder is in PYTHONPATH). Only the first to come to that does it; the others handle what there is."""
import os
import pathlib
import signal
import sys
import time

from client import Client

HOW, LEDGER = sys.argv[1], pathlib.Path(sys.argv[2])


def say(word, delivery=None):
    """One line: word pid offset attempt"""
    offset, attempt = (delivery.offset, delivery.attempt) if delivery else (-1, 0)
    with open(LEDGER, "ab", buffering=0) as ledger:
        ledger.write(f"{word} {os.getpid()} {offset} {attempt}\n".encode())


def is_first():
    try:
        os.close(os.open(f"{LEDGER}.first", os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


def become_a_stranger(client):
    """A process that has the session's socket, and nothing that tells whose child it is."""
    os.setsid()
    os.set_inheritable(client.socket.fileno(), True)
    say("stranger")
    os.closerange(0, 3)
    os.execve("/bin/sleep", ["sleep", "100"], {})


def closes_and_goes_on(client, delivery):
    say("closes", delivery)
    client.close()
    time.sleep(1000)


def closes_and_stays(client, delivery):
    say("done", delivery)
    client.ack([delivery])
    client.close()
    time.sleep(1000)


def dies_before_its_child(client, delivery):
    say("done", delivery)
    client.ack([delivery])
    if os.fork() == 0:
        become_a_stranger(client)
    while "stranger" not in LEDGER.read_text(encoding="ascii"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    if HOW == "is_another":     # the session is that of a child, which turns into something else
        if os.fork():
            os.wait()
            time.sleep(1000)
        client = Client(os.environ["QBUS_SOCKET"], 1000)
        client.welcome()
        client.take(1, 1000)
        become_a_stranger(client)
    client = Client(os.environ["QBUS_SOCKET"], 1000)
    client.welcome(credit=1)
    while True:
        delivery, = client.take(1, 1000)
        if is_first():
            globals()[HOW](client, delivery)
        say("begins", delivery)
        client.ack([delivery])


main()
