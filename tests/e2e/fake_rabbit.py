# SPDX-License-Identifier: MIT
"""A socket that speaks AMQP 0-9-1 as far as a consumer needs it, for what no real broker can be made to send."""
import socket
import struct
import threading

import pika.exceptions
import pika.frame
from pika.spec import Basic, BasicProperties, Channel, Connection, Queue

ANSWERS = {
    Connection.StartOk: lambda method: Connection.Tune(channel_max=8, frame_max=131072, heartbeat=0),
    Connection.Open: lambda method: Connection.OpenOk(),
    Connection.Close: lambda method: Connection.CloseOk(),
    Channel.Open: lambda method: Channel.OpenOk(),
    Channel.Close: lambda method: Channel.CloseOk(),
    Queue.Declare: lambda method: Queue.DeclareOk(queue=method.queue, message_count=0, consumer_count=1),
    Basic.Qos: lambda method: Basic.QosOk(),
    Basic.Consume: lambda method: Basic.ConsumeOk(consumer_tag=method.consumer_tag),
    Basic.Cancel: lambda method: Basic.CancelOk(consumer_tag=method.consumer_tag),
}


def header(body_size, table=None):
    """The frame of a content header; table: the bytes of its header table."""
    if table is None:
        return pika.frame.Header(1, body_size, BasicProperties()).marshal()
    payload = struct.pack(">HHQHI", 60, 0, body_size, 0x2000, len(table)) + table
    return struct.pack(">BHI", 2, 1, len(payload)) + payload + b"\xce"


def message(tag, body, table=None, is_redelivered=False):
    """What the broker sends of one delivery, for a consumer tag that is filled in later."""
    return lambda consumer: (pika.frame.Method(1, Basic.Deliver(consumer, tag, is_redelivered, "", "orders")).marshal()
                             + header(len(body), table) + pika.frame.Body(1, body).marshal())


class FakeRabbit:
    """sessions: what the first consumer of each connection is sent, connection after connection. said: every other word
    that a client says, as (connection, method). is_dumb: after a reject that connection hears nothing more. properties: what
    the server says of itself."""

    def __init__(self, sessions, is_dumb=False, **properties):
        self.sessions, self.is_dumb, self.said = sessions, is_dumb, []
        self.properties = {"product": "Fake", **properties}
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"amqp://guest:guest@127.0.0.1:{self.server.getsockname()[1]}/%2f"
        self.connections = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection, len(self.connections) - 1), daemon=True).start()

    def serve(self, connection, number):
        try:
            stream = connection.makefile("rb")
            assert stream.read(8) == b"AMQP\0\0\x09\x01"
            start = Connection.Start(server_properties=self.properties, mechanisms="PLAIN", locales="en_US")
            connection.sendall(pika.frame.Method(0, start).marshal())
            wanted = list(self.sessions[number]) if number < len(self.sessions) else []
            while head := stream.read(7):
                raw = head + stream.read(struct.unpack(">I", head[3:])[0] + 1)
                if not self.answer(connection, number, pika.frame.decode_frame(raw)[1], wanted):
                    break
        except OSError:
            pass  # the client has left
        if not self.is_dumb:
            connection.close()

    def answer(self, connection, number, frame, wanted):
        """False: nothing more is read from this connection."""
        method = getattr(frame, "method", None)
        make = ANSWERS.get(type(method))
        if make:
            connection.sendall(pika.frame.Method(frame.channel_number, make(method)).marshal())
        elif method:
            self.said.append((number, method))
        if isinstance(method, Basic.Consume):
            connection.sendall(b"".join(one(method.consumer_tag) for one in wanted))  # so that all is read at once
            wanted.clear()
        if isinstance(method, Connection.Close):
            connection.shutdown(socket.SHUT_RDWR)
        return not isinstance(method, Connection.Close) and not (self.is_dumb and isinstance(method, Basic.Reject))

    def heard(self, kind):
        """(connection, method) of every word of that kind."""
        return [(number, method) for number, method in list(self.said) if isinstance(method, kind)]

    def finish(self):
        for one in [self.server, *self.connections]:
            one.close()
