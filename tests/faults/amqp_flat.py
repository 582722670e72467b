# SPDX-License-Identifier: MIT
"""A worker crashes again and again under load: connections, channels, unacked messages and descriptors stay as few."""
import json
import os
import re

import pika

from process import wait_until
from scene import Case, Outcome
from stream import RabbitStream

PREFETCH = 200
LOAD = 1000     # messages a round, so that the 100 rounds make 100,000
SPARE_FDS = 4   # a visitor of the admin socket, a worker on its way
COUNTS = ("[length(rabbit_networking:connections()), [{channel, [V || {_, V} <- rabbit_channel:info(C, "
          "[messages_unacknowledged, consumer_count])]} || C <- rabbit_channel:list()]].")


class QuickStream(RabbitStream):
    """Faster than its messages are handled: the broker's answer to the end of the connection confirms them all."""

    def publish(self, orders):
        connection = self.rabbit.connect()
        channel = connection.channel()
        for order in orders:
            channel.basic_publish("", self.queue, json.dumps(order).encode(), pika.BasicProperties(delivery_mode=2))
        connection.close()
        self.oracle.confirmed.update(order["id"] for order in orders)


class AmqpFlat(Case):
    name = "amqp-flat"
    n_rounds = 100
    n_short = 10
    has_twin = False    # the counts before the first crash are the measure
    ordered = False

    def prepare(self):
        self.rabbit = self.scene.rabbit()
        self.queue = self.rabbit.declare(self.label, "quorum")
        self.stream = QuickStream(self.oracle, f"{self.scene.seed} {self.label}", self.rabbit, self.queue, max_us=20_000)
        self.serve(self.amqp_configuration(self.rabbit, self.queue, pipelines={
            "orders": {"source": {"prefetch": PREFETCH}}}))
        self.stream.send(self.scaled(LOAD))
        self.wait_all()
        self.first = self.look()
        self.dead = set()
        self.highest = dict(self.first)

    def look(self, asked=None):
        """What RabbitMQ says of its connections, none of which is the stream's, and the proxy's descriptors."""
        told, _ = (asked or self.rabbit.evaluate(COUNTS)).communicate(timeout=60)
        channels = [list(map(int, re.findall(r"\d+", row))) for row in re.findall(r"\{channel,\[(.*?)\]\}", told, re.S)]
        return {"connections": int(re.match(r"\[(\d+)", told)[1]), "channels": len(channels),
                "consumers": sum(row[1] for row in channels), "unacked": sum(row[0] for row in channels),
                "fds": len(os.listdir(f"/proc/{self.proxies['qbus'].process.pid}/fd"))}

    def round(self, number):
        self.stream.send(self.scaled(LOAD))
        asked = self.rabbit.evaluate(COUNTS)    # it answers after a second or so, while the queue is worked off
        self.wait_work()
        self.wait_done(self.chance.randrange(1, self.scaled(LOAD, 20) // 2))
        victims = [self.chance.choice(sorted(self.oracle.read().running) or self.proxies["qbus"].workers())]
        struck = self.kill_workers(victims)
        self.dead |= set(victims)
        self.n_faults += 1
        self.n_struck += bool(struck)
        now = self.look(asked)
        self.wait_all()
        self.highest = {name: max(count, now[name]) for name, count in self.highest.items()}
        faults = [f"{name}: {now[name]}, at first {self.first[name]}" for name in ("connections", "channels")
                  if now[name] != self.first[name]]
        faults += [f"{now['unacked']} unacked"] if now["unacked"] > PREFETCH else []
        strange = [line.id for line in self.repeats() if self.dead.isdisjoint(self.oracle.pids[line.id])]
        faults += [f"handled again, though no worker that had it was struck: {strange[:5]}"] if strange else []
        return Outcome({**now, "struck": len(struck), "done": len(self.oracle.done)}, faults)

    def summary(self):
        return {"crashes": self.n_faults, "struck": self.n_struck,
                **{f"highest_{name}": count for name, count in self.highest.items()}}

    def end(self):
        wait_until(lambda: len(self.proxies["qbus"].workers()) == 8, 120, "all workers are there again")
        last = self.look()
        report, faults = super().end()
        faults += [f"{name}: {last[name]} at the end, {count} at first" for name, count in self.first.items()
                   if abs(last[name] - count) > (SPARE_FDS if name == "fds" else 0)]
        return report, faults + self.judge_struck(0.5, "kills met")
