# SPDX-License-Identifier: MIT
"""Brokers are started once for all tests that want them; everything else belongs to one test."""
import itertools
import logging
import pathlib
import signal
import sys

import pytest

import brokers
import process
from ledger import Ledger
from proxy import Proxy

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "faults"))  # commits.py
logging.getLogger("pika").setLevel(logging.CRITICAL)  # refused connections are part of waiting for a broker
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and what it starts would too
names = itertools.count(1)

# What these wait for in vain may be a message that was lost.
NEVER_TWICE = {"test_kafka", "test_amqp", "test_dlq", "test_session", "test_deadline", "test_within", "test_leaving",
               "test_stream", "test_skip", "test_positions"}


def pytest_collection_modifyitems(config, items):
    """A second try for what runs out of time, where the command line asks for it (scripts/test does)."""
    if not config.getoption("only_rerun", None):
        return
    for item in items:
        if item.module.__name__ not in NEVER_TWICE:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session", autouse=True)
def binaries():
    for binary in (process.PROXY, process.BENCH):
        assert binary.exists(), f"{binary} is not built (QBUS_BUILD names another build directory)"


def broker(make):
    started = make()
    try:
        yield started.start()
    finally:
        started.finish()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    yield from broker(lambda: brokers.Kafka(tmp_path_factory.mktemp("kafka"), "4.1.1"))


@pytest.fixture(scope="session")
def kafka_old(tmp_path_factory):
    yield from broker(lambda: brokers.Kafka(tmp_path_factory.mktemp("kafka-old"), "3.9.1"))


@pytest.fixture(params=["4.1.1", "3.9.1"])
def any_kafka(request):
    return request.getfixturevalue("kafka" if request.param == "4.1.1" else "kafka_old")


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory):
    yield from broker(lambda: brokers.RabbitMQ(tmp_path_factory.mktemp("rabbit")))


@pytest.fixture
def fresh():
    """A name that no other test uses, for topics, queues and groups."""
    return f"orders-{next(names)}"


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path)


@pytest.fixture
def serve(tmp_path):
    """serve(configuration, name=...) starts a proxy that ends with the test."""
    running = []

    def start(configuration, ready=True, **options):
        proxy = Proxy(tmp_path, configuration, **options)
        running.append(proxy)
        return proxy.start(ready)

    yield start
    for proxy in running:
        proxy.finish()
