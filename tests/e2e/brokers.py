# SPDX-License-Identifier: MIT
"""Real brokers on free loopback ports with private data: Kafka from Maven's artifacts, RabbitMQ from Debian's package."""
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import confluent_kafka
import confluent_kafka.admin
import pika

from process import BENCH, Process, is_alive, wait_until

KAFKA_VERSIONS = {"4.1.1": ["org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"],
                  "3.9.1": ["ch.qos.reload4j:reload4j:1.2.25", "org.slf4j:slf4j-reload4j:1.7.36"]}

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>tests</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>{}</dependencies></project>"""

DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"

KAFKA_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl}
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_app="right";
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=1
num.io.threads=2
log.cleaner.dedupe.buffer.size=2097152
log.segment.bytes=16777216
message.max.bytes=33554432
auto.create.topics.enable=false
"""

LOG4J2 = """<Configuration><Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
<Loggers><Root level="warn"><AppenderRef ref="out"/></Root></Loggers></Configuration>"""

RELOAD4J = """log4j.rootLogger=WARN,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{1} %m%n
"""

OFFSET_COMMIT, LEAVE_GROUP, UNKNOWN_MEMBER = 8, 13, 25  # two requests and an error of Kafka's protocol


def text(word):
    """As Kafka's protocol has it."""
    return struct.pack(">h", len(word)) + word.encode()


def free_ports(count):
    """Different port numbers that nobody uses, below the range from which the kernel takes ports for connections."""
    ports = set()
    while len(ports) < count:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                ports.add(port)
            except OSError:
                pass
    return list(ports)


def cache_directory():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "qbus-tests"


def kafka_jars(version):
    """Folder with Kafka's jars; Maven brings them on first use."""
    jars = cache_directory() / f"kafka-{version}"
    if jars.is_dir():
        return jars
    jars.parent.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix=".kafka-", dir=jars.parent))
    wanted = [f"org.apache.kafka:kafka_2.13:{version}", *KAFKA_VERSIONS[version]]
    (work / "pom.xml").write_text(POM.format("".join(DEPENDENCY.format(*name.split(":")) for name in wanted)))
    for attempt in (1, 2, 3):
        done = subprocess.run(["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={work}/lib",
                               "-DincludeScope=runtime"], cwd=work, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        assert attempt < 3, f"Maven does not bring Kafka {version}: {done.stdout[-800:]}"
    (work / "lib").rename(jars)
    shutil.rmtree(work)
    return jars


class Kafka:
    """One KRaft node. start() after stop() or kill() continues with the same data on the same ports."""

    java = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]  # starts soon, is small

    def __init__(self, directory, version="4.1.1", **properties):
        """properties: of the server, a dot written as __."""
        self.version = version
        self.directory = pathlib.Path(directory)
        self.port, sasl, controller = free_ports(3)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.sasl_bootstrap = f"127.0.0.1:{sasl}"  # user app, password right
        self.classpath = f"{kafka_jars(version)}/*"
        self.properties = self.directory / "server.properties"
        self.properties.write_text(KAFKA_PROPERTIES.format(port=self.port, sasl=sasl, controller=controller,
                                                           data=self.directory / "data")
                                   + "".join(f"{name.replace('__', '.')}={value}\n" for name, value in properties.items()))
        (self.directory / "log4j2.xml").write_text(LOG4J2)
        (self.directory / "log4j.properties").write_text(RELOAD4J)
        self.process = None
        format_log = subprocess.run(["java", "-cp", self.classpath, "kafka.tools.StorageTool", "format", "-t",
                                     "qbusqbusqbusqbusqbusqQ", "-c", self.properties],
                                    capture_output=True, text=True, check=False)
        assert format_log.returncode == 0, format_log.stdout + format_log.stderr

    def start(self):
        self.process = Process(
            ["java", *self.java, "-Djava.awt.headless=true",
             f"-Dlog4j2.configurationFile={self.directory}/log4j2.xml",
             f"-Dlog4j.configuration=file:{self.directory}/log4j.properties",
             "-cp", self.classpath, "kafka.Kafka", self.properties], self.directory / "kafka.log")
        wait_until(self.answers, 180, f"Kafka {self.version} answers\n{self.process.tail()}")
        return self

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()  # the client would try again only after a second
            self.admin().list_topics(timeout=5)
            return True
        except (confluent_kafka.KafkaException, OSError):
            assert self.process.is_running(), self.process.tail()
            return False

    def stop(self):
        self.process.stop(signal.SIGTERM, 120)

    def kill(self):
        self.process.stop(signal.SIGKILL, 60)

    def finish(self):
        if self.process:
            self.process.finish()

    def admin(self):
        return confluent_kafka.admin.AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def create_topic(self, name, partitions, **config):
        topic = confluent_kafka.admin.NewTopic(name, partitions, 1, config={k.replace("_", "."): str(v)
                                                                          for k, v in config.items()})
        admin = self.admin()  # lives until the answer is there
        for future in admin.create_topics([topic]).values():
            future.result(90)
        wait_until(lambda: len(admin.list_topics(name, timeout=60).topics[name].partitions) == partitions, 60,
                   f"topic {name} has {partitions} partitions")
        wait_until(lambda: self.is_led(name), 60, f"the partitions of topic {name} have leaders")
        return name

    def is_led(self, topic):
        """Whether every partition answers: the broker knows of one before it leads it."""
        try:
            return bool(self.ends(topic))
        except confluent_kafka.KafkaException:
            return False

    def consumer(self, group):
        """Asks and commits for a group without joining it."""
        return confluent_kafka.Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, "log_level": 0,
                                         "enable.auto.commit": False})

    def forget(self, group):
        """Takes the members out of a group, as the broker does when their session's time is over. One LeaveGroup request
        each, by hand: the client library leaves only for itself."""
        for member in [member.id for found in self.admin().list_groups(group, timeout=60) for member in found.members]:
            error, = struct.unpack(">h", self.ask(LEAVE_GROUP, 0, text(group) + text(member)))
            assert error in (0, UNKNOWN_MEMBER), (member, error)

    def move(self, group, topic, offset, metadata):
        """Sets what a group without members has committed for partition 0, metadata included: the client library writes
        none. By hand as well."""
        words = text(group) + struct.pack(">i", -1) + text("") + struct.pack(">qi", -1, 1) + text(topic)
        answer = self.ask(OFFSET_COMMIT, 2, words + struct.pack(">iiq", 1, 0, offset) + text(metadata))
        assert answer.endswith(struct.pack(">ih", 0, 0)), answer

    def ask(self, request, version, words):
        """What the broker answers to a request in bytes, from nobody's client."""
        words = struct.pack(">hhih", request, version, 1, -1) + words
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(struct.pack(">i", len(words)) + words)
            size, number = struct.unpack(">ii", connection.recv(8, socket.MSG_WAITALL))
            assert number == 1, number
            return connection.recv(size - 4, socket.MSG_WAITALL)

    def partitions(self, topic):
        return sorted(self.admin().list_topics(topic, timeout=60).topics[topic].partitions)

    def committed(self, group, topic):
        """{partition: offset}; a partition without a commit counts as 0."""
        wanted = [confluent_kafka.TopicPartition(topic, p) for p in self.partitions(topic)]
        consumer = self.consumer(group)

        def ask():
            try:
                found = consumer.committed(wanted, timeout=60)
            except confluent_kafka.KafkaException:
                return None  # the group's coordinator is not ready yet
            return None if any(p.error for p in found) else found

        try:
            return {p.partition: max(p.offset, 0) for p in wait_until(ask, 120, f"offsets of group {group}")}
        finally:
            consumer.close()

    def ends(self, topic):
        """{partition: offset of the next record}"""
        consumer = self.consumer("ends")
        try:
            return {p: consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, p), timeout=60)[1]
                    for p in self.partitions(topic)}
        finally:
            consumer.close()

    def produce(self, topic, messages, *arguments):
        """Fills a topic and waits for the confirmations."""
        bench("produce", "--bootstrap", self.bootstrap, "--topic", topic, "--messages", messages, *arguments)


def bench(*arguments):
    done = subprocess.run([BENCH, *map(str, arguments)], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"qbus-bench {arguments}: exit {done.returncode}: {done.stderr}{done.stdout}"
    return done.stdout


def rabbit_applications(plugins, name):
    """The folders of an application of RabbitMQ and of those that it needs."""
    found = set(plugins.glob(f"{name}-[0-9]*"))
    for folder in list(found):
        needed = re.search(r"{applications,\s*\[(.*?)\]", (folder / "ebin" / f"{name}.app").read_text(), re.S)
        found = found.union(*(rabbit_applications(plugins, other) for other in re.findall(r"\w+", needed[1])))
    return found


def rabbit_server(directory):
    """Debian's RabbitMQ without its plugins: Erlang looks for each module in the folders of all of them, which takes a
    third of the start."""
    debian = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server").resolve().parents[1]
    (directory / "server" / "plugins").mkdir(parents=True)
    shutil.copytree(debian / "sbin", directory / "server" / "sbin")  # the scripts look for plugins/ beside themselves
    (directory / "server" / "escript").symlink_to(debian / "escript")
    for folder in rabbit_applications(debian / "plugins", "rabbit"):
        (directory / "server" / "plugins" / folder.name).symlink_to(folder)
    return directory / "server" / "sbin" / "rabbitmq-server"


class RabbitMQ:
    """Debian's RabbitMQ under its own node name, epmd and data. start() after stop() or kill() continues in place."""

    def __init__(self, directory):
        self.directory = home = pathlib.Path(directory)
        self.port, distribution, self.epmd_port = free_ports(3)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/%2f"
        for name in ("mnesia", "log", "schema"):
            (home / name).mkdir()
        (home / "empty.conf").write_text("")
        (home / "plugins").write_text("[].")
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\nvm_memory_high_watermark.absolute = 1GB\n"
            "disk_free_limit.absolute = 200MB\nlog.console = false\nlog.file.level = warning\n")
        self.environment = {
            "HOME": str(home), "RABBITMQ_NODENAME": "qbus@localhost", "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port), "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"), "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"), "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_PID_FILE": str(home / "pid"), "RABBITMQ_CONF_ENV_FILE": str(home / "empty.conf"),
            "RABBITMQ_SCHEMA_DIR": str(home / "schema"), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd_port), "PATH": "/usr/lib/rabbitmq/bin:" + os.environ["PATH"],
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
                                                   " -kernel inet_dist_use_interface {127,0,0,1}"}
        self.epmd = self.process = self.server = None

    def start(self):
        if not self.epmd:
            self.server = rabbit_server(self.directory)
            self.epmd = Process(["epmd", "-address", "127.0.0.1", "-port", self.epmd_port],
                                self.directory / "epmd.log", self.environment)
        (self.directory / "pid").unlink(missing_ok=True)
        self.process = Process([self.server], self.directory / "rabbitmq.log", self.environment)
        wait_until(self.answers, 180, f"RabbitMQ answers\n{self.process.tail()}")
        return self

    def answers(self):
        assert self.process.is_running(), self.process.tail()
        try:
            self.connect().close()
            return True
        except (pika.exceptions.AMQPError, OSError):
            return False

    def evaluate(self, expression):
        """Begins to ask the Erlang machine; the answer comes on the process' stdout."""
        return subprocess.Popen(["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", "eval", expression], text=True,
                                env={**os.environ, **self.environment}, stdout=subprocess.PIPE)

    def beam(self):
        """Process id of the Erlang machine (the process that was started is a shell around it)."""
        return int((self.directory / "pid").read_text())

    def end(self, number):
        beam = self.beam()
        os.kill(beam, number)
        wait_until(lambda: not is_alive(beam), 120, "RabbitMQ ends")
        self.process.finish()

    def stop(self):
        self.end(signal.SIGTERM)

    def kill(self):
        self.end(signal.SIGKILL)

    def finish(self):
        for process in (self.process, self.epmd):
            if process:
                process.finish()

    def connect(self):
        return pika.BlockingConnection(pika.URLParameters(self.url + "?socket_timeout=60"))

    def declare(self, queue, kind="classic", **arguments):
        """A durable queue."""
        named = {"x-queue-type": kind, **{"x-" + k.replace("_", "-"): v for k, v in arguments.items()}}
        connection = self.connect()
        connection.channel().queue_declare(queue, durable=True, arguments=named)
        connection.close()
        if kind == "quorum":
            # The register of quorum queues is written with a delay; a broker killed before that never serves the queue again.
            register, = self.directory.glob("mnesia/*/quorum/*/names.dets")
            wait_until(lambda: queue.encode() in register.read_bytes(), 60, f"quorum queue {queue} is registered")
        return queue

    def ready(self, queue):
        """How many messages wait in the queue, those that a consumer holds not counted."""
        return self.inspect(queue).message_count

    def consumers(self, queue):
        return self.inspect(queue).consumer_count

    def inspect(self, queue):
        """What the broker says of a queue. When a quorum queue's leader does not answer it within 250 ms it says that there
        is no message and no consumer: such an answer counts only when it came sooner."""
        connection = self.connect()
        channel = connection.channel()

        def ask():
            begin = time.monotonic()
            told = channel.queue_declare(queue, passive=True).method
            return told if told.message_count or told.consumer_count or time.monotonic() < begin + 0.2 else None

        try:
            return wait_until(ask, 60, f"queue {queue} tells its counts")
        finally:
            connection.close()

    def delete(self, queue):
        connection = self.connect()
        connection.channel().queue_delete(queue)
        connection.close()

    def produce(self, queue, messages, *arguments):
        """Fills a queue with persistent messages and waits for the confirmations."""
        bench("produce", "--amqp-url", self.url, "--queue", queue, "--messages", messages, *arguments)
