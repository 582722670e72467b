# SPDX-License-Identifier: MIT
"""Producers that write down what the broker confirmed."""
import json
import random

import confluent_kafka
import pika


class Stream:
    """Seeded messages of a few keys, ids ascending from 1, to one topic or queue."""

    def __init__(self, oracle, seed, keys=60, max_us=20_000, slow=(0, 0)):
        self.oracle = oracle
        self.slow_share, self.slow_us = slow
        self.chance = random.Random(f"{seed} stream")
        self.keys, self.max_us = keys, max_us
        self.next = 1
        self.fates = {}         # id -> what goes wrong in the handler, or None

    def make(self, do):
        order = {"id": self.next, "key": f"k{self.chance.randrange(self.keys)}",
                 "us": self.chance.randrange(self.max_us + 1)}
        self.next += 1
        if self.chance.random() < self.slow_share:
            order["us"] = self.slow_us
        self.fates[order["id"]] = do
        if do:
            order["do"] = do
        self.oracle.sent[order["id"]] = order["key"]
        return order

    def send(self, count, fates=None):
        """Sends `count` messages and returns when all are confirmed; fates: {index: what goes wrong in the handler}."""
        fates = fates or {}
        orders = [self.make(fates.get(index)) for index in range(count)]
        self.publish(orders)
        return [order["id"] for order in orders]

    def send_long(self, count, us=1_000_000):
        """Sends messages that all take so long."""
        self.publish([{**self.make(None), "us": us} for _ in range(count)])

    def fill(self, backlog):
        """Sends what is missing until so many messages wait."""
        missing = backlog - self.oracle.backlog()
        return self.send(missing) if missing > 0 else []


class KafkaStream(Stream):
    def __init__(self, oracle, seed, kafka, topic, **options):
        super().__init__(oracle, seed, **options)
        self.topic = topic
        self.producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True,
                                                  "linger.ms": 5, "log_level": 0})

    def publish(self, orders):
        for order in orders:
            self.producer.produce(self.topic, json.dumps(order), order["key"], on_delivery=self.report)
        left = self.producer.flush(60)
        assert not left, f"{left} messages are not confirmed"

    def report(self, error, message):
        if not error:
            self.oracle.confirmed.add(json.loads(message.value())["id"])


class RabbitStream(Stream):
    """By an exchange that gives every routing key to the one queue; it is the message's key, where no header is."""

    def __init__(self, oracle, seed, rabbit, queue, header=None, **options):
        super().__init__(oracle, seed, **options)
        self.header = header
        self.rabbit, self.queue, self.exchange = rabbit, queue, f"to-{queue}"
        self.connection = self.channel = None

    def connect(self):
        self.connection = self.rabbit.connect()
        self.channel = self.connection.channel()
        self.channel.exchange_declare(self.exchange, "fanout", durable=True)
        self.channel.queue_bind(self.queue, self.exchange)
        self.channel.confirm_delivery()

    def close(self):
        try:
            if self.connection and self.connection.is_open:
                self.connection.close()
        except (pika.exceptions.AMQPError, OSError):
            pass
        self.connection = None

    def publish(self, orders):
        self.close()
        self.connect()
        for order in orders:
            headers = {self.header: order["key"]} if self.header else None
            self.channel.basic_publish(self.exchange, "" if headers else order["key"], json.dumps(order).encode(),
                                       pika.BasicProperties(delivery_mode=2, headers=headers), mandatory=True)
            self.oracle.confirmed.add(order["id"])
        self.close()
