# SPDX-License-Identifier: MIT
"""Where dead letters end up: a topic, or a queue behind an exchange. What is found there goes into the oracle's ledger."""
import json

import confluent_kafka
import pika


class KafkaGraves:
    def __init__(self, kafka, topic):
        self.kafka, self.topic = kafka, topic
        self.consumer = confluent_kafka.Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "reads-graves",
                                                  "enable.auto.commit": False, "log_level": 0, "fetch.wait.max.ms": 10})

    target = property(lambda self: {"topic": self.topic})

    def create(self):
        self.kafka.create_topic(self.topic, 1)
        self.listen()

    def listen(self):
        self.consumer.assign([confluent_kafka.TopicPartition(self.topic, 0, 0)])

    def read(self, oracle):
        """Takes what came; returns how many."""
        messages = [message for message in self.consumer.consume(1000, timeout=0.1) if not message.error()]
        for message in messages:
            bury(oracle, message.value(), [(name, value.decode()) for name, value in message.headers()],
                 message.key().decode())
        return len(messages)

    def close(self):
        self.consumer.close()


class RabbitGraves:
    def __init__(self, rabbit, name):
        self.rabbit, self.name = rabbit, name

    target = property(lambda self: {"exchange": self.name, "routing_key": "given-up"})

    def create(self):
        connection = self.rabbit.connect()
        channel = connection.channel()
        channel.exchange_declare(self.name, "direct", durable=True)
        channel.queue_declare(self.name, durable=True)
        channel.queue_bind(self.name, self.name, "given-up")
        connection.close()

    def read(self, oracle):
        try:
            connection = self.rabbit.connect()
        except (pika.exceptions.AMQPError, OSError):
            return 0
        channel, count = connection.channel(), 0
        while True:
            frame, properties, body = channel.basic_get(self.name, auto_ack=True)
            if not frame:
                break
            headers = [(name, value.decode() if isinstance(value, bytes) else str(value))
                       for name, value in (properties.headers or {}).items()]
            bury(oracle, body, headers, None)
            count += 1
        connection.close()
        return count

    def close(self):
        pass


def bury(oracle, body, headers, key):
    order = json.loads(body)
    oracle.bury(order["id"], dict(headers) | {"": key} if key is not None else dict(headers))
